"""Every example runs, and the Python of the README too."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_example(example: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
def test_the_cells_of_the_notebook_run_and_keep_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / "examples" / "quick_start.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    install, *programs = ("".join(cell["source"]) for cell in cells)
    assert install.startswith("%pip install")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for program in programs:
        exec(compile(program, str(path), "exec"), names)  # noqa: S102 - our own text
    assert names["run"].summary["test"]["accuracy"] > 0.8
    assert names["network"].graph.parameter_count > 25
    assert names["accuracy"] > 0.8
    assert list(tmp_path.iterdir()) == []


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.fixture
def readers_folder(tmp_path: Path) -> Path:
    """A folder in which somebody has saved the YAML of the README."""
    (text,) = blocks("yaml")
    (tmp_path / "my.yaml").write_text(text)
    return tmp_path


def test_the_architecture_in_the_readme_is_sound_and_grows(readers_folder: Path) -> None:
    from gromo_graph import grow, load_spec

    run = grow(load_spec(readers_folder / "my.yaml", overrides=["train.epochs=12"]))
    assert run.summary["steps"] >= 1


def words(output: str) -> list[list[str]]:
    """The lines of an output without their numbers, which another machine may compute a little differently."""
    return [re.sub(r"[−+-]?\d[\d.,]*", "0", line).split() for line in output.splitlines()]


@pytest.mark.slow
def test_the_commands_in_the_readme_print_what_it_shows(readers_folder: Path) -> None:
    (session,) = blocks("console")
    calls = re.findall(r"^\$ gromo-graph (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)
    assert [call.split()[0] for call, _ in calls] == ["validate", "grow", "diff"]
    for call, shown in calls:
        done = subprocess.run(
            [sys.executable, "-m", "gromo_graph", *call.split()],
            cwd=readers_folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == (1 if call.startswith("diff") else 0), done.stderr  # 1: they differ
        assert words(done.stdout) == words(shown)


@pytest.mark.slow
def test_the_python_in_the_readme_runs_as_it_stands(readers_folder: Path) -> None:
    programs = blocks("python")
    assert len(programs) == 2
    for code in programs:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=readers_folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.splitlines()[-1]) > 25 if "DataLoader" in code else "setosa" in done.stdout
    assert (readers_folder / "grown.svg").is_file()


def test_the_readme_groups_every_verb() -> None:
    from gromo_graph.cli import app

    table = (ROOT / "README.md").read_text().split("## Commands")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| (.*) \|$", table, re.MULTILINE)
    assert [name for name, _ in rows] == ["group", "start", "use", "analyse", "edit"]
    told = [verb for _, row in rows[1:] for verb in re.findall(r"(?:^|· )`(\w+)`", row)]
    assert sorted(told) == sorted(str(command.name) for command in app.registered_commands)
