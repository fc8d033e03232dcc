"""Small facts about planning and applying growth that a slip in one line would break."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network, parse_spec
from gromo_graph.modules import GrowingModule
from tests.growth.problems import batches, chain

F64 = torch.float64
MSE = torch.nn.functional.mse_loss
close = torch.testing.assert_close


def compiled(nodes: str, growth: str = "{}") -> GrowingNetwork:
    """The network of some nodes, in float64."""
    lines = "\n".join(f"  {line}" for line in nodes.strip().splitlines())
    text = f"version: 1\nname: slips\nnodes:\n{lines}\noutput: y\ngrowth: {growth}\n"
    return compile_network(parse_spec(text), seed=0, dtype=F64)


def planned(
    scheduler: GrowthScheduler, loader: list[tuple[Tensor, Tensor]]
) -> dict[str, tuple[float, float]]:
    """Slope and predicted slope by target."""
    found = {}
    for candidate in scheduler.plan(loader).candidates:
        if candidate.reason is None:
            assert candidate.slope is not None
            assert candidate.predicted is not None
            found[candidate.target] = (candidate.slope, candidate.predicted)
    assert found
    return found


def test_a_plan_knows_nothing_of_the_weights_that_an_earlier_one_saw() -> None:
    loader, generator = batches(), torch.Generator().manual_seed(3)
    scheduler = GrowthScheduler(chain(), MSE)
    scheduler.plan(loader)
    with torch.no_grad():
        for parameter in scheduler.network.parameters():
            parameter += torch.randn(parameter.shape, generator=generator, dtype=F64)
    fresh = copy.deepcopy(scheduler.network)
    for module in fresh.modules():
        if isinstance(module, GrowingModule):
            module.delta_raw = None
    expected = planned(GrowthScheduler(fresh, MSE), loader)
    again = planned(scheduler, loader)
    assert again.keys() == expected.keys()
    for target, values in again.items():
        assert values == pytest.approx(expected[target], rel=1e-9)


def test_the_delta_adds_as_much_to_what_is_predicted_as_to_the_slope() -> None:
    """It is linear, so that what it promises is what it does."""
    with_delta, without = (
        planned(GrowthScheduler(chain(growth=f"{{apply_delta: {applied}}}"), MSE), batches())
        for applied in ("true", "false")
    )
    assert with_delta.keys() == without.keys()
    for target, (slope, predicted) in with_delta.items():
        gained = slope - without[target][0]
        assert gained > 0.0
        assert predicted - without[target][1] == pytest.approx(gained, rel=1e-9)


def test_a_norm_behind_a_sum_learns_the_mean_of_new_channels_over_all_batches() -> None:
    network = compiled("""
x: {kind: input, shape: [5]}
a: {kind: linear, from: x, features: 3}
b: {kind: linear, from: x, features: 3}
m: {kind: merge, from: [a, b]}
n: {kind: batch_norm, from: m, activation: tanh}
y: {kind: linear, from: n, features: 3}
""")
    (x, y), *_ = batches(120, size=120)
    x[90:] += 1.0
    loader = [(x[:90], y[:90]), (x[90:], y[90:])]
    event = GrowthScheduler(network, MSE, epochs=10).step(loader, loader)
    assert event is not None
    assert event.decision is not None
    (norm,) = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    with torch.no_grad():
        entering = network.growing("a").layer(x) + network.growing("b").layer(x)
    assert norm.running_mean is not None
    assert len(norm.running_mean) > 3
    close(norm.running_mean[3:], entering[:, 3:].mean(dim=0))


def test_a_dilated_kernel_whose_middle_stays_inside_is_no_obstacle() -> None:
    """Units of a sigmoid start at 0.5; the middle tap never reads the zeros around them."""
    network = compiled("""
x: {kind: input, shape: [2, 9]}
c: {kind: conv1d, from: x, features: 3, kernel: 1, activation: sigmoid}
d: {kind: depthwise_conv1d, from: c, kernel: 3, dilation: 2, padding: 2}
f: {kind: flatten, from: d}
y: {kind: linear, from: f, features: 2}
""")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, 9, generator=generator, dtype=F64)
    y = torch.randn(60, 2, generator=generator, dtype=F64)
    found = {
        candidate.target: candidate for candidate in GrowthScheduler(network, MSE).plan([(x, y)]).candidates
    }
    assert found["c"].reason is None
    assert found["c"].slope is not None
