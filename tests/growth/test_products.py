"""Groups whose channels are multiplied and all start at 0: a drawn fan-in, and a fan-out with an exact slope."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.candidates.widen import Widening

ROWS = """
nodes:
  x: {kind: input, shape: [5]}
  h: {kind: linear, from: x, features: 6, activation: tanh}
  gate: {kind: linear, from: h, features: 4, activation: silu}
  up: {kind: linear, from: h, features: 4}
  both: {kind: merge, from: [gate, up], merge: product}
  down: {kind: linear, from: both, features: 3, activation: tanh}
  more: {kind: linear, from: both, features: 3, bias: false}
  sum: {kind: merge, from: [down, more]}
  y: {kind: linear, from: sum, features: 2}
output: y
"""
IMAGES = """
nodes:
  x: {kind: input, shape: [2, 5, 4]}
  gate: {kind: conv2d, from: x, features: 3, kernel: 3, padding: same, activation: tanh}
  up: {kind: conv2d, from: x, features: 3, kernel: 1}
  both: {kind: merge, from: [gate, up], merge: product}
  down: {kind: conv2d, from: both, features: 3, kernel: 3, activation: tanh}
  pool: {kind: max_pool2d, from: both, kernel: 2}
  row: {kind: flatten, from: pool}
  other: {kind: linear, from: row, features: 2}
  mean: {kind: adaptive_avg_pool2d, from: down, size: 1}
  flat: {kind: flatten, from: mean}
  last: {kind: linear, from: flat, features: 2}
  y: {kind: merge, from: [last, other]}
output: y
"""
SHAPES = {ROWS: (5,), IMAGES: (2, 5, 4)}


def network_of(text: str) -> GrowingNetwork:
    return compile_network(parse_spec(text), seed=0, dtype=torch.float64).eval()


def data(text: str) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(60, *SHAPES[text], generator=generator, dtype=torch.float64)
    target = x.flatten(1)[:, :4].unflatten(1, (2, 2)).prod(dim=2)
    return [(x[:40], target[:40]), (x[40:], target[40:])]


def loss_over(network: GrowingNetwork, text: str) -> float:
    with torch.no_grad():
        return sum(float(mse_loss(network(x), y)) * len(x) for x, y in data(text)) / 60


def scheduler_of(network: GrowingNetwork, **policy: object) -> GrowthScheduler:
    generator = torch.Generator().manual_seed(3)
    return GrowthScheduler(network, mse_loss, policy=policy, generator=generator)


def candidate_of(scheduler: GrowthScheduler, text: str) -> Widening:
    (found,) = (each for each in scheduler.plan(data(text)).candidates if each.target == "gate")
    assert isinstance(found, Widening), found.reason
    assert "the best of drawn neurons" in found.note
    return found


@pytest.mark.parametrize("text", [ROWS, IMAGES], ids=["rows", "images"])
@pytest.mark.parametrize(
    "policy",
    [{}, {"criterion": "natural"}, {"kernel": "centre", "apply_delta": True}, {"scale": "alpha_std"}],
    ids=["tiny", "natural", "centre", "alpha_std"],
)
def test_slopes_are_what_the_loss_does(text: str, policy: dict[str, object]) -> None:
    network = network_of(text)
    scheduler = scheduler_of(network, **policy)
    candidate = candidate_of(scheduler, text)
    assert candidate.slope is not None
    assert candidate.slope > 0
    before, draft = loss_over(network, text), candidate.draft(network, scheduler.policy)
    gamma = 1e-7 / max(1.0, candidate.slope)
    assert (before - loss_over(draft.at(gamma), text)) / gamma == pytest.approx(candidate.slope, rel=1e-3)
    predicted = loss_over(draft.at(0.1), text)
    grown, same = copy.deepcopy((scheduler, candidate))
    event = grown.apply(same, 0.1)
    assert event.loss_after == pytest.approx(predicted, rel=1e-12)
    assert grown.network.graph.parameter_count == network.graph.parameter_count + candidate.delta_parameters
    assert loss_over(network, text) == before


def test_only_the_middle_tap_reads_new_channels_if_the_kernel_says_so() -> None:
    network = network_of(IMAGES)
    scheduler = scheduler_of(network, kernel="centre", neurons={"per_step": 2})
    scheduler.apply(candidate_of(scheduler, IMAGES), 1.0)
    new = network.growing("down").weight[:, 3:].detach().abs()
    assert float(new[:, :, 1, 1].min()) > 0
    assert float(new.sum() - new[:, :, 1, 1].sum()) == 0


def test_a_step_lowers_the_loss_and_the_fan_in_stays_as_it_was_drawn() -> None:
    network = network_of(ROWS)
    scheduler = scheduler_of(network, neurons={"per_step": 2})
    candidate = candidate_of(scheduler, ROWS)
    event = scheduler.apply(candidate)
    assert event.decision is not None
    assert event.loss_after < event.loss_before
    for name, fan_in in zip(("gate", "up"), candidate.weights.fan_in, strict=True):
        torch.testing.assert_close(network.growing(name).weight[4:], fan_in.weight)
    plain = network.to_torch()
    x = data(ROWS)[0][0]
    torch.testing.assert_close(plain(x), network(x))


def test_neurons_alike_promise_no_more_than_one_of_them() -> None:
    """So γ = 1 is about the best step, however many of them there are."""
    network = network_of(ROWS)
    with torch.no_grad():
        network.growing("h").weight[1:] = network.growing("h").weight[:1]
        network.growing("h").bias[1:] = network.growing("h").bias[:1]
    scheduler = scheduler_of(network, neurons={"per_step": 16})
    several = candidate_of(scheduler, ROWS)
    assert several.neurons > 8
    assert 0.25 <= scheduler.apply(several).gamma <= 16


def test_one_seed_gives_one_plan() -> None:
    network = network_of(ROWS)
    slopes = [candidate_of(scheduler_of(network), ROWS).slope for _ in range(2)]
    assert slopes[0] == slopes[1]


@pytest.mark.parametrize("criterion", ["random", "gradmax", "variance_transfer"])
def test_other_criteria_draw_what_changes_nothing(criterion: str) -> None:
    network = network_of(ROWS)
    scheduler = scheduler_of(network, criterion=criterion)
    (found,) = (each for each in scheduler.plan(data(ROWS)).candidates if each.target == "gate")
    assert "the best of drawn neurons" not in found.note
    if criterion != "gradmax":  # its fan-out meets a gradient of 0
        assert scheduler.apply(found).loss_after == pytest.approx(loss_over(network_of(ROWS), ROWS))


def test_tied_groups_are_left_out_with_the_reason() -> None:
    text = ROWS.replace("features: 6,", "features: 4, grow: {tie: a},").replace(
        "gate: {kind: linear, from: h, features: 4,",
        "gate: {kind: linear, from: h, features: 4, grow: {tie: a},",
    )
    network = network_of(text)
    (found,) = (each for each in scheduler_of(network).plan(data(ROWS)).candidates if each.target == "h")
    assert found.reason is not None
    assert "all that `both` multiplies starts at 0" in found.reason
    (found,) = (
        each
        for each in scheduler_of(network, scale="alpha_std").plan(data(ROWS)).candidates
        if each.target == "h"
    )
    assert found.reason == "no new neuron would lower the loss"
