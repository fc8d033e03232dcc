"""The verbs resume, replay and branch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gromo_graph import grow, load_run, parse_spec
from gromo_graph.cli import app
from tests.run.test_resume import mlp


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    grow(parse_spec(mlp()), out=path, seed=5, device="cpu")
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_replay_and_branch(run: Path, tmp_path: Path) -> None:
    result = call("replay", run, "--to", 2, "-o", tmp_path / "two", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["steps"] == 2
    assert call("diff", f"{run}@2", tmp_path / "two").exit_code == 0
    words = ("branch", run, "--at", 2, "--set", "growth.stop.steps=2", "-o", tmp_path / "branch")
    assert call(*words, "--quiet").exit_code == 0
    assert load_run(tmp_path / "branch").summary["steps"] == 2
    result = call(*words)
    assert result.exit_code == 1
    assert "holds another run" in result.stderr
    assert call(*words, "--force", "--quiet").exit_code == 0


def test_what_is_wrong_is_said(run: Path, tmp_path: Path) -> None:
    for words, message in (
        (("replay", run, "--to", 99, "-o", tmp_path / "x"), "there is no step 99"),
        (("branch", run, "--at", 1, "--set", "growth.selct=slope", "-o", tmp_path / "x"), "growth.select"),
        (("resume", tmp_path), "this is no run"),
    ):
        result = call(*words)
        assert result.exit_code == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "x").exists()
