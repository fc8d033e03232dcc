"""Runs that begin with weights of a file or of another run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gromo_graph import RunError, branch, grow, replay, resume
from tests.run.specs import iris
from tests.run.test_resume import same_runs

QUICK = {"train__epochs": "6", "growth__when": "{until: 0.6}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """First weights of another seed."""
    network = grow(iris(train__epochs="1", growth__stop="{steps: 0}"), seed=5).network
    path = tmp_path / "first.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_the_first_weights_are_those_of_the_file(file: Path) -> None:
    still = iris(train__epochs="1", growth__stop="{steps: 0}", train__optimizer="{lr: 1.0e-20}")
    found = grow(still, weights=file).network.state_dict()
    for name, tensor in load_file(file).items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_a_run_gives_its_weights(tmp_path: Path) -> None:
    before = grow(iris(**QUICK), out=tmp_path / "one")
    again = grow(before.spec, weights=tmp_path / "one", out=tmp_path / "two")
    assert json.loads((tmp_path / "two/command.json").read_text())["weights"]["file"].endswith(
        "weights.safetensors"
    )
    first, later = before.epochs[0].train["loss"], again.epochs[0].train["loss"]
    assert later < first


def test_replay_branch_and_resume_begin_with_them_too(file: Path, tmp_path: Path) -> None:
    run = grow(iris(**QUICK), weights=file, out=tmp_path / "run")
    assert run.events != grow(iris(**QUICK)).events
    then = replay(tmp_path / "run", to=1, out=tmp_path / "then")
    assert then.events[0] == run.events[0]
    branch(tmp_path / "run", at=1, overrides=[], out=tmp_path / "branch")
    assert same_epochs(tmp_path / "branch", tmp_path / "run")


def test_resume_without_a_checkpoint_begins_with_them_again(file: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    grow(iris(**QUICK), weights=file, out=whole)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        grow(iris(**QUICK), weights=file, out=broken, on_progress=stop)
    for checkpoint in (broken / "checkpoints").glob("*"):
        checkpoint.unlink()
    resume(broken)
    same_runs(whole, broken)


def test_other_weights_are_refused(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wider = iris(nodes__hidden__features="7")
    with pytest.raises(RunError, match=r"weights of another network than that of `small`: `nodes\.hidden"):
        grow(wider, weights=file, out=out)
    grow(iris(**QUICK), out=tmp_path / "run")
    with pytest.raises(RunError, match=r"their own spec is .*run/spec\.yaml"):
        grow(wider, weights=tmp_path / "run", out=out)
    with pytest.raises(RunError, match="the weights are missing"):
        grow(wider, weights=tmp_path / "nothing", out=out)
    assert not out.exists()


def test_weights_that_have_changed_since_are_refused(file: Path, tmp_path: Path) -> None:
    grow(iris(**QUICK), weights=file, out=tmp_path / "run")
    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(RunError, match="the run began from other weights: this file has been changed since"):
        replay(tmp_path / "run", to=1, out=tmp_path / "then")


def same_epochs(one: Path, other: Path) -> bool:
    losses = []
    for run in (one, other):
        lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        losses.append([line["train"] for line in lines if line["type"] == "epoch"])
    return losses[0] == losses[1]
