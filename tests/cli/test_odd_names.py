"""Names that are too long, steps with thousands of digits, places that nothing can be written to: told in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from gromo_graph import grow
from tests.cli.test_verbs import call, failed

SPEC = """
name: odd
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {when: {every: 1, until: 1.0}}
train: {data: iris, epochs: 2, batch_size: 32}
"""
LONG, DIGITS = "a" * 300, "9" * 5000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "s.yaml").write_text(SPEC)
    grow(folder / "s.yaml", out=folder / "run", device="cpu")
    return folder


@pytest.fixture
def place(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a spec and its run."""
    monkeypatch.chdir(made)
    return made


def told(place: Path, *words: str) -> str:
    """The message of a verb that fails; it leaves nothing behind."""
    result = call(*words)
    said = failed(result, result.exit_code)
    assert result.exit_code in (1, 2)
    assert sorted(each.name for each in place.iterdir()) == ["run", "s.yaml"]
    return " ".join(said.split())


@pytest.mark.parametrize(
    "words",
    [
        ("validate", f"{LONG}.yaml"),
        ("render", f"{LONG}.yaml"),
        ("render", "s.yaml", "-o", f"{LONG}.svg"),
        ("grow", "s.yaml", "-o", LONG),
        ("grow", "s.yaml", "-o", "new", "--data", f"{LONG}.csv"),
        ("replay", "run", "--to", "1", "-o", LONG),
        ("export", "run", "-o", LONG),
        ("history", LONG),
    ],
    ids=" ".join,
)
def test_names_of_more_than_255_bytes(place: Path, words: tuple[str, ...]) -> None:
    said = told(place, *words)
    assert "File name too long" in said
    assert "free some space" not in said


@pytest.mark.parametrize("words", [("evaluate", LONG), ("resume", LONG)], ids=" ".join)
def test_no_run_has_such_a_name(place: Path, words: tuple[str, ...]) -> None:
    assert "there is no such folder: expected the folder of a run" in told(place, *words)


@pytest.mark.parametrize("verb", ["render", "show", "export"])
def test_a_step_with_thousands_of_digits(place: Path, verb: str) -> None:
    options = ["-o", "out"] if verb == "export" else []
    assert "999999999999999" in told(place, verb, f"run@{DIGITS}", *options)


@pytest.mark.parametrize(
    ("tensorboard", "reason"),
    [("s.yaml", "File exists"), ("/proc/here", "No such file"), (LONG, "File name too long")],
)
def test_tensorboard_cannot_write(place: Path, tensorboard: str, reason: str) -> None:
    pytest.importorskip("tensorboard")
    said = told(place, "grow", "s.yaml", "--tensorboard", tensorboard, "-o", "new")
    assert f"no event files can be written here: {reason}" in said
    assert "choose another --tensorboard, or leave it out" in said
