"""The package on other systems: without flock, without folders that can be opened, with files that stay while open.

A simulated Windows refuses to move and remove what this process has open, as the real one does.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gromo_graph import RunError, grow, load_run, parse_spec, resume
from gromo_graph import operating_system as system
from gromo_graph.records.atomic_files import replace_file, replace_unchanged, write_atomically
from gromo_graph.run.folder.lock import RunLock
from gromo_graph.run.folder.own_files import LOCK
from gromo_graph.spec.text.author_file import AuthorFile
from tests.run.specs import IRIS


class ByteLocks:
    """Locks on bytes as `msvcrt.locking` gives them, by open file and not by process."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.held: dict[int, tuple[int, int]] = {}

    def locking(self, file: int, mode: int, size: int) -> None:
        """Lock a byte of an open file."""
        place = os.lseek(file, 0, os.SEEK_CUR)
        inode = os.fstat(file).st_ino
        self.held = {each: of for each, of in self.held.items() if is_open(each, of[0])}
        assert (mode, size) == (self.LK_NBLCK, 1)
        assert place > os.fstat(file).st_size  # who reads the file is not kept waiting
        if any(of == (inode, place) and each != file for each, of in self.held.items()):
            raise PermissionError(13, "the byte is locked")
        self.held[file] = inode, place


def is_open(descriptor: int, inode: int) -> bool:
    """True if this process has the file open under this descriptor."""
    try:
        return os.fstat(descriptor).st_ino == inode
    except OSError:
        return False


def opened(path: Path) -> bool:
    """True if this process has a file open."""
    inode = path.stat().st_ino
    return any(is_open(int(each.name), inode) for each in Path("/proc/self/fd").iterdir())


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> ByteLocks:
    """The system without everything that Windows lacks."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("there is no list of open files")
    locks, replaced, unlinked, opener = ByteLocks(), Path.replace, Path.unlink, os.open

    def replace(self: Path, target: Path) -> Path:
        if opened(self) or (Path(target).exists() and opened(Path(target))):
            raise PermissionError(13, "the file is open", str(self))
        return replaced(self, target)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.exists() and opened(self):
            raise PermissionError(13, "the file is open", str(self))
        unlinked(self, missing_ok)

    def open_(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if "dir_fd" in options:
            raise NotImplementedError("dir_fd unavailable on this platform")
        if Path(path).is_dir():
            raise PermissionError(13, "folders cannot be opened", str(path))
        return opener(path, flags, *args, **options)

    changes = {"fcntl": None, "msvcrt": locks, "MOVES_OPEN_FILES": False, "REMOVES_IN_OPEN_FOLDERS": False}
    flags = {"NO_LINK": 0, "NO_LINK_TO_FOLDER": 0, "NO_WAITING": 0, "_TRIES": 2, "_PAUSE": 0.0}
    for name, value in (changes | flags).items():
        monkeypatch.setattr(system, name, value)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(shutil, "_use_fd_functions", False, raising=False)
    return locks


def test_a_run_is_made_resumed_and_replaced(windows: ByteLocks, tmp_path: Path) -> None:
    class BrokenOffError(Exception):
        pass

    def broken(progress: Any) -> None:
        if progress.epoch == 2:
            raise BrokenOffError

    path, spec = tmp_path / "run", parse_spec(IRIS)
    with pytest.raises(BrokenOffError):
        grow(spec, out=path, seed=1, device="cpu", on_progress=broken)
    assert not (path / LOCK).exists()
    run = resume(path)
    assert len(run.epochs) == 4
    assert windows.held  # it was locked
    grow(spec, out=path, seed=1, device="cpu", force=True)
    assert load_run(path).summary["parameters"] == run.summary["parameters"]
    assert not [each for each in path.iterdir() if each.name.startswith(".")]


def test_the_runs_own_files_alone_are_replaced(windows: ByteLocks, tmp_path: Path) -> None:
    path = tmp_path / "run"
    grow(parse_spec(IRIS), out=path, seed=1, device="cpu")
    drawings = len(list((path / "steps").iterdir()))
    (path / "steps" / "mine.txt").write_text("kept")
    grow(parse_spec(IRIS), out=path, seed=1, device="cpu", force=True)
    assert (path / "steps" / "mine.txt").read_text() == "kept"
    assert len(list((path / "steps").iterdir())) == drawings + 1


@pytest.mark.parametrize("locks", [True, False])
def test_one_process_writes_a_run_if_there_are_locks(
    windows: ByteLocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    if not locks:
        monkeypatch.setattr(system, "msvcrt", None)
    lock = RunLock(tmp_path)
    if locks:
        with pytest.raises(RunError, match=rf"another process writes this run \(process {os.getpid()}\)"):
            RunLock(tmp_path)
    else:
        RunLock(tmp_path).release()
    lock.release()
    assert not (tmp_path / LOCK).exists()
    RunLock(tmp_path).release()


def test_a_link_in_the_place_of_the_lock_is_refused(windows: ByteLocks, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("kept")
    (tmp_path / LOCK).symlink_to(tmp_path / "other")
    with pytest.raises(RunError, match="this is a link"):
        RunLock(tmp_path)
    assert (tmp_path / "other").read_text() == "kept"


def test_files_are_replaced_as_a_whole(windows: ByteLocks, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "one")
    replace_unchanged(path, b"one", b"two\r\n")
    with pytest.raises(RunError, match="somebody else has changed it"):
        replace_unchanged(path, b"one", b"three")
    assert path.read_bytes() == b"two\r\n"
    with path.open("rb"), pytest.raises(RunError, match="no permission to write here"):
        replace_file(path, "four")  # another one reads it, for longer than is waited
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_open_for_a_moment_is_waited_for(
    windows: ByteLocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    reader = path.open("rb")
    monkeypatch.setattr("time.sleep", lambda _: reader.close())
    replace_file(path, "two")
    assert path.read_text() == "two"


def test_an_edit_keeps_the_authors_file(windows: ByteLocks, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(IRIS)
    file = AuthorFile.read(path)
    file.replace(file.changed(parse_spec(IRIS.replace("features: 1", "features: 7"))))
    assert "features: 7" in path.read_text()


def test_ctrl_break_stops_a_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.stop_signals() == (signal.SIGINT, signal.SIGTERM)
    breaking = SimpleNamespace(SIGINT=2, SIGTERM=15, SIGBREAK=21)
    monkeypatch.setattr(system, "signal", breaking)
    assert system.stop_signals() == (2, 15, 21)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_every_character_can_be_printed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding)
    system.write_utf8(stream, None)
    stream.write("γ → ≈")
    stream.flush()
    assert buffer.getvalue().decode() == "γ → ≈"
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    system.write_utf8(terminal)
    terminal.write("γ")
    terminal.flush()
    assert terminal.buffer.getvalue() == b"?"  # type: ignore[attr-defined]
