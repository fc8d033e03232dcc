"""Graphviz and its font library write to the process's standard error by themselves; this catches it.

On many systems every drawing would otherwise put a "Fontconfig warning" in front of the reader. What is caught and
is not theirs (another thread wrote meanwhile) is passed on.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_THEIRS = ("Fontconfig ", "Warning: ", "Error: ", "in label of ", "(process:", "\n")


@contextmanager
def caught() -> Iterator[list[str]]:
    """Within the block, file descriptor 2 is caught; the list holds the C libraries' lines after it."""
    said: list[str] = []
    try:
        saved = os.dup(2)
    except OSError:  # the process has no standard error: there is nothing to catch
        yield said
        return
    try:
        with tempfile.TemporaryFile() as file:
            _flush()
            os.dup2(file.fileno(), 2)
            try:
                yield said
            finally:
                _flush()
                os.dup2(saved, 2)
                file.seek(0)
                for line in file:
                    if line.decode(errors="replace").startswith(_THEIRS):
                        said.append(line.decode(errors="replace").strip())
                    else:
                        os.write(2, line)
    finally:
        os.close(saved)


def _flush() -> None:
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()
