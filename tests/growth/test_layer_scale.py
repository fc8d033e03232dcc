"""`scale: auto`: the fan-in of layers with several positions gets the scale of their layer."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch

from gromo_graph import Growth, GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.losses import mean_loss
from gromo_graph.network import GrowingNetwork

F64 = torch.float64
MSE = torch.nn.functional.mse_loss

HEAD = """
  c: {kind: conv2d, from: m, features: 3, kernel: 3, padding: 1, activation: tanh, grow: false}
  f: {kind: flatten, from: c}
  y: {kind: linear, from: f, features: 3}
output: y
"""
PLAIN = """nodes:
  x: {kind: input, shape: [3, 6, 6]}
  m: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: ACTIVATION}"""
GATED = """nodes:
  x: {kind: input, shape: [3, 6, 6]}
  gate: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: sigmoid}
  b: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1}
  m: {kind: merge, from: [gate, b], merge: product}"""
EXCITED = """nodes:
  x: {kind: input, shape: [3, 6, 6]}
  a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: softplus}
  p: {kind: adaptive_avg_pool2d, from: a, size: 1}
  g: {kind: conv2d, from: p, features: 3, kernel: 1, activation: sigmoid}
  m: {kind: merge, from: [a, g], merge: product}"""
DENSE = """nodes:
  x: {kind: input, shape: [3, 6, 6]}
  flat: {kind: flatten, from: x}
  m: {kind: linear, from: flat, features: 3, activation: tanh}
  y: {kind: linear, from: m, features: 3}
output: y
"""


def network_of(nodes: str, activation: str = "relu") -> GrowingNetwork:
    """The network, in float64."""
    return compile_network(
        parse_spec(f"name: scaled\n{nodes.replace('ACTIVATION', activation)}"), seed=0, dtype=F64
    )


def first(scheduler: GrowthScheduler, data: Any) -> Any:
    """The candidate of the first group."""
    return scheduler.plan(data).candidates[0]


def images() -> Any:
    """Images and vectors to learn, in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 3, 6, 6, generator=generator, dtype=F64)
    flat = x.flatten(1)
    y = torch.stack((flat[:, 0].square(), flat[:, 1] * flat[:, 2], flat[:, 3].tanh()), dim=1)
    return [(x[:45], y[:45]), (x[45:], y[45:])]


@pytest.mark.parametrize(("nodes", "alike"), [(PLAIN + HEAD, "alpha_std"), (DENSE, "sqrt")])
def test_layers_with_positions_get_their_scale_and_dense_ones_do_not(nodes: str, alike: str) -> None:
    data, found = images(), {}
    for scale in ("auto", "sqrt", "alpha_std"):
        scheduler = GrowthScheduler(network_of(nodes), MSE, policy=Growth(scale=scale))
        found[scale] = first(scheduler, data).weights.fan_in[0].weight
    assert torch.equal(found["auto"], found[alike])
    assert not torch.allclose(found["sqrt"], found["alpha_std"])


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softplus", "gelu"])
def test_slopes_are_finite_differences_where_no_bias_could_take_a_shift_back(activation: str) -> None:
    data = images()
    scheduler = GrowthScheduler(network_of(PLAIN + HEAD, activation), MSE)
    _slope_is_exact(scheduler, first(scheduler, data), data)


def test_a_gate_that_is_named_first_grows_with_what_it_multiplies() -> None:
    """At rest what it multiplies is 0, so its own columns of S are too."""
    data = images()
    scheduler = GrowthScheduler(network_of(GATED + HEAD), MSE)
    candidate = first(scheduler, data)
    assert all(bool(fan_in.weight.isfinite().all()) for fan_in in candidate.weights.fan_in)
    _slope_is_exact(scheduler, candidate, data)


def test_rows_that_are_kept_give_the_scale_too() -> None:
    """With fewer samples than inputs of the layer S is not formed."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(12, size, generator=generator, dtype=F64) for size in (60, 3))
    network = network_of("""nodes:
  x: {kind: input, shape: [60]}
  m: {kind: linear, from: x, features: 3, activation: tanh}
  y: {kind: linear, from: m, features: 3}
output: y
""")
    scheduler = GrowthScheduler(network, MSE, policy={"scale": "alpha_std"})
    (fan_in,) = first(scheduler, [(x, y)]).weights.fan_in
    with torch.no_grad():
        old = network.growing("m").layer(x).std(dim=0, correction=0).mean()
        new = (x @ fan_in.weight.T + fan_in.bias).std(dim=0, correction=0)
    torch.testing.assert_close(new, old.expand_as(new))


def _slope_is_exact(scheduler: GrowthScheduler, candidate: Any, data: Any) -> None:
    assert candidate.slope > 0.0
    before = mean_loss(scheduler.network, MSE, data)
    scheduler, candidate = copy.deepcopy((scheduler, candidate))
    scheduler.apply(candidate, 1e-6)
    measured = (before - mean_loss(scheduler.network, MSE, data)) / 1e-6
    assert measured == pytest.approx(candidate.slope, rel=1e-2)


@pytest.mark.parametrize("scale", ["auto", "sqrt", "alpha_std"])
def test_a_gate_of_one_position_over_units_that_rest_elsewhere_is_left_out(scale: str) -> None:
    data = images()
    scheduler = GrowthScheduler(network_of(EXCITED + HEAD), MSE, policy={"scale": scale})
    (left,) = [each for each in scheduler.plan(data).candidates if each.target == "a"]
    assert "multiplies each position by `g`" in left.reason


@pytest.mark.parametrize("scale", ["auto", "sqrt", "alpha_std"])
def test_gradmax_has_no_fan_in_to_scale(scale: str) -> None:
    scheduler = GrowthScheduler(
        network_of(PLAIN + HEAD, "softplus"), MSE, policy={"criterion": "gradmax", "scale": scale}
    )
    assert "so no bias can take it back" in first(scheduler, images()).reason


def test_a_constant_network_begins_anew_even_if_no_bias_could_take_a_shift_back() -> None:
    nodes = (PLAIN + HEAD).replace("activation: tanh, grow: false", "activation: relu, bias: false")
    network = network_of(nodes, "sigmoid")
    with torch.no_grad():
        network.growing("c").layer.weight.abs_().neg_()
    data = images()
    event = GrowthScheduler(network, MSE, epochs=4).step(data, data)
    assert event is not None
    assert "rescue" in str(event.reason)
    assert network.graph.features("m") > 3


def test_a_policy_of_a_loop_leads_to_targets_in_the_middle_too() -> None:
    network = network_of(DENSE.replace("tanh}", "tanh, grow: {target: 6}}"))
    scheduler = GrowthScheduler(network, MSE, policy={"ridge": 0.2}, epochs=10)
    when = scheduler.policy.when
    assert (when.begin, when.until, when.steps, when.spacing) == (0.5, 0.6, 2, None)
    scheduler.use(Growth(), epochs=4)
    assert scheduler.policy.when == when
    assert GrowthScheduler(network, MSE, policy={"when": {"until": 0.3}}, epochs=10).policy.when.until == 0.3


def test_nobody_is_told_about_ticks_that_nobody_asked_for() -> None:
    text = "nodes:\n  x: {kind: input, shape: [3]}\n  h: {kind: linear, from: x, features: 2, grow: {target: 6}}\n"
    text += "  y: {kind: linear, from: h, features: 3}\noutput: y\n"
    network = compile_network(parse_spec(text), seed=0)
    x, y = torch.randn(40, 3), torch.randn(40, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler = GrowthScheduler(network, MSE, epochs=2)
        for _ in range(2):
            scheduler.step([(x, y)], [(x, y)])
    assert network.graph.features("h") == 6
