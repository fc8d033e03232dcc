"""Verbs that are killed while they write: files of the author are old or new, and the next try succeeds."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gromo_graph import grow, load_spec, parse_spec
from gromo_graph.run.folder.own_files import SUMMARY
from tests.run.killing import killed
from tests.run.specs import IRIS
from tests.run.test_resume import same_runs

pytestmark = pytest.mark.slow


def left_beside(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def all_killed(folder: Path, check: Callable[[], None], *words: str, most: int, tries: int = 4) -> None:
    """Kill the verb at some of its writes, and let it come to its end after each."""
    dice = random.Random(words[0])
    deaths = 0
    for _ in range(tries):
        deaths += killed(folder, dice.randrange(1, most + 1), *words)
        check()
    assert deaths >= tries // 2
    assert not killed(folder, 10**9, *words)
    assert left_beside(folder) == []


def test_edit(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(IRIS)

    def check() -> None:
        assert file.read_text() in (IRIS, IRIS.replace("features: 1,", "features: 9,"))
        file.write_text(IRIS)

    all_killed(tmp_path, check, "edit", "my.yaml", "set", "hidden", "features=9", most=2)


def test_write_back(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(IRIS)
    words = ("grow", "my.yaml", "--write-back", "--force", "-o", "run", "--seed", "1", "-q")
    assert not killed(tmp_path, 10**9, *words)
    grown = file.read_text()
    assert grown != IRIS
    file.write_text(IRIS)

    def check() -> None:
        assert file.read_text() in (IRIS, grown)
        file.write_text(IRIS)

    all_killed(tmp_path, check, *words, most=40)


def test_export(tmp_path: Path) -> None:
    grow(parse_spec(IRIS), out=tmp_path / "run", seed=1)
    words = ("export", "run", "-o", "net.py", "--force")
    assert not killed(tmp_path, 10**9, *words)
    whole = {path.name: path.read_bytes() for path in tmp_path.glob("net*")}

    def check() -> None:
        for path in tmp_path.glob("net*"):
            assert path.read_bytes() == whole[path.name]

    all_killed(tmp_path, check, *words, most=6)


@pytest.mark.parametrize(
    "words", [("branch", "run", "--at", "1", "--set", "train.epochs=6"), ("replay", "run", "--to", "2")]
)
def test_branch_and_replay(tmp_path: Path, words: tuple[str, ...]) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    grow(parse_spec(IRIS), out=run, seed=1, device="cpu")
    kept = tmp_path / "kept"
    shutil.copytree(run, kept)
    assert not killed(tmp_path, 10**9, *words, "-o", "whole", "-q")

    def check() -> None:
        same_runs(run, kept)
        if (out / SUMMARY).is_file():
            same_runs(out, tmp_path / "whole")
        elif (out / "spec.yaml").is_file():
            load_spec(out / "spec.yaml")

    all_killed(tmp_path, check, *words, "-o", "out", "--force", "-q", most=40)
    same_runs(out, tmp_path / "whole")
