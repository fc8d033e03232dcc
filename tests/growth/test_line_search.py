"""The line search."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gromo_graph import GrowthScheduler, compile_network, parse_spec
from gromo_graph.growth.steps.line_search import LARGEST, SMALLEST, THOROUGH, USUAL, Effort, search

THREE_LOOKS = Effort(LARGEST, 3, is_thorough=True)


@given(st.floats(SMALLEST + 1, LARGEST - 1))
def test_finds_the_lowest_of_a_bowl(best: float) -> None:
    found = search(lambda gamma: (math.log2(gamma) - best) ** 2, 1000.0)
    assert abs(math.log2(found.gamma) - best) <= 1.0


@given(st.floats(SMALLEST + 1, LARGEST - 1))
def test_finds_it_well_with_three_looks(best: float) -> None:
    found = search(lambda gamma: (math.log2(gamma) - best) ** 2, 1000.0, THREE_LOOKS)
    assert abs(math.log2(found.gamma) - best) < 0.25


@pytest.mark.parametrize("best", [SMALLEST - 3, LARGEST + 3])
def test_stays_within_its_range(best: float) -> None:
    found = search(lambda gamma: (math.log2(gamma) - best) ** 2, 1000.0)
    assert SMALLEST <= math.log2(found.gamma) <= LARGEST
    assert abs(math.log2(found.gamma) - best) <= 4.0


@given(st.floats(0.02, 60))
def test_most_of_what_can_be_gained(best: float) -> None:
    """Of a loss that is a parabola in γ itself."""
    found = search(lambda gamma: (gamma - best) ** 2 - best**2, 0.0, THREE_LOOKS)
    assert found.loss <= -0.9 * best**2


@given(st.floats(0.001, 10))
def test_gives_zero_where_every_step_ascends(slope: float) -> None:
    found = search(lambda gamma: 1.0 + slope * gamma, 1.0)
    assert (found.gamma, found.loss, found.evaluations) == (0.0, 1.0, 4)
    found = search(lambda gamma: 1.0 + slope * gamma, 1.0, THOROUGH)
    assert (found.gamma, found.loss, found.evaluations) == (0.0, 1.0, 8)


@given(st.floats(SMALLEST + 1, LARGEST))
def test_as_much_is_gained_as_by_the_search_of_release_0_1(best: float) -> None:
    def loss(gamma: float) -> float:
        return (gamma - 2.0**best) ** 2 - 4.0**best

    found = search(loss, 0.0)
    assert found.loss <= 0.65 * -(4.0**best)
    if best < USUAL:
        thorough = search(loss, 0.0, THOROUGH)
        assert found.evaluations <= thorough.evaluations


def test_small_steps_are_found_behind_large_ones_that_ascend() -> None:
    found = search(lambda gamma: 1.0 - gamma + 60 * gamma**2, 1.0)
    assert 0.5 <= found.gamma * 120 <= 1.5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_losses_that_are_not_finite_are_bad_steps(bad: float) -> None:
    found = search(lambda gamma: bad if gamma > 1.5 else 1.0 - gamma, 1.0)
    assert 0.5 <= found.gamma <= 1.5


def test_few_evaluations() -> None:
    assert all(
        search(lambda gamma, b=best: (math.log2(gamma) - b) ** 2, 1000.0).evaluations <= 10
        for best in range(int(SMALLEST), int(LARGEST) + 1)
    )


@pytest.mark.parametrize("best", [6.0, 6.5, 7.3, 9.0, 11.0])
def test_beyond_64_only_if_64_is_the_best_below(best: float) -> None:
    asked: list[float] = []

    def loss(gamma: float) -> float:
        asked.append(math.log2(gamma))
        return (asked[-1] - best) ** 2

    found = search(loss, 1000.0, THREE_LOOKS)
    assert sorted(asked[:3]) == [3.0, 5.0, 6.0]
    assert abs(math.log2(found.gamma) - best) < 0.25


def test_a_best_below_64_is_found_without_larger_ones() -> None:
    asked: list[float] = []

    def loss(gamma: float) -> float:
        asked.append(gamma)
        return (math.log2(gamma) - 5.3) ** 2

    search(loss, 1000.0)
    assert max(asked) == 64.0


@given(st.floats(SMALLEST, LARGEST))
def test_the_usual_end_is_kept_where_it_is_asked_for(best: float) -> None:
    """The end of release 0.1, whose decisions stay what they were."""
    found = search(lambda gamma: (math.log2(gamma) - best) ** 2, 1000.0, THOROUGH)
    assert math.log2(found.gamma) <= USUAL
    if best >= USUAL:
        assert found.gamma == 64.0


@pytest.mark.parametrize("clock", ["{until: 1.0}", "{every: 1, until: 1.0}"])
def test_decisions_that_count_epochs_keep_the_usual_end(clock: str) -> None:
    network = compile_network(
        parse_spec(
            f"""
            nodes:
              x: {{kind: input, shape: [3]}}
              h: {{kind: linear, from: x, features: 1, activation: tanh}}
              y: {{kind: linear, from: h, features: 1}}
            output: y
            growth: {{when: {clock}}}
            """
        ),
        seed=0,
    )
    x = torch.linspace(-1, 1, 900).reshape(300, 3)
    data = [(x, 1e5 * x.square().sum(dim=1, keepdim=True))]
    scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss, epochs=3)
    gamma = scheduler.apply(scheduler.plan(data).candidates[0]).gamma
    assert gamma == 64.0 if network.spec.growth.counts_epochs else gamma > 64.0
    few = [(data[0][0][:200], data[0][1][:200])]
    assert scheduler.apply(scheduler.plan(few).candidates[0]).gamma <= 64.0
