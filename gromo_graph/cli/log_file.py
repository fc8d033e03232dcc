"""`--log FILE`: the lines of a run in a file, each with its time; a file that is there is continued."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gromo_graph.cli.messages import printable
from gromo_graph.cli.progress import decision
from gromo_graph.environment import VERSION
from gromo_graph.run.epoch_progress import OnProgress, Progress


@contextmanager
def logged(path: Path | None, about: str) -> Iterator[OnProgress | None]:
    """A watcher that writes each epoch and growth step; warnings and the way it ended are written too.

    Args:
        path: of the file; None writes nothing.
        about: the first line: what begins here.

    Raises:
        OSError: the file cannot be written to.
    """
    if path is None:
        yield None
        return
    with path.open("a", encoding="utf-8") as file:
        log = _Log(file)
        log.line(f"gromo_graph {VERSION}: {about}")
        try:
            with _warnings_told(log):
                yield log
        except KeyboardInterrupt:
            log.line("interrupted")
            raise
        except Exception as error:
            log.line(f"error: {error}")
            raise
        log.line("done")


class _Log:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def line(self, text: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        for each in text.splitlines():
            self._file.write(f"{now} {printable(each)}\n")
        self._file.flush()

    def __call__(self, progress: Progress) -> None:
        for event in progress.events:
            self.line(decision(event))
        self.line(str(progress))

    def budget(self, words: str) -> None:
        self.line(f"budget: {words}")


@contextmanager
def _warnings_told(log: _Log) -> Iterator[None]:
    """Write warnings into the log as well."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        log.line(f"warning: {message}")
        before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
