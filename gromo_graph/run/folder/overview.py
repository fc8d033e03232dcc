"""Runs at a glance: the facts of one, and a row for each folder below another one, without torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gromo_graph.errors import RunError
from gromo_graph.records import Journal, sizes_of
from gromo_graph.records.journal import JOURNAL
from gromo_graph.run.folder.own_files import CHECKPOINTS, STEPS, SUMMARY, check_entries
from gromo_graph.run.folder.run_folder import RunFolder, holds_run
from gromo_graph.run.folder.summary import Measures, Summary

State = Literal["finished", "unfinished", "damaged", "no run"]
_OWN = (STEPS, CHECKPOINTS)


@dataclass(frozen=True)
class Overview:
    """The facts of a run.

    Attributes:
        run: its folder, as it was named.
        name: of its spec. seed: of everything random.
        data: the name, file or function that the data came from; None for objects of Python.
        state: finished or unfinished.
        parameters, madds: of the network as it now stands, madds of one sample; None before anything was measured.
        steps: growth steps applied. epochs: of training done.
        validation, test: measures by name, of the held-out data and of the test data; of a run that is not over those
            after the last epoch, and none of test data.
        seconds: that it took, as far as the journal tells.
        reason: why growth ended; empty if the run is not over.
        notes: what else there is to say.
    """

    run: str
    name: str
    seed: int
    data: str | None
    state: State
    parameters: int | None
    madds: int | None
    steps: int
    epochs: int
    validation: Mapping[str, float]
    test: Mapping[str, float]
    seconds: float
    reason: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the attributes."""
        return asdict(self)


@dataclass(frozen=True)
class Flaw:
    """A folder that cannot be read as a run.

    Attributes:
        run: the folder. state: damaged or no run. notes: the reason.
    """

    run: str
    state: State
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the attributes."""
        return asdict(self)


def overview_of(folder: RunFolder, journal: Journal) -> Overview:
    """The facts of a run.

    Args:
        folder: of the run. journal: of the run, as it was read.

    Raises:
        RunError: a file of the run is missing or damaged.
    """
    command = folder.command()
    sizes = sizes_of(journal.epochs, journal.events, is_over=folder.is_over)
    validation: Mapping[str, float] = journal.epochs[-1].validation if journal.epochs else {}
    test: Mapping[str, float] = {}
    reason = ""
    if folder.is_over:
        summary = folder.read_model(SUMMARY, Summary)
        validation, test, reason = _measured(summary.validation), _measured(summary.test), summary.reason
    torn = ("the last line of the journal was cut off while it was written",) if journal.torn else ()
    return Overview(
        run=str(folder.path),
        name=journal.header.name,
        seed=journal.header.seed,
        data=command.data,
        state="finished" if folder.is_over else "unfinished",
        parameters=sizes[-1].parameters if sizes else None,
        madds=sizes[-1].madds if sizes else None,
        steps=len(journal.applied),
        epochs=len(journal.epochs),
        validation=dict(validation),
        test=test,
        seconds=journal.seconds,
        reason=reason,
        notes=torn,
    )


def _measured(measures: Measures) -> dict[str, float]:
    """The measures of a part of the data that are numbers; the file may hold anything."""
    found = measures.model_dump().items()
    return {name: float(value) for name, value in found if type(value) in (int, float)}


def overviews_below(path: Path) -> tuple[Overview | Flaw, ...]:
    """A row for each run in a folder and in the folders below it, by name; damaged ones are rows with a note.

    A folder that holds no run, nor a folder with one, is a row too, unless its name begins with a dot. Links are not
    followed.

    Raises:
        RunError: there is no such folder.
    """
    if not path.is_dir():
        what = "this is a file" if os.path.lexists(path) else "there is no such folder"
        raise RunError(f"{path}: {what}: expected a folder with runs in it")
    found = {folder: _row(folder) for folder in _folders(path)}
    parents = {parent for folder, row in found.items() if _is_run(row) for parent in folder.parents}
    rows = [
        row
        for folder, row in found.items()
        # Of folders without any run the uppermost is told alone.
        if _is_run(row) or (folder not in parents and folder != path and folder.parent in {path, *parents})
    ]
    return tuple(sorted(rows, key=lambda row: natural(row.run)))


def natural(text: str) -> list[tuple[int, str]]:
    """A key by which numbers in texts are in their order.

    >>> sorted(["run-10", "run-9", "run"], key=natural)
    ['run', 'run-9', 'run-10']
    """
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts if part]


def _is_run(row: Overview | Flaw) -> bool:
    return row.state != "no run"


def _row(folder: Path) -> Overview | Flaw:
    if folder.is_symlink():
        return Flaw(str(folder), "no run", ("this is a link: it is not followed",))
    try:
        if not holds_run(folder):
            return Flaw(str(folder), "no run", (f"it holds no {JOURNAL}",))
        check_entries(folder)
        run = RunFolder(folder)
        return overview_of(run, run.journal())
    except RunError as error:
        return Flaw(str(folder), "damaged", (_without(folder, str(error)),))
    except OSError as error:
        return Flaw(str(folder), "no run", (f"it cannot be read: {error.strerror or error}",))


def _without(folder: Path, message: str) -> str:
    """A message without the folder, which stands beside it."""
    return message.removeprefix(f"{folder}/").removeprefix(f"{folder}: ")


def _folders(path: Path) -> Iterator[Path]:
    """A folder and all below it, but hidden ones and those that a run makes; links are given and not entered."""
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        yield folder
        if folder != path and folder.is_symlink():
            continue
        waiting += _inside(folder)


def _inside(folder: Path) -> Sequence[Path]:
    try:
        with os.scandir(folder) as entries:
            shown = [each for each in entries if not each.name.startswith(".") and os.path.isdir(each.path)]  # noqa: PTH112 - raises nothing
            own = _OWN if holds_run(folder) else ()
    except OSError:  # what cannot be read has a row, and no runs that could be seen
        return ()
    return [folder / entry.name for entry in shown if entry.name not in own]
