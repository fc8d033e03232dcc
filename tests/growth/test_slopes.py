"""Slopes against finite differences of the loss, in float64."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from gromo_graph import GrowthScheduler, compile_network, parse_spec
from tests.growth.problems import ACTIVATIONS, batches, chain, loss_over, pend, sizes_agree

MSE = torch.nn.functional.mse_loss


def finite_difference(scheduler: GrowthScheduler, candidate: object, data: list, gamma: float) -> float:
    pair = copy.deepcopy((scheduler, candidate))
    copied, chosen = pair
    before = loss_over(copied.network, data)
    copied.apply(chosen, gamma)
    return (before - loss_over(copied.network, data)) / gamma


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("growth", ["{}", "{apply_delta: true}", "{scale: alpha_std}", "{ridge: 0}"])
def test_slope_is_the_finite_difference_of_the_loss(activation: str, growth: str) -> None:
    network = chain(activation=activation, growth=growth)
    data = batches()
    scheduler = GrowthScheduler(network, MSE)
    plan = scheduler.plan(data)
    able = [candidate for candidate in plan.candidates if candidate.reason is None]
    assert {candidate.target for candidate in able} == {"h1", "h2"}
    for candidate in able:
        assert candidate.slope > 0
        measured = finite_difference(scheduler, candidate, data, 1e-6)
        assert measured == pytest.approx(candidate.slope, rel=1e-2)


@pytest.mark.parametrize(
    "activation",
    [
        *("relu6", "hardswish", "hardsigmoid", "mish", "softsign", "celu"),
        *("{leaky_relu: 0.3}", "{gelu: tanh}", "{elu: 0.5}", "{hardtanh: [-0.5, 2]}", "{softplus: 3.0}"),
    ],
)
def test_slopes_of_further_activations(activation: str) -> None:
    test_slope_is_the_finite_difference_of_the_loss(activation, "{}")


@pytest.mark.parametrize("activation", ["sigmoid", "softplus"])
def test_without_compensation_the_slope_would_be_something_else(activation: str) -> None:
    """The bias of the consumer takes back what a new unit gives at rest; a test that this matters."""
    network = chain(activation=activation)
    data = batches()
    scheduler = GrowthScheduler(network, MSE)
    candidate = replace(scheduler.plan(data).candidates[0], shifts={})
    measured = finite_difference(scheduler, candidate, data, 1e-6)
    assert abs(measured - candidate.slope) > 0.5 * candidate.slope


def test_a_unit_at_rest_needs_a_bias_in_its_consumer() -> None:
    network = chain(activation="sigmoid", bias=False)
    plan = GrowthScheduler(network, MSE).plan(batches())
    assert all("has no bias to take it back" in c.reason for c in plan.candidates if c.target != "y")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_after_applying_is_what_extended_forward_promised(activation: str) -> None:
    network = chain(activation=activation).float()
    data = [(x.float(), y.float()) for x, y in batches()]
    scheduler = GrowthScheduler(network, MSE)
    candidate = scheduler.plan(data).candidates[0]
    x = data[0][0]
    pend(network, candidate, 0.37)
    promised = network.extended_forward(x)
    assert not torch.allclose(promised, network(x), atol=1e-4)
    scheduler.apply(candidate, 0.37)
    assert sizes_agree(network)
    torch.testing.assert_close(network(x), promised, atol=1e-5, rtol=1e-5)


def test_candidates_do_not_influence_each_other() -> None:
    network = chain(widths=(3, 2, 4))
    spec, data = network.spec, batches()
    alone = {}
    for kept in ("h1", "h2", "h3"):
        nodes = {
            name: node.model_copy(update={"grow": False}) if name.startswith("h") and name != kept else node
            for name, node in spec.nodes.items()
        }
        other = compile_network(replace(spec, nodes=nodes), seed=0, dtype=torch.float64)
        (candidate,) = [c for c in GrowthScheduler(other, MSE).plan(data).candidates if c.reason is None]
        alone[kept] = candidate.slope
    together = {
        c.target: c.slope for c in GrowthScheduler(network, MSE).plan(data).candidates if c.reason is None
    }
    assert together == pytest.approx(alone, rel=1e-9)


def test_few_samples_use_the_gradient_as_it_is_and_say_so() -> None:
    network = chain()
    data = batches(6, size=6)
    scheduler = GrowthScheduler(network, MSE)
    (candidate,) = [c for c in scheduler.plan(data).candidates if c.target == "h1"]
    assert candidate.note.startswith("few samples: new neurons may repeat what present weights can learn")
    assert finite_difference(scheduler, candidate, data, 1e-6) == pytest.approx(candidate.slope, rel=1e-2)


RESTING = """
nodes:
  x: {{kind: input, shape: {shape}}}
  a: {{kind: {layer}, from: x, features: 4, activation: {activation}}}
  n: {{{behind}, from: a}}
  b: {{kind: {layer}, from: n, features: 3, activation: tanh, grow: false}}
  f: {{kind: flatten, from: b}}
  y: {{kind: linear, from: f, features: 2}}
output: y
"""


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "tanh"])
@pytest.mark.parametrize(
    ("behind", "shape"),
    [
        ("kind: group_norm, groups: 2", (5,)),
        ("kind: group_norm, groups: 4", (2, 3, 3)),
        ("kind: group_norm, groups: 2, activation: softplus", (2, 3, 3)),
        ("kind: batch_norm", (2, 3, 3)),
        ("kind: affine", (2, 3, 3)),
        ("kind: prelu, shared: false", (2, 3, 3)),
        ("kind: depthwise_conv2d, kernel: 3", (2, 3, 3)),
        ("kind: upsample2d, size: 5, mode: bilinear", (2, 3, 3)),
    ],
)
def test_slopes_of_new_channels_that_rest_at_another_value_than_0(
    behind: str, shape: tuple[int, ...], activation: str
) -> None:
    layer = "linear" if len(shape) == 1 else "conv2d, kernel: 1"
    text = RESTING.format(shape=list(shape), layer=layer, behind=behind, activation=activation)
    network = compile_network(parse_spec(text), seed=0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, *shape, generator=generator, dtype=torch.float64)
    data = [(x, torch.stack([x.flatten(1)[:, 0].square(), x.flatten(1)[:, 1].tanh()], dim=1))]
    scheduler = GrowthScheduler(network, MSE)
    (candidate,) = [each for each in scheduler.plan(data).candidates if each.target == "a"]
    assert candidate.reason is None
    assert finite_difference(scheduler, candidate, data, 1e-7) == pytest.approx(candidate.slope, rel=1e-2)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("features", [1, 4])
def test_a_trained_slope_grows_with_its_features(shared: bool, features: int) -> None:
    """New features pass it at 0, its kink; of a single feature too it is told whether each has a slope of its own."""
    behind = f"kind: prelu, shared: {str(shared).lower()}"
    text = RESTING.format(shape=[5], layer="linear", behind=behind, activation="identity")
    network = compile_network(
        parse_spec(text.replace("features: 4", f"features: {features}")), seed=0
    ).double()
    with torch.no_grad():
        network.parts["n"].weight.fill_(0.5)
    data = [(x, y[:, :2]) for x, y in batches()]
    scheduler = GrowthScheduler(network, MSE)
    (candidate,) = [each for each in scheduler.plan(data).candidates if each.target == "a"]
    assert finite_difference(scheduler, candidate, data, 1e-7) == pytest.approx(candidate.slope, rel=1e-2)
    scheduler.apply(candidate, 0.01)
    slopes = network.parts["n"].weight
    assert slopes.tolist() == ([0.5] if shared else [0.5] * features + [0.25] * candidate.neurons)
    assert network.graph.parameter_count == sum(parameter.numel() for parameter in network.parameters())
    x = data[0][0]
    torch.testing.assert_close(network.to_torch()(x), network(x))
