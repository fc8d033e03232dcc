"""The goals of growth: steps that are due, their neurons, their cost, and the end."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gromo_graph import GrowingNetwork, GrowthScheduler
from gromo_graph.errors import GrowthError
from gromo_graph.growth.candidates.budget import neurons_at_once
from gromo_graph.growth.candidates.slope_scores import enough
from gromo_graph.growth.ticks.plateau import PlateauWatch
from gromo_graph.records import GrowthEvent
from gromo_graph.spec.settings import Growth, Neurons, When
from tests.growth.problems import batches, chain, loss_over

MSE = torch.nn.functional.mse_loss
DATA, HELD_OUT = batches(), batches(80, seed=2)


def scheduler_for(growth: str, **options: object) -> GrowthScheduler:
    network = chain(growth=growth, **options)  # type: ignore[arg-type]
    return GrowthScheduler(network, MSE, epochs=100, generator=torch.Generator().manual_seed(0))


def steps(scheduler: GrowthScheduler, count: int) -> list[GrowthEvent | None]:
    return [scheduler.step(DATA, HELD_OUT) for _ in range(count)]


def state(network: GrowingNetwork) -> dict[str, torch.Tensor]:
    return copy.deepcopy(network.state_dict())


def same(network: GrowingNetwork, before: dict[str, torch.Tensor]) -> bool:
    now = network.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[name], before[name]) for name in now)


# How many neurons.


def test_neurons_as_a_share_of_the_width() -> None:
    group = chain(widths=(10,)).graph.groups[0]
    for share, expected in ((0.25, 2), (0.04, 1), (1.0, 10), (2.0, 20)):
        assert neurons_at_once(Growth(neurons=Neurons(share=share)), group) == expected
    assert neurons_at_once(Growth(neurons=Neurons(share=1.0, per_step=3)), group) == 3
    assert neurons_at_once(Growth(neurons=Neurons(share=0.2, per_step=3)), group) == 2


SLOPES = st.lists(st.floats(-1.0, 5.0), max_size=12).map(
    lambda values: torch.tensor(sorted(values, reverse=True))
)


@given(slopes=SLOPES, most=st.integers(0, 12), reach=st.floats(0.01, 1.0), least=st.floats(0.0, 1.0))
def test_the_fewest_that_are_enough(slopes: torch.Tensor, most: int, reach: float, least: float) -> None:
    taken = enough(slopes, most, Neurons(reach=reach, least=least))
    positive = slopes[slopes > 0]
    assert 0 <= taken <= min(most, len(positive))
    assert bool((slopes[:taken] >= least * slopes[:1]).all())
    if taken > 0:  # one fewer would not reach the share
        assert float(slopes[: taken - 1].sum()) < reach * float(positive.sum())
    if taken < min(most, len(positive)):  # one more is not needed, or too flat
        reached = float(slopes[:taken].double().sum()) >= reach * float(positive.double().sum()) * (1 - 1e-5)
        assert reached or float(slopes[taken]) < least * float(slopes[0])


def test_a_plan_takes_no_more_neurons_than_it_needs() -> None:
    def neurons(policy: str) -> tuple[int, float]:
        scheduler = scheduler_for(f"{{neurons: {{per_step: 8{policy}}}}}", widths=(2,))
        best = scheduler.plan(DATA).candidates[0]
        assert best.slope is not None
        return best.neurons, best.slope

    everything, whole = neurons("")
    half, reached = neurons(", reach: 0.5")
    steep, _ = neurons(", least: 0.5")
    assert 1 <= half < everything
    assert reached >= 0.5 * whole * (1 - 1e-9)
    assert 1 <= steep < everything


# When a step is due.


def test_a_plateau_is_so_many_epochs_without_anything_better() -> None:
    watch = PlateauWatch(When(plateau=2))
    values = (1.0, 0.8, 0.795, 0.7, 0.8, 0.9)  # 0.795 is less than 1 % better than 0.8
    assert [watch.reached(lambda value=value: value) for value in values] == [False] * 5 + [True]
    watch.start_again()
    assert not watch.reached(lambda: 0.9)


def test_without_a_plateau_nothing_is_measured() -> None:
    def never() -> float:
        raise AssertionError

    assert PlateauWatch(When()).reached(never)


@pytest.mark.parametrize("watch", ["validation_loss", "train_loss"])
def test_growth_waits_for_a_plateau_and_then_for_the_next(watch: str) -> None:
    """Nothing is trained between, so the loss moves by growth alone."""
    scheduler = scheduler_for(f"{{when: {{plateau: 2, watch: {watch}, until: 1.0}}}}")
    grown = [event is not None and event.decision is not None for event in steps(scheduler, 7)]
    assert grown == [False, False, True, False, False, True, False]


def test_a_plateau_of_errors_needs_classes() -> None:
    with pytest.raises(GrowthError, match="expected class indices"):
        steps(scheduler_for("{when: {plateau: 2, watch: validation_error}}"), 1)
    network = chain(growth="{when: {plateau: 1, watch: validation_error, until: 1.0}}")
    data = [(x, y.argmax(dim=1)) for x, y in DATA]
    scheduler = GrowthScheduler(network, torch.nn.functional.cross_entropy, epochs=10)
    assert scheduler.step(data, data) is None
    assert scheduler.step(data, data) is not None


# Whether it is worth its cost.


def test_a_step_that_is_not_worth_its_parameters_is_not_applied() -> None:
    scheduler = scheduler_for("{when: {worth: 1000.0}}")
    before = state(scheduler.network)
    (event,) = steps(scheduler, 1)
    assert event is not None
    assert event.decision is None
    assert event.loss_after == event.loss_before
    assert "less loss for" in event.reason
    assert "`growth.when.worth` is 1000" in event.reason
    assert same(scheduler.network, before)
    (event,) = steps(scheduler_for("{when: {worth: 0.001}}"), 1)
    assert event is not None
    assert event.decision is not None


# Which group: the one that truly gains most.


def test_the_realised_gain_decides() -> None:
    growth = "{select: realised, trials: 3, neurons: {per_step: 2}, when: {every: 1}}"
    scheduler = scheduler_for(growth, widths=(3, 2, 4))
    gains = {}
    for candidate in scheduler.plan(DATA).candidates:
        if candidate.reason is None:
            trial = copy.deepcopy(scheduler)
            same_one = next(c for c in trial.plan(DATA).candidates if c.target == candidate.target)
            event = trial.apply(same_one, loader=HELD_OUT)
            gains[candidate.target] = (event.loss_before - event.loss_after) / candidate.delta_parameters
    assert len(gains) == 3
    (event,) = steps(scheduler, 1)
    assert event is not None
    assert event.decision is not None
    assert event.decision.target == max(gains, key=gains.__getitem__)
    assert event.reason.startswith("lowered the held-out loss most per parameter")
    assert event.loss_after == pytest.approx(loss_over(scheduler.network, HELD_OUT))


def test_only_the_steepest_are_tried() -> None:
    scheduler = scheduler_for("{select: realised, trials: 1, when: {every: 1}}", widths=(3, 2, 4))
    steepest = scheduler.plan(DATA).candidates[0].target
    (event,) = steps(scheduler, 1)
    assert event is not None
    assert event.decision is not None
    assert event.decision.target == steepest


# When it is over.


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("seconds: 0.000001", "`growth.stop.seconds` is 1e-06"),
        ("steps: 1", "`growth.stop.steps` is 1"),
        ("improvement: 0.9999", "`growth.stop.improvement` is 0.9999"),
    ],
)
def test_growth_ends_for_a_reason_that_is_told(stop: str, reason: str) -> None:
    scheduler = scheduler_for(f"{{stop: {{{stop}}}, when: {{every: 1, until: 1.0}}}}")
    events = steps(scheduler, 3)
    assert scheduler.reason is not None
    assert reason in scheduler.reason
    assert events[1] is events[2] is None
    assert (events[0] is None) == ("seconds" in stop)


def test_growth_ends_when_the_accuracy_is_enough() -> None:
    data = [(x, (x[:, 0] > 0).long()) for x, _ in DATA]
    losses = torch.nn.functional.cross_entropy
    for goal, over in ((0.01, True), (1.0, False)):
        network = chain(growth=f"{{stop: {{accuracy: {goal}}}, when: {{every: 1, until: 1.0}}}}")
        scheduler = GrowthScheduler(network, losses, epochs=10)
        event = scheduler.step(data, data)
        assert (scheduler.reason is not None) is over
        assert (event is None) is over
        if over:
            assert f"`growth.stop.accuracy` is {goal:g}" in str(scheduler.reason)


def test_growth_of_which_every_step_was_refused_ends_with_the_reason_of_the_refusal() -> None:
    network = chain(growth="{when: {every: 1, worth: 1000.0, until: 0.5}}")
    scheduler = GrowthScheduler(network, MSE, epochs=4)
    steps(scheduler, 3)
    assert scheduler.reason is not None
    assert scheduler.reason.startswith("no growth step was applied; the last one tried: `")
    assert "less loss for" in scheduler.reason
    assert "`growth.when.worth` is 1000" in scheduler.reason
    assert "until" not in scheduler.reason


def test_applying_by_hand_does_not_end_growth() -> None:
    scheduler = scheduler_for("{stop: {improvement: 0.9999}}")
    scheduler.apply(scheduler.plan(DATA).candidates[0])
    assert scheduler.reason is None


def test_a_plateau_that_never_came_is_told() -> None:
    scheduler = scheduler_for("{when: {plateau: 3, until: 0.02}}")
    assert steps(scheduler, 3) == [None] * 3
    assert scheduler.reason is not None
    assert "`growth.when.until` is 0.02" in scheduler.reason
    assert "validation_loss never came to a plateau of 3 epochs" in scheduler.reason


# What cannot be.


def test_growth_that_was_never_due_says_so() -> None:
    scheduler = GrowthScheduler(chain(growth="{when: {every: 1}}"), MSE, epochs=3)
    scheduler.step(DATA, HELD_OUT)
    assert scheduler.reason is not None
    assert scheduler.reason.startswith(
        "no growth step was due: `growth.when.every` is 1 and growth ends after 0.75"
    )


def test_a_loss_that_is_a_sum_and_a_training_without_length_are_refused() -> None:
    with pytest.raises(GrowthError, match=r"reduction='sum': expected the mean over the batch"):
        GrowthScheduler(chain(), torch.nn.MSELoss(reduction="sum"))
    for epochs in (0, -1):
        with pytest.raises(GrowthError, match=rf"epochs={epochs}: expected the length"):
            GrowthScheduler(chain(), MSE, epochs=epochs)


@pytest.mark.parametrize("gamma", ["big", 1j])
def test_what_is_no_number_or_no_candidate_is_refused(gamma: object) -> None:
    scheduler = scheduler_for("{}")
    before = state(scheduler.network)
    candidate = scheduler.plan(DATA).candidates[0]
    with pytest.raises(GrowthError, match=r"expected a number above 0, or 0 for nothing"):
        scheduler.apply(candidate, gamma)  # type: ignore[arg-type]
    with pytest.raises(GrowthError, match=r"'h1' cannot be applied: expected a candidate of scheduler\.plan"):
        scheduler.apply("h1")  # type: ignore[arg-type]
    assert same(scheduler.network, before)


def test_fewer_neurons_than_wanted_are_explained() -> None:
    plan = scheduler_for("{neurons: {per_step: 64}}").plan(DATA)
    (found, *_) = plan.candidates
    assert found.neurons < 64
    assert f"{found.neurons} of 64 neurons: more would not lower the loss enough" in found.note  # type: ignore[attr-defined]
