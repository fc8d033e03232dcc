"""Groups that the graph gives are those that the same modules give as if someone had linked them by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import GrowingNetwork, Spec, compile_network, load_spec
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from gromo_graph.modules.group_links import links_of
from gromo_graph.modules.growing_module import LinkedGroup
from gromo_graph.modules.hand_links import groups_by_links
from gromo_graph.modules.linkable import Linkable
from tests.spec.strategies import specs

PLAIN = st.sampled_from([f"n{place}" for place in range(12)])
GALLERY = sorted(Path(__file__).parents[2].joinpath("specs").glob("*.yaml"))

Place = tuple[Linkable, int, int, int, int]


def described(group: LinkedGroup, place: GroupPlace) -> Place:
    return group.module(place), place.segment, place.start, place.width, place.repeat


def flow(group: LinkedGroup) -> dict[Place, list[Place]]:
    """Every place with those that are added up in it."""
    return {
        described(group, place): [described(group, source) for source in sources]
        for place, sources in group.layout.flow.items()
    }


def reads(group: LinkedGroup) -> dict[Linkable, list[Place]]:
    return {
        consumer: [described(group, place) for place in places] for consumer, places in group.reads.items()
    }


def check(network: GrowingNetwork) -> int:
    """Compare the two views of every layer; the number of groups that can grow."""
    growable = 0
    for key, unit in network.graph.units.items():
        if unit.role != "layer" or not unit.previous:
            continue
        consumer = network.growing(key)
        assert consumer.network_groups is not None
        read = consumer.network_groups.read_by(consumer)
        assert read is not None
        from_graph = [group for group in read if group.reason is None]
        by_hand = [group for group in groups_by_links(consumer) if group.reason is None]
        assert len(from_graph) == len(by_hand)
        for graph_group, hand_group in zip(from_graph, by_hand, strict=True):
            assert graph_group.same_as(hand_group)
            assert hand_group.same_as(graph_group)
            assert set(graph_group.producers) == set(hand_group.producers)
            assert reads(graph_group) == reads(hand_group)
            assert flow(graph_group) == flow(hand_group)
            assert bool(graph_group.jumps) == bool(hand_group.jumps)
            assert graph_group.unit == hand_group.unit
            growable += 1
    return growable


@settings(max_examples=50)
@given(specs(names=PLAIN, max_nodes=11))
def test_places_and_reads_of_random_networks(spec: Spec) -> None:
    check(compile_network(spec, seed=0))


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_places_and_reads_of_the_gallery(path: Path) -> None:
    assert check(compile_network(load_spec(path), seed=0)) > 0


def test_a_module_of_a_network_that_is_linked_anew_is_asked_for_its_links() -> None:
    network = compile_network(load_spec(GALLERY[0]), seed=0)
    key = next(key for key, unit in network.graph.units.items() if unit.role == "layer" and unit.previous)
    consumer = network.growing(key)
    assert consumer.network_groups is not None
    other = GrowingModule(torch.nn.Linear(3, consumer.in_neurons), name="other")
    consumer.previous_module = MergeGrowingModule(previous_modules=[other])
    assert consumer.network_groups.read_by(consumer) is None


def test_modules_of_one_name_are_told_apart() -> None:
    first, second = (GrowingModule(torch.nn.Linear(3, 4), name="twin") for _ in range(2))
    merge = MergeGrowingModule(previous_modules=[first, second], name="twin")
    reader = GrowingModule(torch.nn.Linear(4, 2), previous_module=merge, name="twin")
    (link,) = links_of(reader)
    assert set(link.group.producers) == {first, second}
    assert link.group.merges == (merge,)
    assert link.group.consumers == (reader,)
    assert [len(sources) for sources in link.group.layout.flow.values()] == [0, 0, 2]


def test_a_concat_with_a_tensor_from_outside_says_why_it_cannot_grow() -> None:
    before = GrowingModule(torch.nn.Linear(3, 4), name="before")
    concat = MergeGrowingModule(previous_modules=[before], outside_features=5, merge="concat", name="both")
    total = MergeGrowingModule(previous_modules=[concat, concat], name="twice")
    reader = GrowingModule(torch.nn.Linear(9, 2), previous_module=total, name="reader")
    concat.set_inputs([5, before])
    (link,) = links_of(reader)
    assert link.group.reason is None
    (place,) = link.group.reads[reader]
    assert (place.start, place.width, place.end) == (5, 4, 9)
    assert [len(sources) for sources in link.group.layout.flow.values()] == [0, 1, 2]
