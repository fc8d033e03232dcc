"""`neurons.alike`: new neurons are unlike those that are there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gromo_graph import Growth, GrowthScheduler, compile_network, parse_spec
from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.growth.candidates import group_neurons
from gromo_graph.growth.candidates.preactivations import Preactivations, unlike_old
from gromo_graph.modules.growing_module import LinkedGroup
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import When

F64 = torch.float64
MSE = torch.nn.functional.mse_loss
CONVOLUTIONS = """
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  c: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: relu}
  f: {kind: flatten, from: c}
  y: {kind: linear, from: f, features: 4}
output: y
"""
DENSE = """
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  f: {kind: flatten, from: x}
  h: {kind: linear, from: f, features: 3, activation: relu}
  y: {kind: linear, from: h, features: 4}
output: y
"""


def data(samples: int = 80) -> list[tuple[Tensor, Tensor]]:
    """Images, and products of their values to learn, in float64."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(samples, 2, 6, 6, generator=generator, dtype=F64)
    flat = x.flatten(1)
    return [(x, torch.stack([flat[:, k] * flat[:, k + 1] for k in range(4)], dim=1))]


def network_of(nodes: str) -> GrowingNetwork:
    """Some network in float64."""
    return compile_network(parse_spec(f"name: unlike\n{nodes}"), seed=0, dtype=F64)


def channels(network: GrowingNetwork, name: str, x: Tensor) -> Tensor:
    """The values of a layer before its activation, (positions of all samples, channels)."""
    layer = network.growing(name).layer
    with torch.no_grad():
        values = layer(x) if name == "c" else layer(x.flatten(1))
    return values.transpose(0, 1).flatten(1).t()


@pytest.mark.parametrize(
    ("nodes", "name", "samples"), [(CONVOLUTIONS, "c", 80), (DENSE, "h", 80), (DENSE, "h", 30)]
)
def test_deviations_and_correlations_are_those_of_the_values(
    monkeypatch: pytest.MonkeyPatch, nodes: str, name: str, samples: int
) -> None:
    """With 30 samples of 72 values S is not formed: their rows are kept."""
    network, ((x, y),) = network_of(nodes), data(samples)
    seen: list[tuple[Tensor, Tensor]] = []

    def look(linked: LinkedGroup, neurons: GroupNeurons, most: float) -> GroupNeurons:
        values = Preactivations(linked)
        seen.append((values.deviations(values.old), values.correlations(values.old, values.old)))
        return unlike_old(linked, neurons, most)

    monkeypatch.setattr(group_neurons, "unlike_old", look)
    GrowthScheduler(network, MSE, policy={"neurons": {"alike": 0.5}}).plan([(x, y)])
    ((deviations, correlations),) = seen
    expected = channels(network, name, x)
    torch.testing.assert_close(
        deviations / deviations[0], expected.std(dim=0) / expected.std(dim=0)[0], atol=1e-6, rtol=1e-6
    )
    torch.testing.assert_close(correlations, torch.corrcoef(expected.t()), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("nodes", "name"), [(CONVOLUTIONS, "c"), (DENSE, "h")])
@pytest.mark.parametrize("most", [0.2, 0.5])
def test_new_neurons_are_no_more_alike_than_is_allowed(nodes: str, name: str, most: float) -> None:
    network, batches = network_of(nodes), data()
    scheduler = GrowthScheduler(network, MSE, policy={"neurons": {"alike": most, "per_step": 3}})
    old = len(network.growing(name).layer.weight)
    event = scheduler.apply(scheduler.plan(batches).candidates[0], 1.0)
    assert event is not None
    values = channels(network, name, batches[0][0])
    between = torch.corrcoef(values.t())[old:, :old].abs()
    assert len(between) > 0
    assert bool((between <= most + 1e-6).all())


def test_without_a_limit_they_are_more_alike() -> None:
    """The gradient asks for what is there already."""
    network, batches = network_of(CONVOLUTIONS), data()
    scheduler = GrowthScheduler(network, MSE, policy={"neurons": {"alike": 1.0, "per_step": 3}})
    for _ in range(3):
        scheduler.apply(scheduler.plan(batches).candidates[0], 0.01)
    between = torch.corrcoef(channels(network, "c", batches[0][0]).t()).abs().tril(-1)
    assert float(between.max()) > 0.5


def test_the_one_least_alike_is_left_if_all_are_alike() -> None:
    network, batches = network_of(CONVOLUTIONS), data()
    found = {}
    for most in (1e-6, 1.0):
        scheduler = GrowthScheduler(network, MSE, policy={"neurons": {"alike": most}})
        found[most] = scheduler.plan(batches).candidates[0]
    assert found[1e-6].weights.size == 1 < found[1.0].weights.size


def test_layers_with_positions_have_a_limit_and_dense_ones_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def look(linked: LinkedGroup, neurons: GroupNeurons, most: float) -> GroupNeurons:
        limits.append(most)
        return neurons

    monkeypatch.setattr(group_neurons, "unlike_old", look)
    for nodes in (CONVOLUTIONS, DENSE):
        GrowthScheduler(network_of(nodes), MSE).plan(data())
    assert limits == [0.5]
    assert Growth(when=When(every=1)).neurons.alike == 1.0, "release 0.1 had no limit"
    assert parse_spec(f"name: old\n{CONVOLUTIONS}", defaults=5).growth.neurons.alike == 1.0
