"""One process writes a run folder at a time."""

from __future__ import annotations

import os
from pathlib import Path

from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import writing
from gromo_graph.run.folder.run_folder import LOCK

try:
    import fcntl
except ImportError:  # a system without it goes without the lock
    fcntl = None  # type: ignore[assignment]


class RunLock:
    """Held while a run is written; the system lets it go when the process ends, however it does.

    Raises:
        RunError: another process holds it.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / LOCK
        with writing(self._path):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            raise RunError(
                f"{run}: another process writes this run{f' (process {held})' if held else ''}: wait for it, or end it"
            ) from error
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """Let others write."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)
