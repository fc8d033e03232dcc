"""The lock of a run folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gromo_graph import RunError, grow, parse_spec
from gromo_graph.run.folder.lock import RunLock
from gromo_graph.run.folder.own_files import LOCK
from tests.run.specs import IRIS


def test_it_is_held_by_one_and_let_go(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    with pytest.raises(RunError, match=rf"another process writes this run \(process {os.getpid()}\)"):
        RunLock(tmp_path)
    lock.release()
    assert not (tmp_path / LOCK).exists()
    RunLock(tmp_path).release()


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> int:
        raise PermissionError("no")

    monkeypatch.setattr("os.open", refused)
    with pytest.raises(RunError, match="there is no permission to write here"):
        RunLock(tmp_path)


def test_a_run_that_cannot_be_made_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RunError("no space")

    monkeypatch.setattr("gromo_graph.run.folder.recorder.create_folder", full)
    with pytest.raises(RunError, match="no space"):
        grow(parse_spec(IRIS), out=tmp_path)
    assert list(tmp_path.iterdir()) == []
    RunLock(tmp_path).release()
