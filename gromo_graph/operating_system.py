"""The differences between operating systems that files, signals and streams meet, in one place.

POSIX locks open files (flock), and moves and removes files that are open. Windows locks ranges of bytes, which other
processes cannot read meanwhile, and refuses to move or remove a file that is open anywhere.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]
msvcrt: Any = None
if sys.platform == "win32":
    import msvcrt

MOVES_OPEN_FILES = os.name != "nt"
"""True if an open file can be moved and removed."""
REMOVES_IN_OPEN_FOLDERS = os.unlink in os.supports_dir_fd and os.open in os.supports_dir_fd
"""True if files can be reached through an open folder, which stays the same whatever its path leads to."""

BINARY = getattr(os, "O_BINARY", 0)  # Windows would change the ends of lines
NO_WAITING = getattr(os, "O_NONBLOCK", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
NO_LINK_TO_FOLDER = NO_LINK | getattr(os, "O_DIRECTORY", 0)
"""Flags for os.open; 0 on a system without them."""

_LOCKED_BYTE = 2**30  # behind everything in the file, so that others can read what is in it
_TRIES, _PAUSE = 20, 0.05  # another process, or a virus scanner, may have a file open for a moment


def has_locks() -> bool:
    """True if files can be locked."""
    return fcntl is not None or msvcrt is not None


def lock(file: int, *, wait: bool = False) -> bool:
    """Lock an open file; it is unlocked when it is closed, and when the process ends.

    Args:
        file: its descriptor.
        wait: whether to wait for a process that holds the lock (POSIX alone).

    Returns:
        Whether it is locked now: False if another process holds the lock, or if the system has none.
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return True
        if msvcrt is not None:
            os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            return True
    except OSError:
        return False
    finally:
        if fcntl is None and msvcrt is not None:
            os.lseek(file, 0, os.SEEK_SET)
    return False


def move(source: Path, target: Path) -> None:
    """Put a file in the place of another.

    Raises:
        OSError: it cannot be done; on Windows, if the target is open elsewhere and stays so for a second.
    """
    for _ in range(0 if MOVES_OPEN_FILES else _TRIES):
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(_PAUSE)
        else:
            return
    source.replace(target)


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals by which a process is asked to stop; Windows sends SIGBREAK for Ctrl-Break.

    >>> signal.SIGINT in stop_signals()
    True
    """
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


def write_utf8(*streams: TextIO | None) -> None:
    """Let streams take every character: files and pipes get UTF-8, a terminal that lacks a character a `?`."""
    for stream in streams:
        encoding = (getattr(stream, "encoding", None) or "").lower().replace("_", "-")
        reconfigure = getattr(stream, "reconfigure", None)
        if stream is None or reconfigure is None or encoding == "utf-8":
            continue
        if stream.isatty():
            reconfigure(errors="replace")
        else:
            reconfigure(encoding="utf-8")
