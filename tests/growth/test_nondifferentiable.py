"""Slopes at exact kinks are marked, and no others."""

from __future__ import annotations

import pytest
import torch

from gromo_graph import GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.nondifferentiable import watching
from gromo_graph.spec.settings import Growth
from tests.growth.problems import ACTIVATIONS

MSE = torch.nn.functional.mse_loss


def planned(activation: str, *, bias: bool, seed: int = 0):
    """Two hidden layers; the first one's units are all 0 for some samples."""
    text = f"""
nodes:
  x: {{kind: input, shape: [3]}}
  h: {{kind: linear, from: x, features: 2, activation: relu}}
  k: {{kind: linear, from: h, features: 3, activation: {activation}, bias: {str(bias).lower()}}}
  y: {{kind: linear, from: k, features: 2}}
output: y
"""
    generator = torch.Generator().manual_seed(seed)
    data = [tuple(torch.randn(80, n, generator=generator, dtype=torch.float64) for n in (3, 2))]
    network = compile_network(parse_spec(text), seed=seed, dtype=torch.float64)
    actions = ("widen", "new_edge", "new_node")
    return GrowthScheduler(network, MSE, policy=Growth(actions=actions)).plan(data).candidates


def test_units_at_a_kink_are_told() -> None:
    found = {c.target: c.inexact for c in planned("relu", bias=False) if c.slope is not None}
    assert "of what enters the activation of `k` leaves its kink" in found["h"]
    assert found["x->k"] is not None  # what it adds passes the same activation
    assert found["k"] is None  # what it adds comes in behind it


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nothing_is_marked_without_a_kink_or_off_it(activation: str) -> None:
    smooth = activation not in ("relu", "leaky_relu", "selu")
    assert not any(c.inexact for c in planned(activation, bias=True))
    assert any(c.inexact for c in planned(activation, bias=False)) != smooth


def test_measuring_an_activation_is_not_taken_for_running_the_network() -> None:
    network = compile_network(
        parse_spec(
            "nodes:\n  x: {kind: input, shape: [2]}\n  h: {kind: linear, from: x, features: 2, activation: relu}\n"
            "  y: {kind: linear, from: h, features: 1}\noutput: y\n"
        ),
        seed=0,
    )
    with watching(network) as kinks:
        with torch.no_grad():
            network.growing("h").post_layer_function(torch.zeros(3, 2))
        network(torch.randn(5, 2)).sum().backward()
    assert kinks.sums["h"][0] == 0.0 < kinks.sums["h"][1]
