"""Widths that the author ties: groups with nothing else in common grow as one."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph import GrowingNetwork, GrowthScheduler, check_spec, compile_network, parse_spec
from gromo_graph.growth.losses import mean_loss
from gromo_graph.spec.settings import Growth, Neurons, Stop, When
from tests.growth.problems import batches

MSE = torch.nn.functional.mse_loss
TOGETHER = """
  a: {kind: linear, from: x, features: 3, activation: tanh, grow: {tie: both}}
  b: {kind: linear, from: x, features: 3, activation: gelu, grow: {tie: both}}
  j: {kind: merge, from: [a, b], merge: concat}
  h: {kind: linear, from: j, features: 4, activation: tanh}
  y: {kind: linear, from: h, features: 3}
"""
BEHIND = """
  a: {kind: linear, from: x, features: 3, activation: tanh, grow: {tie: both}}
  b: {kind: linear, from: a, features: 3, activation: softplus, grow: {tie: both}}
  h: {kind: linear, from: b, features: 4, activation: tanh}
  y: {kind: linear, from: h, features: 3}
"""
RESIDUAL = """
  a: {kind: linear, from: x, features: 3, activation: silu, grow: {tie: both}}
  p: {kind: linear, from: a, features: 3}
  s: {kind: merge, from: [a, p], activation: tanh}
  b: {kind: linear, from: s, features: 3, activation: gelu, grow: {tie: both}}
  y: {kind: linear, from: b, features: 3}
"""
GRAPHS = {"side by side": TOGETHER, "one behind the other": BEHIND, "a residual stream": RESIDUAL}
APART = Growth(when=When(every=1, until=1.0))


def network(nodes: str) -> GrowingNetwork:
    text = f"name: tied\nnodes:\n  x: {{kind: input, shape: [5]}}{nodes}output: y\n"
    return compile_network(parse_spec(text), seed=0, dtype=torch.float64)


def widening(scheduler: GrowthScheduler, target: str = "a"):
    return next(c for c in scheduler.plan(batches()).candidates if (c.kind, c.target) == ("widen", target))


@pytest.mark.parametrize("nodes", GRAPHS.values(), ids=GRAPHS)
def test_there_is_one_group_of_them(nodes: str) -> None:
    graph = network(nodes).graph
    tied = graph.group_of("a")
    assert graph.group_of("b") is tied
    assert [part.target for part in tied.parts] == ["a", "b"]
    assert tied.reason is None


@pytest.mark.parametrize("policy", [APART, Growth(apply_delta=True), Growth(scale="alpha_std")])
@pytest.mark.parametrize("nodes", GRAPHS.values(), ids=GRAPHS)
def test_their_slope_is_what_the_loss_does(nodes: str, policy: Growth) -> None:
    scheduler = GrowthScheduler(network(nodes), MSE, policy=policy)
    candidate = widening(scheduler)
    assert candidate.slope > 0
    before = mean_loss(scheduler.network, MSE, batches())
    scheduler, candidate = copy.deepcopy((scheduler, candidate))
    scheduler.apply(candidate, 1e-6)
    measured = (before - mean_loss(scheduler.network, MSE, batches())) / 1e-6
    assert measured == pytest.approx(candidate.slope, rel=1e-2)


@pytest.mark.parametrize("nodes", GRAPHS.values(), ids=GRAPHS)
def test_they_keep_the_same_width_and_the_network_is_what_was_promised(nodes: str) -> None:
    scheduler = GrowthScheduler(network(nodes), MSE, policy=APART, epochs=10)
    data = batches()
    for _ in range(3):
        event = scheduler.step(data, data)
        assert event.decision is None or event.loss_after < event.loss_before
        graph = scheduler.network.graph
        assert graph.features("a") == graph.features("b")
        assert graph.parameter_count == sum(p.numel() for p in scheduler.network.parameters())
    assert scheduler.network.graph.features("a") > 3


def test_their_neurons_are_those_of_each_group_alone() -> None:
    """The slope is the sum of the slopes of the groups, the i-th best of each being one neuron."""
    tied = widening(GrowthScheduler(network(TOGETHER), MSE, policy=APART))
    untied = network(TOGETHER.replace(", grow: {tie: both}", ""))
    scheduler = GrowthScheduler(untied, MSE, policy=Growth(neurons=Neurons(per_step=tied.neurons)))
    alone = [widening(scheduler, name) for name in ("a", "b")]
    assert [each.neurons for each in alone] == [tied.neurons] * 2
    assert tied.slope == pytest.approx(sum(each.slope for each in alone), rel=1e-9)
    assert tied.delta_parameters == sum(each.delta_parameters for each in alone)


def test_the_cost_of_groups_that_touch_counts_their_common_block() -> None:
    """New features of `a` are read by `b`, whose own new features read them too: more than both alone."""
    candidate = widening(GrowthScheduler(network(BEHIND), MSE, policy=APART))
    k = candidate.neurons
    assert candidate.delta_parameters == k * (5 + 1) + (3 + k) * (3 + k) - 9 + k + 4 * k


@pytest.mark.parametrize("criterion", ["random", "variance_transfer", "gradmax"])
@pytest.mark.parametrize("nodes", [TOGETHER, RESIDUAL])
def test_drawn_units_are_given_to_all_of_them(nodes: str, criterion: str) -> None:
    policy = Growth(criterion=criterion, neurons=Neurons(per_step=2), when=When(every=1, until=1.0))
    scheduler = GrowthScheduler(network(nodes), MSE, policy=policy, epochs=10)
    data = batches()
    before = mean_loss(scheduler.network, MSE, data)
    scheduler.apply(widening(scheduler))
    assert scheduler.network.graph.features("a") == scheduler.network.graph.features("b") == 5
    tolerance = 1e-3 if criterion == "gradmax" else 1e-12
    assert mean_loss(scheduler.network, MSE, data) == pytest.approx(before, rel=tolerance)


def test_the_budget_counts_all_of_them() -> None:
    start = network(TOGETHER)
    one = 2 * (5 + 1) + 2 * 4
    policy = Growth(stop=Stop(parameters=start.graph.parameter_count + 2 * one + 1))
    assert widening(GrowthScheduler(start, MSE, policy=policy)).neurons == 2


def test_the_tightest_limit_holds_for_all() -> None:
    nodes = TOGETHER.replace("gelu, grow: {tie: both}", "gelu, grow: {tie: both, max: 4}")
    scheduler = GrowthScheduler(network(nodes), MSE, policy=APART)
    assert widening(scheduler).neurons == 1


def test_one_that_cannot_grow_holds_the_others() -> None:
    nodes = TOGETHER.replace("features: 3}\n", "features: 3, grow: {tie: both}}\n")
    candidate = widening(GrowthScheduler(network(nodes), MSE, policy=APART))
    assert candidate.reason == "it is tied to `y`: its width is that of the output `y`"
    assert candidate.slope is None


def test_unequal_widths_cannot_be_tied() -> None:
    text = """
nodes:
  x: {kind: input, shape: [5]}
  a: {kind: linear, from: x, features: 3, grow: {tie: both}}
  b: {kind: linear, from: a, features: 4, grow: {tie: both}}
  y: {kind: linear, from: b, features: 3}
output: y
"""
    (problem,) = check_spec(text)
    assert "`b` has 4 features and `a`, to which it is tied, 3: give both the same" in str(problem)


def test_a_tie_of_images_and_rows_grows_through_norm_pool_and_flatten() -> None:
    text = """
name: mixed
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh, grow: {tie: all}}
  n: {kind: batch_norm, from: a}
  b: {kind: conv2d, from: n, features: 3, kernel: 3, activation: silu, grow: {tie: all}}
  p: {kind: avg_pool2d, from: b, kernel: 2}
  f: {kind: flatten, from: p}
  h: {kind: linear, from: f, features: 3, activation: tanh, grow: {tie: all}}
  y: {kind: linear, from: h, features: 2}
output: y
growth: {when: {every: 1, until: 1.0}}
"""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 2, 6, 6, generator=generator, dtype=torch.float64)
    y = torch.stack([x.mean(dim=(1, 2, 3)), x[:, 0].square().mean(dim=(1, 2))], dim=1)
    start = compile_network(parse_spec(text), seed=0, dtype=torch.float64).eval()
    scheduler = GrowthScheduler(start, MSE, epochs=10)
    event = scheduler.step([(x, y)], [(x, y)])
    assert event.decision is not None
    assert event.loss_after < event.loss_before
    assert event.decision.nodes == ("a", "b", "h")
    assert {start.graph.features(name) for name in ("a", "b", "h")} == {3 + event.decision.neurons}
