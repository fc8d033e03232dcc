"""Whatever can grow in a random graph: its slope is what the loss does, and the network is as was predicted."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import GrowingNetwork, GrowthScheduler, Spec, compile_network
from gromo_graph.network.example_inputs import random_inputs
from gromo_graph.spec.kinds import Flatten, Layer, Linear, Node
from gromo_graph.spec.kinds.activation import SetActivation
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.settings import Growth
from tests.spec.strategies import specs

PLAIN = st.sampled_from([f"n{place}" for place in range(12)])
POLICIES = st.builds(
    Growth,
    kernel=st.sampled_from(["full", "centre"]),
    apply_delta=st.booleans(),
    ridge=st.sampled_from([0.1, 1e-3]),
)
SMOOTH = {
    "relu": "tanh",
    "elu": "silu",
    SetActivation(leaky_relu=0.2): SetActivation(gelu="tanh"),
    SetActivation(elu=0.5): "mish",
}


def able_to_grow(spec: Spec) -> Spec:
    """Smooth, since at a kink a finite difference says something else; a head behind whatever nobody reads."""
    nodes: dict[str, Node] = {}
    for name, node in spec.nodes.items():
        update: dict[str, Any] = {}
        if getattr(node, "activation", None) in SMOOTH:
            update["activation"] = SMOOTH[node.activation]
        if isinstance(node, Layer):
            update["grow"] = Grow(kernel=node.grow.kernel if node.grow else None)
        nodes[name] = node.model_copy(update=update)
    read = {source for node in spec.nodes.values() for source in node.sources}
    heads = []
    for name in spec.nodes:
        if name not in read:
            nodes[f"flat {name}"] = Flatten(sources=(name,))
            nodes[f"head {name}"] = Linear(sources=(f"flat {name}",), features=2)
            heads.append(f"head {name}")
    return replace(spec, nodes=nodes, outputs=tuple(heads), named_outputs=True)


def loss(prediction: dict[str, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    """Mean over samples of something that looks at every output; a smooth function of random features."""
    total = torch.zeros(len(target), dtype=target.dtype)
    for value in prediction.values():
        flat = value.flatten(1)
        total = total + (flat.mean(dim=1) - target).square() + 0.1 * flat.square().mean(dim=1)
    return total.mean()


def data_for(
    network: GrowingNetwork, samples: int = 60
) -> list[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs = random_inputs(network, samples)
    return [(inputs, torch.randn(samples, generator=generator, dtype=torch.float64))]


def measured_loss(network: GrowingNetwork, data: list) -> float:
    ((inputs, target),) = data
    with torch.no_grad():
        return float(loss(network(*inputs), target))


def check(spec: Spec, policy: Growth) -> int:
    """The slopes of all candidates against finite differences; how many there were."""
    network = compile_network(able_to_grow(spec), seed=0, dtype=torch.float64).eval()
    data = data_for(network)
    scheduler = GrowthScheduler(network, loss, policy=policy)
    before = measured_loss(network, data)
    state = copy.deepcopy(network.state_dict())
    able = [c for c in scheduler.plan(data).candidates if c.reason is None and not c.rescue]
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    for candidate in able:
        assert candidate.slope > 0
        draft = candidate.draft(network, policy)
        alphas = [fan.weight.abs().max() for fan in candidate.weights.fan_in]
        omegas = [fan.weight.abs().max() for fan in candidate.weights.fan_out]
        # Small beside everything it is multiplied with, or the curvature shows.
        s = 1e-5 / max(1.0, *(float(x) for x in (*alphas, *omegas))) ** 0.5
        measured = (before - measured_loss(draft.at(s**2), data)) / s**2
        noise = 1e-13 / s**2
        assert measured == pytest.approx(candidate.slope, rel=1e-2, abs=noise)
        predicted = measured_loss(draft.at(0.04), data)
        grown = copy.deepcopy((scheduler, candidate))
        grown[0].apply(grown[1], 0.04)
        assert measured_loss(grown[0].network, data) == pytest.approx(predicted, rel=1e-9)
        graph = grown[0].network.graph
        assert graph.parameter_count == sum(p.numel() for p in grown[0].network.parameters())
        assert graph.parameter_count == network.graph.parameter_count + candidate.delta_parameters
        assert graph.multiply_adds == network.graph.multiply_adds + candidate.delta_madds
    return len(able)


@settings(max_examples=20)
@given(specs(names=PLAIN, max_nodes=11), POLICIES)
def test_slopes_of_random_graphs(spec: Spec, policy: Growth) -> None:
    check(spec, policy)


@pytest.mark.slow
@settings(max_examples=50)
@given(specs(names=PLAIN, max_nodes=20), POLICIES)
def test_slopes_of_many_random_graphs(spec: Spec, policy: Growth) -> None:
    check(spec, policy)
