"""Writing files so that a reader finds the whole of one or none of it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gromo_graph.errors import RunError

try:
    import fcntl
except ImportError:  # not a POSIX system: files cannot be locked in this way
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r"\..+-[0-9a-f]{8}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the system while `path` is written become a RunError that says what to do."""
    try:
        yield
    except PermissionError as error:
        raise RunError(
            f"{path}: there is no permission to write here: choose another place with --out"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"{path}: cannot be written: {reason}; free some space or choose another place"
        ) from error


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write beside the place, flush to the disk, move there: a crash leaves the old file or the new one.

    Who may read and write an old file stays as it was.

    Raises:
        RunError: no permission, no space, no such folder.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with writing(path):
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                shutil.copymode(path, part)
            part.replace(path)
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
    with writing(path), path.open("rb") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        # Whoever held the lock before has put another file in this place.
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()) or file.read() != before:
            raise RunError(
                f"{path}: somebody else has changed it meanwhile: nothing was written, do it once more"
            )
        write_atomically(path, after)


def remove_parts(folder: Path) -> None:
    """Take away what `write_atomically` had begun beside its place when the process was killed."""
    with writing(folder):
        for path in folder.glob(".*-????????"):
            if _PART.fullmatch(path.name):
                path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a move inside a folder last, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
