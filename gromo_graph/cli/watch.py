"""`--watch`: look again whenever the spec, or a file that it includes, has been saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.messages import failure, say, show_problems
from gromo_graph.errors import GromoGraphError, SpecError

Watch = Annotated[
    bool, typer.Option("--watch", help="Look again whenever the file is saved; Ctrl-C ends it.")
]

_PAUSE, _SETTLING = 0.2, 0.05  # seconds; a person who saves a file does not notice them
Signature = tuple[tuple[int, int, int] | None, ...]


def watched(spec: str, look: Callable[[], None]) -> None:
    """Act now and after each change, even if the file is wrong meanwhile; ends with KeyboardInterrupt."""
    from gromo_graph.spec.expand.include import included_files

    while True:
        seen = _settled(lambda: _signature([Path(spec), *included_files(spec)]))
        try:
            look()
        except SpecError as error:
            show_problems(error.problems)
        except GromoGraphError as error:
            failure(str(error))
        say(f"watching {spec}: Ctrl-C ends it")
        while _signature([Path(spec), *included_files(spec)]) == seen:
            time.sleep(_PAUSE)


def _settled(signature: Callable[[], Signature]) -> Signature:
    """Wait until nothing changes any more: an editor may empty a file before it writes it."""
    before = signature()
    while True:
        time.sleep(_SETTLING)
        now = signature()
        if now == before:
            return now
        before = now


def _signature(files: Sequence[Path]) -> Signature:
    """The stamp of a file, which every editor changes on saving; None if the file is missing."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            state = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(found)
