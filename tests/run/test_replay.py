"""A run again up to a step, and runs that leave another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gromo_graph import GrowthEvent, RunError, branch, grow, load_run, parse_spec, replay, resume
from gromo_graph.run.folder.run_folder import JOURNAL
from tests.run.test_resume import BrokenOffError, mlp, same_runs, told

TEXT = mlp("{when: {until: 0.9}, neurons: {per_step: 2}, groups: 2}")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    grow(parse_spec(TEXT), out=path, seed=5, device="cpu")
    return path


def applied(path: Path) -> list[GrowthEvent]:
    return [event for event in load_run(path).events if event.decision is not None]


@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_replay_ends_with_the_network_of_the_step(run: Path, tmp_path: Path, step: int) -> None:
    found = replay(run, to=step, out=tmp_path / "again")
    event = applied(run)[step - 1]
    assert found.summary["steps"] == step
    assert found.summary["reason"] == f"replayed up to step {step}"
    assert found.spec == parse_spec(event.spec)
    assert found.summary["validation"]["loss"] == pytest.approx(event.loss_after, rel=1e-6)
    lines, others = told(run), told(tmp_path / "again")
    assert others == lines[: len(others)]
    again = load_run(tmp_path / "again")
    x = torch.randn(5, 4)
    assert torch.equal(again.network.eval()(x), found.network.eval()(x))


def test_a_branch_is_the_run_and_then_another(run: Path, tmp_path: Path) -> None:
    at = applied(run)[1]
    overrides = ["growth.select=slope", "train.epochs=15", "train.optimizer.weight_decay=0.5"]
    found = branch(run, at=at.step, overrides=overrides, out=tmp_path / "branch")
    lines, others = told(run), told(tmp_path / "branch")
    common = next(n for n, (a, b) in enumerate(zip(lines, others, strict=False)) if a != b)
    assert any(line.get("epoch") == at.epoch and line["type"] == "epoch" for line in lines[:common])
    assert len([line for line in others if line["type"] == "epoch"]) == 15
    assert found.spec.growth.select == "slope"
    assert found.spec.train.optimizer.weight_decay == 0.5
    assert json.loads((tmp_path / "branch" / "command.json").read_text())["course"]["at"] == at.step


def test_a_branch_with_nothing_else_is_the_run_itself(run: Path, tmp_path: Path) -> None:
    branch(run, at=2, overrides=[], out=tmp_path / "branch")
    assert told(tmp_path / "branch") == told(run)


@pytest.mark.parametrize("after", [1, 2, 6])
def test_a_branch_that_is_broken_off_is_resumed_as_a_branch(run: Path, tmp_path: Path, after: int) -> None:
    overrides = ["growth.select=slope", "train.epochs=10", "train.batch_size=24"]
    branch(run, at=2, overrides=overrides, out=tmp_path / "whole")

    def watch(progress: object) -> None:
        if progress.epoch == after:  # type: ignore[attr-defined]
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        branch(run, at=2, overrides=overrides, out=tmp_path / "broken", on_progress=watch)
    resume(tmp_path / "broken")
    same_runs(tmp_path / "broken", tmp_path / "whole")


def test_what_cannot_be(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    last = len(applied(run))
    with pytest.raises(RunError, match=rf"there is no step {last + 1}: the run has steps 1 to {last}"):
        replay(run, to=last + 1, out=out)
    for override, message in {
        "nodes.a.features=9": "other values of `growth` and `train`, not other nodes",
        "train.optimizer.name=sgd": "keeps the loss and the kind of optimizer",
        "growth.selct=slope": "did you mean `growth.select`",
    }.items():
        with pytest.raises(RunError, match=message):
            branch(run, at=1, overrides=[override], out=out)
    third = applied(run)[2]
    assert third.epoch > 1
    with pytest.raises(
        RunError, match=rf"step 3 is in epoch {third.epoch}: expected train\.epochs of at least"
    ):
        branch(run, at=3, overrides=[f"train.epochs={third.epoch - 1}"], out=out)
    with pytest.raises(RunError, match="holds another run"):
        replay(run, to=1, out=run)
    assert not out.exists()
    assert (run / JOURNAL).is_file()


def test_another_machine_is_told_apart(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    grow(parse_spec(TEXT), out=copy, seed=6, device="cpu")
    lines = [json.loads(line) for line in (copy / JOURNAL).read_text().splitlines()]
    lines[0]["seed"] = 5  # as if the numbers had come from elsewhere
    from gromo_graph.records.journal import checksum

    lines[0]["checksum"] = checksum(lines[0])
    (copy / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.warns(UserWarning, match="step 1 is not to the bit what it was"):
        replay(copy, to=1, out=tmp_path / "again")
