"""`stop: {milliseconds}`: growth ends by the time of a forward pass, which is measured once and then read."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gromo_graph import GrowthScheduler, branch, grow, replay, resume
from gromo_graph.growth.effort import latency
from gromo_graph.growth.ticks import timekeeper
from gromo_graph.network import GrowingNetwork
from tests.growth.problems import batches, chain
from tests.run.specs import iris
from tests.run.test_resume import same_runs, told

TIMED = {
    "growth__stop": "{milliseconds: 2.5}",
    "growth__when": "{until: 1.0, steps: 8}",
    "train__epochs": "8",
}


class Clock:
    """A forward pass takes one millisecond for each two features; `calls` counts how often it was measured."""

    def __init__(self) -> None:
        self.calls, self.faster = 0, 1.0

    def __call__(self, network: GrowingNetwork) -> float:
        self.calls += 1
        return self.faster * network.graph.features("hidden") / 2.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(latency, "measured_milliseconds", found)
    return found


def times(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [line["time"]["milliseconds"] for line in lines if line["type"] == "step" and line["decision"]]


def test_growth_ends_at_the_time_and_the_journal_tells_it(clock: Clock, tmp_path: Path) -> None:
    run = grow(iris(**TIMED), out=tmp_path / "run")
    found = times(tmp_path / "run")
    assert found[-1] >= 2.5
    assert all(time < 2.5 for time in found[:-1])
    assert (
        run.summary["reason"]
        == f"a forward pass of one sample takes {found[-1]:.3g} ms: `growth.stop.milliseconds` is 2.5"
    )
    assert clock.calls == len(found) + 1  # and once at first


def test_what_is_recorded_is_not_measured_again(clock: Clock, tmp_path: Path) -> None:
    run = grow(iris(**TIMED), out=tmp_path / "run")

    def stop(progress: Any) -> None:
        if progress.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(iris(**TIMED), out=tmp_path / "broken", on_progress=stop)
    for checkpoint in (tmp_path / "broken" / "checkpoints").glob("*"):
        checkpoint.unlink()
    clock.calls, clock.faster = 0, 100.0  # another machine would stop at once
    steps = run.summary["steps"]
    again = replay(tmp_path / "run", to=steps, out=tmp_path / "again")
    assert again.summary["steps"] == steps
    assert clock.calls == 0
    clock.faster = 1.0
    resume(tmp_path / "broken")
    same_runs(tmp_path / "run", tmp_path / "broken")
    clock.faster = 100.0
    other = branch(tmp_path / "run", at=1, overrides=[], out=tmp_path / "other")
    assert other.summary["steps"] == 2


def test_one_seed_gives_one_journal_whatever_the_clock_says(clock: Clock, tmp_path: Path) -> None:
    grow(iris(**TIMED | {"growth__stop": "{milliseconds: 1000000}"}), out=tmp_path / "slow")
    clock.faster = 0.5
    grow(iris(**TIMED | {"growth__stop": "{milliseconds: 1000000}"}), out=tmp_path / "fast")
    assert times(tmp_path / "slow") != times(tmp_path / "fast")
    assert told(tmp_path / "slow") == told(tmp_path / "fast")


def test_steps_that_are_recorded_are_made_again_however_long_they_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_time = TIMED | {"growth__stop": "{seconds: 1000}"}
    run = grow(iris(**in_time), out=tmp_path / "run")
    hours = itertools.count(step=3600.0)
    monkeypatch.setattr(timekeeper, "time", SimpleNamespace(perf_counter=lambda: next(hours)))
    late = grow(iris(**in_time), out=tmp_path / "late")
    assert late.summary["steps"] == 0
    assert "`growth.stop.seconds` is 1000" in late.summary["reason"]
    again = replay(tmp_path / "run", to=run.summary["steps"], out=tmp_path / "again")
    assert again.summary["steps"] == run.summary["steps"] > 1
    other = branch(tmp_path / "run", at=1, overrides=[], out=tmp_path / "other")
    assert "`growth.stop.seconds` is 1000" in other.summary["reason"]


def test_a_pass_is_measured_without_a_trace() -> None:
    network = chain(widths=(3,))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert 0.0 < latency.measured_milliseconds(network) < 1000.0
    assert torch.equal(torch.rand(1), expected)
    assert network.training


def test_a_scheduler_of_ones_own_loop_ends_too() -> None:
    network, data = chain(widths=(2,)), batches()
    policy = {"stop": {"milliseconds": 1e-6}, "when": {"every": 1, "until": 1.0}}
    scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss, policy=policy, epochs=4)
    assert scheduler.step(data, data) is None
    assert "`growth.stop.milliseconds` is 1e-06" in str(scheduler.reason)
