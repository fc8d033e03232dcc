"""An epoch whose loss is not finite is done again at half the learning rate, and then the run ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gromo_graph import GrowthScheduler, NotFiniteError, grow, load_run, parse_spec, resume
from gromo_graph.records import read_journal
from gromo_graph.run.folder.run_folder import JOURNAL
from gromo_graph.run.training.output_losses import Classes
from gromo_graph.run.training.schedules import learning_rate
from tests.run.test_resume import BrokenOffError, mlp, same_runs

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def failing(monkeypatch: pytest.MonkeyPatch, at: set[int]) -> list[float]:
    """From now on training losses with these numbers are NaN; the list is of all that were asked for."""
    real = torch.nn.functional.cross_entropy
    seen: list[float] = []

    def loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        value = real(prediction, target)
        if not torch.is_grad_enabled() or len(target) > 16:
            return value
        seen.append(float(value.detach()))
        return value * float("nan") if len(seen) in at else value

    monkeypatch.setattr(Classes, "mean", lambda self, prediction, target: loss(prediction, target))
    return seen


TEXT = mlp("{when: {every: 1, until: 0.01}}", "{name: adamw, lr: 0.02}")


def epochs(path: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (path / JOURNAL).read_text().splitlines()]
    return [line for line in lines if line["type"] == "epoch"]


def test_the_epoch_is_done_again_from_where_it_began(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = failing(monkeypatch, {6 * 2 + 3})  # the third batch of the third epoch
    with pytest.warns(
        UserWarning,
        match="loss is nan in epoch 3, batch 3, .*: epoch 3 is done again at half the learning rate",
    ):
        run = grow(parse_spec(TEXT), out=tmp_path / "run", seed=5, device="cpu")
    assert seen[12] == seen[15]  # the same weights, batch and dropout as when the epoch first began
    told = epochs(tmp_path / "run")
    (setback,) = read_journal(tmp_path / "run").setbacks
    assert (setback.epoch, setback.again) == (3, True)
    assert "loss is nan in epoch 3, batch 3" in setback.reason
    assert [line["epoch"] for line in told] == list(range(1, 9))
    plain = grow(parse_spec(TEXT), seed=5, device="cpu")
    assert plain.events == run.events == ()
    expected = [learning_rate(parse_spec(TEXT).train, (epoch + 5 / 6) / 8) for epoch in range(8)]
    assert [line["lr"] for line in told] == pytest.approx(
        [lr * (1.0 if epoch < 2 else 0.5) for epoch, lr in enumerate(expected)]
    )


def test_a_run_with_a_setback_is_resumed_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = parse_spec(mlp("{when: {until: 0.8}}"))

    def crash(progress: object) -> None:
        if progress.epoch == 4:  # type: ignore[attr-defined]
            raise BrokenOffError

    with monkeypatch.context() as patched:
        failing(patched, {2})
        with pytest.warns(UserWarning, match="done again"):
            grow(text, out=tmp_path / "whole", seed=5, device="cpu")
    with monkeypatch.context() as patched:
        failing(patched, {2})
        with pytest.warns(UserWarning, match="done again"), pytest.raises(BrokenOffError):
            grow(text, out=tmp_path / "broken", seed=5, device="cpu", on_progress=crash)
    resume(tmp_path / "broken")
    same_runs(tmp_path / "broken", tmp_path / "whole")


def test_what_grew_in_the_epoch_is_taken_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A loss that is not finite after a tick: the epoch begins again with the widths that it began with."""
    failed: list[int] = []
    real, tick = torch.nn.functional.cross_entropy, GrowthScheduler.after_batch

    def loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        value = real(prediction, target)
        if failed == [1] and torch.is_grad_enabled():
            failed.append(2)
            return value * float("nan")
        return value

    def after_batch(self: GrowthScheduler, *batch: object) -> object:
        events = tick(self, *batch)  # type: ignore[arg-type]
        if any(event.decision for event in events) and not failed:
            failed.append(1)
        return events

    monkeypatch.setattr(Classes, "mean", lambda self, prediction, target: loss(prediction, target))
    monkeypatch.setattr(GrowthScheduler, "after_batch", after_batch)
    with pytest.warns(UserWarning, match="done again at half the learning rate"):
        run = grow(
            parse_spec(mlp("{when: {until: 0.5, steps: 4}, stop: {parameters: 90}}")),
            out=tmp_path / "run",
            seed=5,
            device="cpu",
        )
    journal = read_journal(tmp_path / "run")
    assert failed == [1, 2]
    assert journal.setbacks[0].again
    assert journal.events == run.events
    assert [event.step for event in journal.applied] == list(range(1, len(journal.applied) + 1))
    assert journal.applied[-1].parameters == run.network.graph.parameter_count
    assert [epoch.epoch for epoch in journal.epochs] == list(range(1, 9))


def test_it_ends_after_so_many_retries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failing(monkeypatch, set(range(9, 100)))
    spec = parse_spec(TEXT, overrides={"train.retries": "2"})
    with (
        pytest.warns(UserWarning, match="done again") as said,
        pytest.raises(NotFiniteError, match=r"training loss is nan in epoch 2, batch 1, .*lower it"),
    ):
        grow(spec, out=tmp_path / "run", seed=5, device="cpu")
    assert len(said) == 2
    assert len(epochs(tmp_path / "run")) == 1
    assert [(each.epoch, each.again) for each in read_journal(tmp_path / "run").setbacks] == [
        (2, True),
        (2, True),
        (2, False),
    ]
    assert load_run(tmp_path / "run").summary["reason"] == "not finished: 1 epoch done"


def test_none_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, {3})
    with pytest.raises(NotFiniteError, match="training loss is nan in epoch 1, batch 3"):
        grow(parse_spec(TEXT, overrides={"train.retries": "0"}), device="cpu")


def test_statistics_that_are_not_finite_are_a_setback_too(tmp_path: Path) -> None:
    """The last step of an epoch throws the weights so far that a plan finds it before any loss does."""
    text = """
name: far
nodes:
  x: {kind: input, shape: [13]}
  a: {kind: linear, from: x, features: 3, activation: relu}
  b: {kind: linear, from: a, features: 3, activation: relu}
  y: {kind: linear, from: b, features: 3}
output: y
growth: {when: {until: 1.0}}
train: {data: wine, epochs: 3, batch_size: 200, optimizer: {name: sgd, lr: 1.0e+12}}
"""
    with (
        pytest.warns(UserWarning, match="is done again at half the learning rate"),
        pytest.raises(NotFiniteError),
    ):
        grow(parse_spec(text), out=tmp_path / "run", device="cpu")
    found = read_journal(tmp_path / "run").setbacks
    assert [each.again for each in found] == [True, True, True, False]
    assert any("holds NaN or infinite values" in each.reason for each in found)
