"""Frozen nodes and adapters: low-rank branches beside frozen layers, their slopes, and what follows a step."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from gromo_graph import GrowthScheduler, compile_network, dump_spec, edit, parse_spec
from gromo_graph.graph import build_graph
from gromo_graph.graph.adapters import adapters
from gromo_graph.spec.kinds import is_frozen
from gromo_graph.spec.settings import Growth
from tests.growth.problems import Begun, loss_of, planned, three_classes

F64 = torch.float64
CE = torch.nn.functional.cross_entropy

ROWS = """
nodes:
  x: {kind: input, shape: [5]}
  one: {kind: linear, from: x, features: 4, activation: tanh, frozen: true}
  two: {kind: linear, from: one, features: 4, frozen: true}
  join: {kind: merge, from: [one, two], activation: relu}
  kept: {kind: linear, from: join, features: 4, activation: tanh, frozen: true, grow: false}
  y: {kind: linear, from: kept, features: 3}
output: y
"""
IMAGES = """
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  one: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: relu, frozen: true}
  norm: {kind: batch_norm, from: one, frozen: true}
  wide: {kind: conv2d, from: norm, features: 3, kernel: 3, stride: 2, frozen: true}
  slim: {kind: conv2d, from: norm, features: 3, kernel: 1, stride: 3, bias: false, frozen: true}
  join: {kind: merge, from: [wide, slim], activation: tanh}
  flat: {kind: flatten, from: join}
  y: {kind: linear, from: flat, features: 3, frozen: true}
output: y
"""
TOKENS = """
nodes:
  x: {kind: input, shape: [4, 5]}
  q: {kind: conv1d, from: x, features: 4, kernel: 1, frozen: true}
  k: {kind: conv1d, from: x, features: 4, kernel: 1, frozen: true}
  v: {kind: conv1d, from: x, features: 4, kernel: 1, frozen: true}
  a: {kind: attention, from: [q, k, v], heads: 2}
  out: {kind: conv1d, from: a, features: 4, kernel: 1, frozen: true}
  join: {kind: merge, from: [x, out]}
  mean: {kind: adaptive_avg_pool1d, from: join, size: 1}
  flat: {kind: flatten, from: mean}
  y: {kind: linear, from: flat, features: 3}
output: y
"""
BESIDE = """
nodes:
  x: {kind: input, shape: [5]}
  a: {kind: linear, from: x, features: 4, activation: tanh, frozen: true}
  b: {kind: linear, from: x, features: 4, activation: sigmoid, frozen: true}
  both: {kind: merge, from: [a, b], merge: concat}
  y: {kind: linear, from: both, features: 3}
output: y
"""
SPECS = {
    "rows": (ROWS, (5,), ["one", "two"]),
    "images": (IMAGES, (2, 6, 6), ["one", "wide", "slim", "y"]),
    "beside": (BESIDE, (5,), ["a", "b"]),
    "tokens": (TOKENS, (4, 5), ["q", "k", "v", "out"]),
}


def begun(name: str, **policy: Any) -> Begun:
    text, shape, _ = SPECS[name]
    return planned(text, shape, **{"actions": ["adapt"], **policy})


@pytest.mark.parametrize("criterion", ["tiny", "natural"])
@pytest.mark.parametrize("name", SPECS)
def test_slopes_are_those_of_the_loss(name: str, criterion: str) -> None:
    network, scheduler, candidates, loader = begun(name, criterion=criterion)
    before = loss_of(network, loader)
    applicable = [each for each in candidates if each.reason is None]
    assert sorted(each.target for each in applicable) == sorted(SPECS[name][2])
    for each in applicable:
        assert each.kind == "adapt"
        assert each.slope is not None
        tried, other, candidate = copy.deepcopy((network, scheduler, each))
        other.apply(candidate, 1e-6, loader=loader)
        assert (before - loss_of(tried, loader)) / 1e-6 == pytest.approx(each.slope, rel=1e-2)


@pytest.mark.parametrize("name", SPECS)
def test_frozen_weights_stay_to_the_bit_and_the_rank_grows(name: str) -> None:
    """Under weight decay, momentum, shrinking and growth by every action."""
    text, shape, _ = SPECS[name]
    text = text.replace("from: flat, features: 3, frozen: true", "from: flat, features: 3")
    network, loader = compile_network(parse_spec(text), seed=0), three_classes(shape)
    loader = [(x.float(), y) for x, y in loader]
    frozen = {
        (node, key): tensor.clone()
        for node, part in network.parts.items()
        if is_frozen(network.spec.nodes[node])
        for key, tensor in part.named_parameters()
    }
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.5)
    policy = Growth(
        actions=["adapt", "widen", "new_edge", "deepen", "prune"],
        criterion="natural",
        select="slope",
        shrink=0.9,
        apply_delta=True,
        neurons={"per_step": 1},
        when={"until": 1.0, "steps": 6},
    )
    scheduler = GrowthScheduler(network, CE, optimizer=optimizer, policy=policy, training_steps=12)
    kinds = []
    for _ in range(12):
        for x, y in loader:
            optimizer.zero_grad()
            CE(network(x), y).backward()
            optimizer.step()
        events = scheduler.after_batch(*loader[0], loader)
        kinds += [event.decision.kind for event in events if event.decision]
    assert kinds
    for (node, key), before in frozen.items():
        part = network.parts.get(f"{node}.linear", network.parts.get(node))
        after = dict(part.named_parameters())[key]
        assert torch.equal(after, before)
        assert not after.requires_grad
    assert parse_spec(dump_spec(network.spec)) == network.spec


def test_several_adapters_at_a_tick_then_their_ranks() -> None:
    network, scheduler, _, loader = begun(
        "beside",
        actions=["adapt", "widen"],
        criterion="natural",
        select="slope_per_parameter",
        neurons={"per_step": 1},
    )
    scheduler.step(loader, loader)
    assert [each.layer for each in adapters(network.graph)] == ["a.linear", "b.linear"]
    ranks = {each.layer: network.graph.features(each.down) for each in adapters(network.graph)}
    again = {(each.kind, each.target): each for each in scheduler.plan(loader).candidates}
    for each in adapters(network.graph):
        assert ("adapt", each.layer) not in again
        assert again["widen", each.down].reason is None
    assert set(ranks.values()) == {1}


def test_a_step_is_undone_and_grow_false_keeps_adapters_off() -> None:
    network, scheduler, candidates, loader = begun("rows")
    assert "kept" not in {each.target for each in candidates}
    before, spec = loss_of(network, loader), network.spec
    scheduler.apply(next(each for each in candidates if each.target == "one"))
    assert {"one.linear", "one.adapter", "one.adapter.out"} <= set(network.spec.nodes)
    assert network.spec.nodes["one"].activation == "tanh"  # type: ignore[attr-defined]
    scheduler.undo()
    assert network.spec == spec
    assert loss_of(network, loader) == before


def test_a_node_is_frozen_and_thawed_by_an_edit() -> None:
    network = compile_network(parse_spec(ROWS), seed=0)
    with edit(network) as e:
        e.set_options("one", frozen=False)
    assert e.preserved
    assert all(parameter.requires_grad for parameter in network.parts["one"].parameters())
    with edit(network) as back:
        back.apply(e.inverse)
    assert not any(parameter.requires_grad for parameter in network.parts["one"].parameters())


def test_a_group_with_a_frozen_layer_keeps_its_width() -> None:
    graph = build_graph(parse_spec(ROWS))
    assert {group.reason for group in graph.groups if "y" not in group.producers} >= {
        "`one` is frozen: its weights stay as they are",
    }
