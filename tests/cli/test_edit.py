"""`gromo-graph edit` and `grow --write-back`: the author's file, changed in place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gromo_graph import load_run, load_spec
from gromo_graph.cli import app

TEXT = """# a network
nodes:
  x:    {kind: input, shape: [4]}    # in
  stem: {kind: linear, from: x, features: 3, activation: relu}
  mix:  {kind: linear, from: stem, features: 3}
  sum:  {kind: merge, from: [stem, mix]}
  y:    {kind: linear, from: sum, features: 3}
output: y
train: {data: iris, epochs: 8, batch_size: 16}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            "set mix activation=tanh grow.max=9",
            ["  mix:  {kind: linear, from: stem, features: 3, activation: tanh, grow: {max: 9}}"],
        ),
        (
            "set growth.stop.parameters=99 train.epochs=9",
            ["train: {data: iris, epochs: 9, batch_size: 16}", "growth: {stop: {parameters: 99}}"],
        ),
        (
            "insert sum y drop dropout p=0.2",
            ["  drop: {kind: dropout, from: sum, p: 0.2}", "  y:    {kind: linear, from: drop, features: 3}"],
        ),
        (
            "rename stem trunk",
            [
                "  trunk: {kind: linear, from: x, features: 3, activation: relu}",
                "  mix:  {kind: linear, from: trunk, features: 3}",
                "  sum:  {kind: merge, from: [trunk, mix]}",
            ],
        ),
        ("disconnect mix sum", None),
        (
            "add-node more linear from=x features=3 read_by=sum",
            [
                "  more: {kind: linear, from: x, features: 3}",
                "  sum:  {kind: merge, from: [stem, mix, more]}",
            ],
        ),
        (
            "connect x sum",
            [
                "  x.to.sum: {kind: linear, from: x, features: 3, bias: false}",
                "  sum:  {kind: merge, from: [stem, mix, x.to.sum]}",
            ],
        ),
        ("duplicate mix sum", None),
        ("remove-node mix", None),
    ],
)
def test_each_action(spec: Path, words: str, lines: list[str] | None) -> None:
    tried = call("edit", spec, *words.split(), "--dry-run")
    assert spec.read_text() == TEXT
    if lines is None and words.startswith("disconnect"):
        assert tried.exit_code == 2  # `mix` would be read by nobody
        assert "no node reads this one" in tried.stderr
        return
    assert tried.exit_code == 0, tried.stderr
    result = call("edit", spec, *words.split(), "--json")
    told = json.loads(result.stdout)
    assert told["changed"]
    assert told["diff"] == tried.stdout
    added = [line[1:] for line in told["diff"].splitlines() if line[0] == "+"][1:]
    assert lines is None or added == lines
    assert "# in" in spec.read_text()
    load_spec(spec)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("conect x y", "unknown action `conect`: did you mean `connect`?"),
        ("connect x", "`connect` takes NODE NODE [direct]: found x"),
        ("set nope features=3", "unknown node `nope`"),
        ("set mix featurs=3", "did you mean `features`?"),
        ("set mix", "`set` takes NODE key=value"),
        ("set mix features", "`features` is no key=value"),
        ("set mix grow={", "`grow={` is no key=value: not YAML"),
        ("set mix features=0", "found 0, expected 1 or more"),
        ("set groth.select=slope", "name the node first, or write growth.key=value"),
        ("insert x y d dropout", "`y` does not read `x`: it reads `sum`"),
        ("add-node a", "`add-node` takes NAME KIND"),
        ("take nowhere", "there is no such file"),
    ],
)
def test_what_cannot_be_done_changes_nothing(spec: Path, words: str, message: str) -> None:
    result = call("edit", spec, *words.split())
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert spec.read_text() == TEXT


def test_nothing_to_change(spec: Path) -> None:
    result = call("edit", spec, "set", "mix", "features=3")
    assert result.exit_code == 0
    assert "nothing to change" in result.stderr
    assert result.stdout == ""


def test_a_run_is_written_back_and_taken_step_by_step(spec: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = call("grow", spec, "--out", run, "--write-back", "--set", "train.epochs=9")
    assert result.exit_code == 0, result.stderr
    assert f"written back: {spec}" in result.stderr
    grown = load_run(run)
    assert load_spec(spec).nodes == grown.network.spec.nodes
    assert load_spec(spec).train.epochs == 8  # `--set` was for the run alone
    assert spec.read_text().splitlines()[0] == "# a network"
    assert call("edit", spec, "take", f"{run}@0").exit_code == 0
    assert spec.read_text() == TEXT
    assert call("edit", spec, "take", run).exit_code == 0
    assert load_spec(spec).nodes == grown.network.spec.nodes


def test_it_needs_no_torch(spec: Path) -> None:
    code = (
        "import sys; from gromo_graph.cli import app\n"
        "try: app()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print([name for name in ('torch', 'ruamel', 'sklearn') if name in sys.modules], file=sys.stderr)"
    )
    words = ["edit", str(spec), "set", "mix", "activation=relu", "--dry-run"]
    result = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert result.stderr.splitlines()[-1] == "[]"


def test_what_was_set_for_the_run_alone_is_not_written_back(spec: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("--set", "nodes.stem.activation=tanh", "--set", "train.epochs=9", "--quiet")
    assert call("grow", spec, "--out", run, "--write-back", *words).exit_code == 0
    assert load_spec(spec).nodes["stem"].activation == "relu"
    assert load_spec(spec).nodes["stem"].features == load_run(run).spec.nodes["stem"].features > 3


def test_a_run_of_another_network_is_not_taken(spec: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(TEXT.replace("shape: [4]", "shape: [13]").replace("iris", "wine"))
    assert call("grow", other, "--out", tmp_path / "run", "--quiet").exit_code == 0
    result = call("edit", spec, "take", tmp_path / "run")
    assert result.exit_code == 2
    assert "the run is of another network" in result.stderr
    assert spec.read_text() == TEXT


def test_a_file_that_cannot_be_written_is_refused_before_the_training(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    allowed = os.access

    def access(path: object, mode: int) -> bool:  # a superuser may write everything
        return Path(str(path)) != spec and allowed(str(path), mode)

    monkeypatch.setattr(os, "access", access)
    run = spec.parent / "run"
    result = call("grow", spec, "--out", run, "--write-back")
    assert result.exit_code == 1, result.output
    assert "no permission to write here" in result.output
    assert not run.exists()


def test_resume_says_that_a_run_is_not_written_back_yet(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = spec.parent / "run"
    with monkeypatch.context() as patch:  # as if killed just then
        patch.setattr("gromo_graph.spec.text.author_file.AuthorFile.replace", lambda *arguments: None)
        assert call("grow", spec, "--out", run, "--write-back").exit_code == 0
    result = call("resume", run)
    assert f"not written back into {spec} yet: gromo-graph edit {spec} take {run}" in result.stderr
    assert call("edit", spec, "take", run).exit_code == 0
    assert "written back" not in call("resume", run).stderr
    spec.unlink()
    assert f"was to be written back into {spec}, which is missing" in call("resume", run).stderr


def test_what_a_killed_editor_left_is_taken_away_by_the_next(spec: Path) -> None:
    left = spec.parent / ".small.yaml-0123abcd"
    other = spec.parent / ".other.yaml-0123abcd"
    left.write_text("half")
    other.write_text("half")
    assert call("edit", spec, "set", "mix", "activation=tanh").exit_code == 0
    assert not left.exists()
    assert other.exists()


def test_of_several_editors_at_once_none_loses_a_change(spec: Path) -> None:
    """Each change is in the file, or its editor was told that it is not."""
    words = [f"train.{key}=7" for key in ("epochs", "batch_size", "accumulate", "retries")]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "gromo_graph", "edit", str(spec), "set", word], stderr=subprocess.PIPE
        )
        for word in words
    ]
    for word, process in zip(words, started, strict=True):
        told = process.communicate()[1].decode()
        key = word.partition(".")[2].partition("=")[0]
        assert (getattr(load_spec(spec).train, key) == 7) == (process.returncode == 0), told
        assert process.returncode == 0 or "changed it meanwhile" in told
