"""`gromo-graph runs`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gromo_graph import grow
from gromo_graph.spec import parse_spec
from tests.cli.test_verbs import call, failed
from tests.run.specs import IRIS, iris


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs: one of them in a folder of its own, and interrupted."""
    folder = tmp_path_factory.mktemp("grown") / "runs"
    grow(iris(), out=folder / "run-10", seed=1, device="cpu")
    grow(iris(growth__stop="{steps: 1}"), out=folder / "sub" / "run-9", seed=2, device="cpu")
    interrupted = folder / "sub" / "run-9"
    (interrupted / "summary.json").unlink()
    lines = (interrupted / "journal.jsonl").read_text().splitlines(keepends=True)
    (interrupted / "journal.jsonl").write_text("".join(lines[:-1]) + lines[-1][:20])
    return folder


@pytest.fixture
def folder(grown: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(grown, tmp_path / "runs"))


def rows(folder: Path, *options: object) -> list[dict[str, Any]]:
    result = call("runs", folder, "--json", *options)
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["runs"]
    return found


def test_a_row_for_each_run_at_any_depth(folder: Path) -> None:
    summary = json.loads((folder / "run-10" / "summary.json").read_text())
    finished, unfinished = rows(folder)
    assert finished["run"] == str(folder / "run-10")
    assert (finished["name"], finished["data"], finished["seed"]) == ("small", "iris", 1)
    assert finished["state"] == "finished"
    assert finished["parameters"] == summary["parameters"]
    assert finished["steps"] == summary["steps"]
    assert finished["validation"] == summary["validation"]
    assert finished["test"] == summary["test"]
    assert finished["reason"] == summary["reason"]
    assert finished["seconds"] > 0
    assert unfinished["run"] == str(folder / "sub" / "run-9")
    assert unfinished["state"] == "unfinished"
    assert unfinished["epochs"] == 3
    assert set(unfinished["validation"]) == {"loss", "accuracy"}
    assert unfinished["test"] == {}
    assert "cut off" in unfinished["notes"][0]
    printed = call("runs", folder).stdout
    assert "held-out loss" in printed
    assert "test accuracy" in printed
    assert f"{summary['test']['accuracy']:.2%}".replace("%", " %") in printed
    assert "cut off" in printed


def test_the_rows_are_sorted(folder: Path) -> None:
    shutil.copytree(folder / "run-10", folder / "run-9")
    assert [Path(row["run"]).name for row in rows(folder)] == ["run-9", "run-10", "run-9"]
    for key in ("parameters", "seconds"):
        values = [row[key] for row in rows(folder, "--sort", key)]
        assert values == sorted(values)
    losses = [row["validation"]["loss"] for row in rows(folder, "--sort", "loss")]
    assert losses == sorted(losses)
    assert rows(folder, "--sort", "test_accuracy")[-1]["test"] == {}, "a row without the value is the last"
    refused = call("runs", folder, "--sort", "los")
    assert refused.exit_code == 2
    assert "expected one of run, name" in refused.stderr


def test_damaged_and_foreign_folders_are_rows_with_a_note(folder: Path) -> None:
    for name in ("journal.jsonl", "summary.json", "command.json"):
        broken = shutil.copytree(folder / "run-10", folder / f"broken {name}")
        (broken / name).write_text("[")
    lacking = shutil.copytree(folder / "run-10", folder / "lacking")
    (lacking / "command.json").unlink()
    (shutil.copytree(folder / "run-10", folder / "pipe") / "summary.json").unlink()
    os.mkfifo(folder / "pipe" / "summary.json")
    changed = shutil.copytree(folder / "run-10", folder / "changed")
    lines = (changed / "journal.jsonl").read_text().splitlines(keepends=True)
    (changed / "journal.jsonl").write_text(lines[0] + lines[1].replace("1", "2", 1) + "".join(lines[2:]))
    (folder / "foreign" / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    found = {Path(row["run"]).name: row for row in rows(folder)}
    damaged = {name for name, row in found.items() if row["state"] == "damaged"}
    assert damaged == {
        *(f"broken {name}" for name in ("journal.jsonl", "summary.json", "command.json")),
        *("lacking", "pipe", "changed"),
    }
    assert found["foreign"] == {
        "run": str(folder / "foreign"),
        "state": "no run",
        "notes": ["it holds no journal.jsonl"],
    }
    assert "deep" not in found
    assert ".hidden" not in found
    assert found["changed"]["notes"][0].startswith("journal.jsonl:2: damaged line")
    printed = call("runs", folder)
    assert printed.exit_code == 0
    assert printed.stdout.count("damaged line") == 1
    assert "this is a pipe" in printed.stdout
    assert Path(rows(folder, "--sort", "loss")[-1]["run"]).name in {*damaged, "foreign"}


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(folder / "run-10", tmp_path / "elsewhere" / "run")
    (folder / "away").symlink_to(elsewhere.parent)
    (folder / "circle").symlink_to(folder)
    (folder / "loop").symlink_to(folder / "loop")
    inner = shutil.copytree(folder / "run-10", folder / "inner")
    (inner / "journal.jsonl").unlink()
    (inner / "journal.jsonl").symlink_to(elsewhere / "journal.jsonl")
    found = {Path(row["run"]).name: row for row in rows(folder)}
    assert set(found) == {"run-10", "run-9", "away", "circle", "inner"}
    assert found["away"]["notes"] == found["circle"]["notes"] == ["this is a link: it is not followed"]
    assert found["inner"]["state"] == "damaged"
    assert "this is a link" in found["inner"]["notes"][0]
    (tmp_path / "named").symlink_to(folder)
    assert len(rows(tmp_path / "named")) == len(found), "the folder itself may be a link"


def test_a_run_is_below_itself_and_an_empty_folder_has_none(folder: Path, tmp_path: Path) -> None:
    assert [row["run"] for row in rows(folder / "run-10")] == [str(folder / "run-10")]
    (tmp_path / "empty").mkdir()
    assert "there is no run in it" in call("runs", tmp_path / "empty").stdout
    assert "there is no such folder" in failed(call("runs", tmp_path / "none"), 1)
    assert "this is a file" in failed(call("runs", folder / "run-10" / "spec.yaml"), 1)


def test_names_are_no_markup_and_control_nothing(tmp_path: Path) -> None:
    spec = parse_spec(IRIS.replace("name: small", 'name: "<script>[red]"'))
    grow(spec, out=tmp_path / "runs" / "[bold]x\x1b[31m", device="cpu")
    (tmp_path / "runs" / "[b]\x1b").mkdir()
    printed = call("runs", Path(os.path.relpath(tmp_path / "runs"))).stdout
    assert "<script>[red]" in printed
    assert "\x1b" not in printed
    joined = re.sub(r"\s", "", printed)
    assert r"\x1b[31m" in joined
    assert "[bold]x" in joined


def test_it_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from gromo_graph.cli import app\n"
        f"app(['runs', {str(folder)!r}], standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "unfinished" in done.stdout
