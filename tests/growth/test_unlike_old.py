"""`neurons.alike`: new neurons are unlike those that are there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gromo_graph import Growth, GrowthScheduler, compile_network, parse_spec
from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.growth.candidates import group_neurons
from gromo_graph.growth.candidates.preactivations import Preactivations, unlike_old
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
    ("nodes", "name", "samples"),
    [
        (CONVOLUTIONS, "c", 80),
        (CONVOLUTIONS.replace("kernel: 3,", "kernel: 3, bias: false,"), "c", 80),
        (DENSE, "h", 80),
        (DENSE, "h", 30),
    ],
)
def test_deviations_and_correlations_are_those_of_the_values(
    monkeypatch: pytest.MonkeyPatch, nodes: str, name: str, samples: int
) -> None:
    """Without a constant they are root mean squares and cosines. With 30 samples of 72 values rows are kept, not S."""
    network, ((x, y),) = network_of(nodes), data(samples)
    seen: list[tuple[Tensor, Tensor]] = []

    def look(
        values: Preactivations, neurons: GroupNeurons, limit: float, *, wanted: int, unit: int
    ) -> GroupNeurons:
        seen.append((values.old_deviations, values.correlations(values.old)))
        return unlike_old(values, neurons, limit, wanted=wanted, unit=unit)

    monkeypatch.setattr(group_neurons, "unlike_old", look)
    GrowthScheduler(network, MSE, policy={"neurons": {"alike": 0.5}}).plan([(x, y)])
    ((deviations, correlations),) = seen
    expected = channels(network, name, x)
    if network.growing(name).layer.bias is not None:
        expected = expected - expected.mean(dim=0)
    spread = expected.norm(dim=0)
    torch.testing.assert_close(deviations / deviations[0], spread / spread[0], atol=1e-6, rtol=1e-6)
    if network.growing(name).layer.bias is not None:  # else S counts each sample once, whatever its positions
        torch.testing.assert_close(deviations, expected.std(dim=0, correction=0), atol=1e-6, rtol=1e-6)
    cosines = (expected / spread).t() @ (expected / spread)
    torch.testing.assert_close(correlations, cosines, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("nodes", "name"), [(CONVOLUTIONS, "c"), (DENSE, "h")])
@pytest.mark.parametrize("most", [0.3, 0.5])
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


@pytest.mark.parametrize("wanted", [1, 3, 100])
def test_as_many_as_are_wanted_are_left_and_they_are_the_least_alike(
    monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def look(values: Preactivations, neurons: GroupNeurons, limit: float, **_: int) -> GroupNeurons:
        kept = unlike_old(values, neurons, 1e-6, wanted=wanted)
        alike = [values.correlations(each.fan_in).abs().amax(dim=1) for each in (neurons, kept)]
        seen.append((alike[0], alike[1]))
        return neurons

    monkeypatch.setattr(group_neurons, "unlike_old", look)
    GrowthScheduler(network_of(CONVOLUTIONS), MSE).plan(data())
    ((before, after),) = seen
    assert len(before) > 3
    torch.testing.assert_close(after.sort().values, before.sort().values[:wanted])


def test_neurons_that_come_in_groups_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = CONVOLUTIONS.replace("features: 3,", "features: 4,").replace("activation: relu}", "bias: false}")
    nodes = nodes.replace(
        "  f: {kind: flatten, from: c}",
        "  n: {kind: group_norm, from: c, groups: 2, activation: relu}\n  f: {kind: flatten, from: n}",
    )
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def look(
        values: Preactivations, neurons: GroupNeurons, limit: float, *, wanted: int, unit: int
    ) -> GroupNeurons:
        assert unit == 2
        each = values.correlations(neurons.fan_in).abs().amax(dim=1)
        median = float(each[: len(each) // 2 * 2].reshape(-1, 2).mean(dim=1).median())
        kept = unlike_old(values, neurons, median, wanted=2, unit=unit)
        seen.append((neurons.fan_in[0].weight, kept.fan_in[0].weight, each))
        return kept

    monkeypatch.setattr(group_neurons, "unlike_old", look)
    GrowthScheduler(network_of(nodes), MSE, policy={"allow_jump": True}).plan(data())
    ((before, after, each),) = seen
    assert 0 < len(after) < len(before)
    pairs = [tuple(pair) for pair in before[: len(before) // 2 * 2].reshape(-1, 2, *before.shape[1:])]
    means = [float(pair.mean()) for pair in each[: len(each) // 2 * 2].split(2)]
    limit = sorted(means)[(len(means) - 1) // 2]
    expected = [row for pair, mean in zip(pairs, means, strict=True) if mean <= limit for row in pair]
    assert torch.equal(after, torch.stack(expected))


def test_layers_with_positions_have_a_limit_and_dense_ones_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def look(
        values: Preactivations, neurons: GroupNeurons, limit: float, *, wanted: int, unit: int
    ) -> GroupNeurons:
        limits.append(limit)
        return neurons

    monkeypatch.setattr(group_neurons, "unlike_old", look)
    for nodes in (CONVOLUTIONS, DENSE):
        GrowthScheduler(network_of(nodes), MSE).plan(data())
    assert limits == [0.5]
    assert Growth(when=When(every=1)).neurons.alike == 1.0, "release 0.1 had no limit"
    assert parse_spec(f"name: old\n{CONVOLUTIONS}", defaults=5).growth.neurons.alike == 1.0
