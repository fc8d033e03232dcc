"""Files that a reader finds whole or not at all, and reading regular files alone."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gromo_graph import operating_system as system
from gromo_graph.errors import NoPermissionError, RunError

_PART = re.compile(r"\..+-[0-9a-f]{8}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the system while `path` is written become a RunError that says what to do."""
    try:
        yield
    except PermissionError as error:
        raise NoPermissionError(f"{path}: there is no permission to write here") from error
    except OSError as error:
        reason = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space or choose another place" if full else "choose another place"
        raise RunError(f"{path}: cannot be written: {reason}; {advice}") from error


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace a file of the user's: a crash leaves the old one or the new one.

    What processes that were killed in the middle of this have left beside the file is taken away.

    Raises:
        RunError: no permission, no space, no such folder.
    """
    replace_file(path, content)
    for part in _parts_of(path):
        _remove_abandoned(part)


def replace_file(path: Path, content: bytes | str) -> None:
    """Write beside the place, flush to the disk, move there: a crash leaves the old file or the new one.

    Who may read and write an old file stays as it was.

    Raises:
        RunError: no permission, no space, no such folder.
    """
    data = content.encode() if isinstance(content, str) else content
    with writing(path):
        part, descriptor = _begun(path)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open already
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                with suppress(FileNotFoundError):
                    shutil.copymode(path, part)
                if system.MOVES_OPEN_FILES:  # it is locked until then
                    system.move(part, path)
            if not system.MOVES_OPEN_FILES:
                system.move(part, path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


def replace_unchanged(path: Path, before: bytes, after: bytes) -> None:
    """Write a file as `write_atomically` does, but only if it still holds what was read of it.

    Others who replace the same file in this way wait for each other.

    Raises:
        RunError: it holds something else now, it is gone, or it cannot be written.
    """
    with writing(path):
        with path.open("rb") as file:
            if system.MOVES_OPEN_FILES:
                system.lock(file.fileno(), wait=True)
            # Whoever held the lock before has put another file in this place.
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()) or file.read() != before:
                raise RunError(
                    f"{path}: somebody else has changed it meanwhile: nothing was written, do it once more"
                )
            if system.MOVES_OPEN_FILES:
                write_atomically(path, after)
                return
        write_atomically(path, after)


def read_file(path: Path) -> bytes:
    """The content of a regular file; a pipe would keep the reader waiting for ever.

    Raises:
        FileNotFoundError: there is none.
        RunError: it is something else, or cannot be read.
    """
    try:
        with open(os.open(path, os.O_RDONLY | system.BINARY | system.NO_WAITING), "rb") as file:  # noqa: PTH123 - so that it never waits
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise RunError(f"{path}: this is no file, expected one")
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_regular(path: Path) -> None:
    """Refuse what is there but is no regular file, before it is opened.

    Raises:
        RunError: it is a folder, a pipe, a socket or a device.
    """
    with suppress(OSError):  # whoever opens it says what is wrong
        if not stat.S_ISREG(path.stat().st_mode):
            raise RunError(f"{path}: this is no file, expected one")


def _begun(path: Path) -> tuple[Path, int]:
    """A new file beside the place, open and locked, so that no other process takes it for an abandoned one."""
    while True:
        part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | system.BINARY, 0o666)
        if not _tells_abandoned() or (system.lock(file) and os.fstat(file).st_nlink):
            return part, file
        os.close(file)  # taken for an abandoned one before it was locked


def _parts_of(path: Path) -> list[Path]:
    """Files that `replace_file` has begun, here or in another process, and not finished."""
    begun = re.compile(rf"\.{re.escape(path.name)}-[0-9a-f]{{8}}")
    with suppress(OSError):
        return [each for each in path.parent.iterdir() if begun.fullmatch(each.name)]
    return []


def _remove_abandoned(part: Path) -> None:
    """Take a part away unless a process still writes it, which then holds its lock."""
    if not _tells_abandoned():
        return
    with suppress(OSError):
        file = os.open(part, os.O_RDWR | system.NO_WAITING | system.NO_LINK)
        try:
            if system.lock(file):
                part.unlink()
        finally:
            os.close(file)


def _tells_abandoned() -> bool:
    """True if a lock tells a part that is still written from an abandoned one: it is held until the part is moved."""
    return system.has_locks() and system.MOVES_OPEN_FILES


def remove_parts(folder: Path) -> None:
    """Take away what `write_atomically` had begun beside its place when the process was killed."""
    with writing(folder):
        for path in folder.glob(".*-????????"):
            if _PART.fullmatch(path.name):
                path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a move inside a folder last, if the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
