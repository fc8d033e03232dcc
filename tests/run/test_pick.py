"""The smallest network of a run that is good enough once it is trained to the end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gromo_graph import RunError, branch, grow, load_run, pick, replay, resume
from gromo_graph.records import Size
from gromo_graph.run.smallest_network import Trained, _halving
from tests.cli.test_verbs import call, failed
from tests.run.specs import iris

SETTINGS = {"growth": "{when: {until: 0.6, steps: 4}, stop: {parameters: 60}}", "train__epochs": "6"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    grow(iris(**SETTINGS), out=path, seed=5, device="cpu")
    return path


def test_the_picked_network_is_the_one_of_its_step_trained_to_the_end(run: Path, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    asked: list[Size] = []
    found = pick(run, within=0.5, out=tmp_path / "small", on_try=asked.append)
    sizes = {size.step: size for size in load_run(run).curve()}
    assert found.picked.step < max(sizes)
    assert found.picked.parameters == sizes[found.picked.step].parameters
    assert [each.step for each in found.tried[:-1]] == sorted(size.step for size in asked)
    assert found.picked.loss <= 1.5 * found.best.loss
    smaller = [each for each in found.tried if each.parameters < found.picked.parameters]
    assert all(each.loss > 1.5 * found.best.loss for each in smaller)
    written = load_run(tmp_path / "small")
    assert written.summary["validation"]["loss"] == found.picked.loss
    assert written.summary["steps"] == found.picked.step
    assert [epoch.epoch for epoch in written.epochs] == list(range(1, 7))
    old = load_run(run).events
    assert [event.to_dict() | {"time": 0, "spec": ""} for event in written.events[: found.picked.step]] == [
        event.to_dict() | {"time": 0, "spec": ""} for event in old[: found.picked.step]
    ]
    assert resume(tmp_path / "small").summary == written.summary
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


def test_with_any_loss_allowed_the_search_ends_at_the_network_before_growth(
    run: Path, tmp_path: Path
) -> None:
    found = pick(run, within=1e6, out=tmp_path / "first")
    assert (found.picked.step, found.run.summary["steps"]) == (0, 0)
    assert found.run.summary["reason"].startswith("picked: after step 0 of ")


def test_the_whole_network_is_picked_if_no_smaller_one_is_good_enough() -> None:
    losses = [9.0, 8.0, 3.0, 2.0, 1.0]
    networks = [Trained(step, 10 * step, 0, loss) for step, loss in enumerate(losses)]
    tried = _halving(4, networks[4], lambda number: networks[number], 0.1)
    assert [each.step for each in tried] == [2, 3, 4]
    tried = _halving(4, networks[4], lambda number: networks[number], 2.5)
    assert [each.step for each in tried] == [1, 2, 4]


def test_a_branch_is_picked_from_with_the_settings_of_the_branch(run: Path, tmp_path: Path) -> None:
    branch(run, at=2, overrides=["train.epochs=8", "growth.when.until=0.8"], out=tmp_path / "branch")
    found = pick(tmp_path / "branch", within=1e6, out=tmp_path / "none")
    assert (found.run.summary["steps"], len(found.run.epochs)) == (0, 8)
    found = pick(tmp_path / "branch", within=0.0, out=tmp_path / "best")
    assert len(found.run.epochs) == 8
    assert found.run.epochs[-1].validation["loss"] == found.picked.loss == found.best.loss


def test_what_cannot_be_picked_from_is_refused_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    replay(run, to=2, out=tmp_path / "replay")
    shutil.copytree(run, tmp_path / "open")
    (tmp_path / "open" / "summary.json").unlink()
    shutil.copytree(run, tmp_path / "damaged")
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "damaged" / "journal.jsonl").write_text("".join([lines[0], lines[1][:40] + "\n", *lines[2:]]))
    shutil.copytree(run, tmp_path / "less")
    (tmp_path / "less" / "command.json").unlink()
    for name, message in (
        ("replay", "was not trained to the end"),
        ("open", "gromo-graph resume"),
        ("damaged", "damaged line"),
        ("less", "it holds no command.json"),
        ("none", "there is no such folder"),
    ):
        with pytest.raises(RunError, match=message):
            pick(tmp_path / name, within=0.1, out=out)
    with pytest.raises(RunError, match="expected a share"):
        pick(run, within=-1.0, out=out)
    with pytest.raises(RunError, match="these are not the data"):
        pick(run, within=0.1, out=out, data=(np.random.rand(30, 4), np.arange(30) % 3))
    with pytest.raises(RunError, match="another run"):
        pick(run, within=0.1, out=run)
    assert not out.exists()


def test_the_verb(run: Path, tmp_path: Path) -> None:
    result = call("pick", run, "--within", "50%", "-o", tmp_path / "one", "--json")
    assert result.exit_code == 0, result.stderr
    assert "training the network after step" in result.stderr
    told = json.loads(result.stdout)
    assert (
        told["parameters"] == told["picked"]["parameters"] == load_run(tmp_path / "one").summary["parameters"]
    )
    assert told["within"] == 0.5
    assert told["best"] in told["tried"]
    text = call("pick", run, "--within", "0.5", "-o", tmp_path / "two", "--quiet")
    assert (text.exit_code, text.stderr) == (0, "")
    assert "picked" in text.stdout
    assert "expected a share such as 0.5%" in failed(call("pick", run, "--within", "nan%"), 2)
    assert "there is no such folder" in failed(call("pick", tmp_path / "none"), 1)


def test_a_number_without_its_sign_of_a_percentage_is_refused(run: Path, tmp_path: Path) -> None:
    told = failed(call("pick", run, "--within", "5", "-o", tmp_path / "none"), 2)
    assert "--within 5 would be 500%: write 5% or 0.05" in told
    assert not (tmp_path / "none").exists()
