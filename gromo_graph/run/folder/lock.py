"""One process writes a run folder at a time."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gromo_graph import operating_system as system
from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import writing
from gromo_graph.run.folder.own_files import LOCK, check_entries
from gromo_graph.run.folder.run_folder import check_free, remove_beginning


class RunLock:
    """Held while a run is written; the system lets it go when the process ends, however it does.

    The lock belongs to the open file and not to its name. So the file may be taken away only by its holder, and
    whoever has just locked a file looks whether it still is the one of that name: if not, its holder of before has
    taken it away, and the lock on it keeps nobody away.

    Args:
        run: the folder.
        make: whether the folder is made.

    Raises:
        RunError: another process holds it, or the folder cannot be written to.
    """

    def __init__(self, run: Path, *, make: bool = False) -> None:
        self._path = run / LOCK
        with writing(self._path):
            while True:
                if make:
                    run.mkdir(parents=True, exist_ok=True)
                try:
                    self._file = _opened(self._path)
                except FileNotFoundError:  # somebody took the empty folder away in between
                    if make:
                        continue
                    raise
                if self._locked(run):
                    break
                os.close(self._file)
            os.ftruncate(self._file, 0)
            os.write(self._file, str(os.getpid()).encode())

    def _locked(self, run: Path) -> bool:
        """Lock the open file, and tell whether it still has its name.

        Raises:
            RunError: another process holds it.
        """
        if not system.lock(self._file) and system.has_locks():
            held = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            raise RunError(
                f"{run}: another process writes this run{f' (process {held})' if held else ''}: wait for it, or end it"
            )
        try:
            named = self._path.lstat()
        except FileNotFoundError:
            return False
        own = os.fstat(self._file)
        return (own.st_dev, own.st_ino) == (named.st_dev, named.st_ino)

    def release(self) -> None:
        """Let others write."""
        if system.MOVES_OPEN_FILES:  # still locked: another one may have opened it already
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        if not system.MOVES_OPEN_FILES:
            with suppress(OSError):  # another one has it open, and will take it away
                self._path.unlink(missing_ok=True)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the folder of a run that is there, whose entries are files of its own.

    Raises:
        RunError: another process holds it, or an entry is a link or a device.
    """
    check_entries(run)
    lock = RunLock(run)
    try:
        check_entries(run)
        yield
    finally:
        lock.release()


@contextmanager
def locked_new(run: Path, *, force: bool) -> Iterator[None]:
    """Make the folder of a new run and hold it; a folder that stays empty is taken away again.

    Args:
        run: the folder.
        force: whether a run that is there may be replaced.

    Raises:
        RunError: another process holds it, or as `check_free`, which is asked again under the lock.
    """
    check_free(run, force=force)
    made = not run.exists()
    lock = RunLock(run, make=True)
    try:
        check_free(run, force=force)
        remove_beginning(run)
        yield
    finally:
        lock.release()
        if made:
            with suppress(OSError):
                run.rmdir()


def _opened(path: Path) -> int:
    """The open lock file: one of the folder's own, never what a link leads to.

    Raises:
        RunError: it is a link, a pipe or a device.
    """
    flags = os.O_RDWR | os.O_CREAT | system.BINARY | system.NO_LINK | system.NO_WAITING
    is_link = RunError(f"{path}: this is a link, and a run writes files of its own only: take it away")
    if not system.NO_LINK and path.is_symlink():
        raise is_link
    try:
        file = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise is_link from error
        raise
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(file)
        raise RunError(f"{path}: this is no file of the run's own: take it away")
    return file
