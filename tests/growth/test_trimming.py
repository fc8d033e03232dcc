"""Growing beyond a budget, and pruning back to it."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gromo_graph import (
    GrowthEvent,
    GrowthScheduler,
    Run,
    SpecError,
    compile_network,
    dump_spec,
    grow,
    parse_spec,
    pick,
    replay,
    resume,
)
from gromo_graph.graph import build_graph
from gromo_graph.graph.growth_goals import used_budgets
from gromo_graph.growth.clock import EpochClock, TickClock
from gromo_graph.growth.scheduler_checks import LITTLE_BEHIND
from gromo_graph.growth.stopping import goal_missed
from gromo_graph.growth.ticks import timekeeper
from gromo_graph.growth.ticks.trimming import beyond_budget, trims
from gromo_graph.run.measured_plan import plan
from gromo_graph.spec.settings import Growth, Stop, When
from tests.growth.problems import batches, chain
from tests.run.test_resume import BrokenOffError, same_runs

TEXT = """
name: wine
nodes:
  x: {kind: input, shape: [13]}
  a: {kind: linear, from: x, features: 2, activation: relu}
  b: {kind: linear, from: a, features: 2, activation: relu}
  y: {kind: linear, from: b, features: 3}
output: y
growth: {stop: {parameters: 300}, beyond: 2}
train: {data: wine, epochs: 20, batch_size: 16}
"""


def grown(*overrides: str, out: Path | None = None) -> Run:
    return grow(parse_spec(TEXT, overrides=list(overrides)), out=out, seed=0, device="cpu")


def sizes(events: tuple[GrowthEvent, ...], kind: str) -> list[int]:
    return [event.parameters for event in events if event.decision and event.decision.kind == kind]


def test_it_grows_beyond_the_budget_and_comes_back_within_it() -> None:
    run = grown()
    assert 0.95 * 600 < max(sizes(run.events, "widen")) <= 600
    assert 0.95 * 300 < run.summary["parameters"] <= 300
    assert (
        run.summary["reason"] == f"pruned back to the budget: {run.summary['parameters']} of 300 parameters"
    )
    assert sum(parameter.numel() for parameter in run.network.parameters()) == run.summary["parameters"]
    assert run.spec.growth.stop.parameters == 300, "as it is written"


def test_neurons_go_at_four_moments_in_the_middle() -> None:
    run = grown()
    whole = 20 * -(-len(run.parts()["train"]) // 16)
    at = sorted({event.batch for event in run.events if event.decision and event.decision.kind == "prune"})
    assert at == [int(share * whole) for share in (0.4, 0.4 + 0.2 / 3, 0.4 + 0.4 / 3, 0.6)]
    left = [
        min(e.parameters for e in run.events if e.batch == batch) for batch in at
    ]  # in equal ratios, but for the size of a neuron
    first = max(sizes(run.events, "widen"))
    for part, size in enumerate(left, start=1):
        due = first * (300 / first) ** (part / 4)
        assert 0.9 * due < size <= due + 1


def test_without_it_nothing_is_ever_above_the_budget() -> None:
    run = grown("growth.beyond=1")
    assert max(event.parameters for event in run.events) <= 300
    assert not sizes(run.events, "prune")


def test_multiply_adds_are_a_budget_too() -> None:
    run = grown("growth.stop={madds: 280}")
    assert max(event.madds for event in run.events) > 500
    assert 0.9 * 280 < run.network.graph.multiply_adds <= 280


def test_the_data_may_set_the_budget() -> None:
    run = grown("growth.stop={parameters_per_sample: 3}")
    samples = len(run.parts()["train"])
    assert max(event.parameters for event in run.events) > 5 * samples
    assert run.summary["parameters"] <= 3 * samples
    assert "(3 for each training sample: `growth.stop.parameters_per_sample`)" in run.summary["reason"]


def test_a_network_that_begins_above_the_budget_comes_within_it() -> None:
    run = grown("nodes.a.features=20")
    assert run.events[0].parameters > 300
    assert 0.9 * 300 < run.summary["parameters"] <= 300


def test_growth_that_falls_short_of_the_budget_is_not_pruned() -> None:
    run = grown("growth.neurons.per_step=1", "growth.when.steps=2")
    assert not sizes(run.events, "prune")
    assert "raise `growth.neurons.per_step`" in run.summary["reason"]


def test_what_cannot_be_taken_out_is_told() -> None:
    run = grown("nodes.a.grow={min: 20}", "nodes.b.grow={min: 20}")
    assert run.summary["parameters"] > 300
    assert run.summary["reason"].startswith(
        f"over budget: {run.summary['parameters']} of 300 parameters, and no more"
    )
    assert "wide, and has to be 20 wide" in run.summary["reason"]


def test_the_loss_of_the_smaller_network_is_measured() -> None:
    for event in grown().events:
        if event.decision and event.decision.kind == "prune":
            assert event.loss_after is not None
            assert event.gamma == 1.0
            assert event.decision.delta_parameters < 0


@pytest.mark.parametrize(("epoch", "budget"), [(3, ""), (6, ""), (9, "300")])
def test_it_is_resumed_to_the_bit(epoch: int, budget: str, tmp_path: Path) -> None:
    def stop(progress: object) -> None:
        if getattr(progress, "epoch", 0) == epoch:
            raise BrokenOffError

    spec = parse_spec(
        TEXT, overrides=[f"growth.stop={{parameters: {budget}}}" if budget else "growth.stop={}"]
    )
    grow(spec, out=tmp_path / "whole", seed=0, device="cpu")
    with pytest.raises(BrokenOffError):
        grow(spec, out=tmp_path / "broken", seed=0, device="cpu", on_progress=stop)
    resume(tmp_path / "broken")
    same_runs(tmp_path / "whole", tmp_path / "broken")


def test_a_step_of_the_way_back_can_be_replayed(tmp_path: Path) -> None:
    run = grown(out=tmp_path / "run")
    step = next(e for e in run.events if e.decision and e.decision.kind == "prune")
    again = replay(tmp_path / "run", to=step.step, out=tmp_path / "then")
    assert again.summary["parameters"] == step.parameters


@pytest.mark.parametrize("stop", ["{parameters: 300}", "{}"])
def test_pick_trains_sizes_that_it_had_on_the_way_up_and_the_last_one(stop: str, tmp_path: Path) -> None:
    run = grown(f"growth.stop={stop}", out=tmp_path / "run")
    found = pick(tmp_path / "run", within=10.0, out=tmp_path / "picked")
    assert found.picked.parameters == found.run.summary["parameters"] <= run.summary["parameters"]
    had = {event.step: event.parameters for event in run.events} | {0: 43}
    assert [each.parameters for each in found.tried] == [had[each.step] for each in found.tried]
    assert all(each.parameters <= run.summary["parameters"] for each in found.tried)


def test_a_number_of_steps_ends_growth_and_not_the_way_back() -> None:
    run = grown("growth.stop.steps=8")
    assert len(sizes(run.events, "widen")) == 8
    assert max(sizes(run.events, "widen")) > 300 >= run.summary["parameters"]


def test_the_way_back_goes_by_no_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**6))
    monkeypatch.setattr(timekeeper, "time", SimpleNamespace(perf_counter=lambda: float(next(now))))
    run = grown("growth.stop={parameters: 60, seconds: 9}", "growth.beyond=3", out=tmp_path / "run")
    widened, pruned = sizes(run.events, "widen"), sizes(run.events, "prune")
    assert len(widened) < 10, "growth ended by the clock"
    assert pruned
    again = replay(tmp_path / "run", to=len(widened) + 1, out=tmp_path / "then")
    assert again.summary["parameters"] == pruned[0]


def test_a_training_that_ends_before_the_way_back_says_so() -> None:
    run = grown("train.early_stopping={patience: 1, min_delta: 0.5, during_growth: true}")
    assert run.summary["parameters"] > 300
    assert "the training ended before the network was pruned back to it" in run.summary["reason"]


def test_what_is_said_of_growth_names_the_budget_that_is_written() -> None:
    graph = build_graph(parse_spec(TEXT, overrides=["nodes.a.features=20", "nodes.b.features=12"]))
    assert graph.parameter_count == 571
    policy = beyond_budget(graph.spec.growth)
    assert used_budgets(graph, policy.stop, policy.beyond) == ["571 of 600 parameters (2 times the budget)"]
    short = beyond_budget(Growth(beyond=2.0, stop=Stop(parameters=700)))
    assert goal_missed(graph, short, "word") == "; budget 82% used: raise `word`"
    assert goal_missed(graph, policy, "word") == ""


@pytest.mark.filterwarnings("ignore:growth that goes beyond")
def test_a_training_of_one_moment_grows_and_comes_back() -> None:
    network, loader = chain(growth="{stop: {parameters: 60}, beyond: 2}"), batches()
    scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss, epochs=1)
    event = scheduler.step(loader, loader)
    assert event is not None
    assert event.decision is not None
    assert event.decision.kind == "prune"
    assert 35 < network.graph.parameter_count <= 60


@pytest.mark.filterwarnings("ignore:growth that goes beyond")
def test_another_policy_begins_anew() -> None:
    network, loader = chain(growth="{stop: {parameters: 60}, beyond: 2}"), batches()
    scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss, epochs=1)
    scheduler.step(loader, loader)
    assert "pruned back" in (scheduler.reason or "")
    scheduler.use(Growth(beyond=2.0, stop=Stop(parameters=1000)), epochs=3)
    scheduler.step(loader, loader)
    assert "pruned back" not in (scheduler.reason or "")


def test_in_a_loop_of_ones_own_with_batches() -> None:
    network = chain(growth="{stop: {parameters: 120}, beyond: 1.6}")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    loader, loss = batches(), torch.nn.functional.mse_loss
    scheduler = GrowthScheduler(network, loss, optimizer=optimizer, training_steps=60)
    most = over = 0
    for step in range(60):
        x, y = loader[step % len(loader)]
        optimizer.zero_grad()
        loss(network(x), y).backward()
        optimizer.step()
        scheduler.after_batch(x, y, loader)
        most = max(most, network.graph.parameter_count)
        over = over or (step + 1 if scheduler.is_over else 0)
    assert most > 150
    assert network.graph.parameter_count <= 120
    assert over == 36, "growth is over when the last neuron has gone"
    assert scheduler.reason is not None
    assert scheduler.reason.startswith("pruned back to the budget")
    scheduler.undo()
    assert network.graph.parameter_count > 120


def test_in_a_loop_of_ones_own_with_epochs() -> None:
    network = chain(growth="{stop: {parameters: 120}, beyond: 1.6}")
    loader = batches()
    scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss, epochs=20)
    seen = []
    for _ in range(20):
        scheduler.step(loader, loader)
        seen.append(network.graph.parameter_count)
    assert max(seen) > 150
    assert seen[-1] <= 120
    assert all(later >= earlier for earlier, later in pairwise(seen[:7]))


@pytest.mark.parametrize("until", [0.25, 0.5, 0.8, 1.0])
def test_neurons_go_behind_the_last_tick(until: float) -> None:
    clock = TickClock(When(until=until), 200, by_steps=True)
    moments = trims(Growth(beyond=2.0), clock)
    assert all(clock.ticks[-1] < moment <= 200 for moment in moments) or until == 1.0
    assert moments
    assert trims(Growth(), clock) == trims(Growth(beyond=2.0, when=When()), EpochClock(When(), 20)) == ()


def test_only_budgets_are_larger() -> None:
    policy = Growth(beyond=3.0, stop=Stop(madds=10, steps=4, parameters_per_sample=2.0))
    stop = beyond_budget(policy).stop
    assert (stop.madds, stop.steps, stop.parameters, stop.parameters_per_sample) == (30, 4, None, 2.0)
    assert beyond_budget(Growth(stop=Stop(parameters=10))).stop.parameters == 10


@pytest.mark.parametrize(
    ("growth", "told"),
    [
        ("{beyond: 2, when: {every: 1}}", "`beyond: 2` prunes at shares of the training"),
        (
            "{beyond: 2, freeze: old}",
            "`freeze: old` keeps old weights as they are, which `beyond: 2` changes",
        ),
        ("{beyond: 0.5}", "expected 1 or more"),
        ("{beyond: 11}", "expected at most 10"),
    ],
)
def test_refused(growth: str, told: str) -> None:
    text = TEXT.replace("{stop: {parameters: 300}, beyond: 2}", growth)
    with pytest.raises(SpecError, match=told):
        parse_spec(text)


@pytest.mark.parametrize("stop", ["{parameters_per_sample: none}", "{accuracy: 0.99}"])
def test_without_a_budget_it_does_nothing_and_says_so(stop: str) -> None:
    with pytest.warns(UserWarning, match=r"`growth\.beyond` does nothing without a budget"):
        run = grown(f"growth.stop={stop}")
    assert not sizes(run.events, "prune")


def test_a_plan_of_a_run_that_came_back_keeps_within_the_budget(tmp_path: Path) -> None:
    run = grown(out=tmp_path / "run")
    able = [each for each in plan(tmp_path / "run", device="cpu").candidates if each.reason is None]
    assert all(run.summary["parameters"] + each.delta_parameters <= 300 for each in able)


def test_it_is_written_out() -> None:
    spec = parse_spec(TEXT)
    assert parse_spec(dump_spec(spec)) == spec
    assert parse_spec(TEXT.replace(", beyond: 2", ""), defaults=6).growth.beyond == 1.0
    assert compile_network(spec, seed=0).spec.growth.beyond == 2.0


@pytest.mark.parametrize(("until", "told"), [(0.5, 0), (0.9, 1)])
def test_a_training_that_ends_with_pruning_is_told_of(until: float, told: int) -> None:
    policy = Growth(beyond=1.5, when=When(until=until), stop=Stop(parameters=300))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GrowthScheduler(
            compile_network(parse_spec(TEXT), seed=0),
            torch.nn.functional.cross_entropy,
            policy=policy,
            training_steps=200,
        )
    assert [str(each.message) for each in caught] == [LITTLE_BEHIND] * told
