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
    ],
    ids=" ".join,
)
def test_names_of_more_than_255_bytes(place: Path, words: tuple[str, ...]) -> None:
    said = told(place, *words)
    assert "File name too long" in said
    assert "free some space" not in said


OF_RUNS = [
    *(("evaluate",), ("resume",), ("history",), ("inspect",), ("inspect", "--serve"), ("curve",), ("pick",)),
    *(("replay", "--to", "1", "-o", "new"), ("branch", "--at", "1", "-o", "new")),
    *(("predict", "--data", "s.yaml"), ("compare", "run")),
]
"""Verbs that take a run, each with the options that it has to have."""


@pytest.mark.parametrize("words", OF_RUNS, ids=" ".join)
def test_all_verbs_have_one_answer_to_a_path_that_is_no_run(
    place: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    for none in (LONG, "none"):
        assert f"{none}: there is no such folder: expected the folder of a run" in told(place, *words, none)
    assert "s.yaml: this is a file, expected the folder of a run" in told(place, *words, "s.yaml")
    assert f"{tmp_path}: this is no run: it holds no journal.jsonl" in told(place, *words, str(tmp_path))


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
