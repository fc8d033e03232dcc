"""Any spec becomes a network whose sizes, links and groups are those of its graph."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import GrowingNetwork, Spec, compile_network
from gromo_graph.modules import GrowingModule
from gromo_graph.network.example_inputs import random_inputs
from gromo_graph.network.linked_groups import linked_group
from tests.spec.strategies import specs

PLAIN = st.sampled_from([f"n{place}" for place in range(12)])
ANY = settings(max_examples=40)


def batch(network: GrowingNetwork, samples: int = 4, seed: int = 0) -> list[torch.Tensor]:
    return list(random_inputs(network, samples, seed=seed))


def outputs(network: GrowingNetwork, *inputs: torch.Tensor) -> list[torch.Tensor]:
    found = network(*inputs)
    return list(found.values()) if isinstance(found, dict) else [found]


@ANY
@given(specs(names=PLAIN, max_nodes=11))
def test_sizes_and_outputs(spec: Spec) -> None:
    network = compile_network(spec, seed=0, dtype=torch.float64).eval()
    graph = network.graph
    assert sum(p.numel() for p in network.parameters()) == graph.parameter_count
    found = outputs(network, *batch(network))
    assert [tuple(value.shape[1:]) for value in found] == [graph.shapes[name] for name in spec.outputs]
    extended = network.extended_forward(*batch(network))
    for one, other in zip(
        found, extended.values() if isinstance(extended, dict) else [extended], strict=True
    ):
        assert torch.equal(one, other)
    for name, unit in graph.units.items():
        module = network.unit(name)
        if hasattr(module, "out_features"):
            assert module.out_features == graph.shapes[unit.last][0]


@ANY
@given(specs(names=PLAIN, max_nodes=11))
def test_groups_of_modules_are_groups_of_the_graph(spec: Spec) -> None:
    network = compile_network(spec, seed=0)
    for group in network.graph.groups:
        if group.reason is None:
            linked = linked_group(network, group)
            assert [module.name for module in linked.producers] == list(group.producers)
            assert [module.name for module in linked.consumers] == list(group.consumers)
            assert linked.unit == group.unit
            assert bool(linked.jumps) == bool(group.jumps)
            for consumer, places in linked.reads.items():
                width = network.graph.shapes[network.graph.sources(consumer.name)[0]][0]
                assert all(0 < place.end <= width for place in places)
                assert isinstance(consumer, GrowingModule)
