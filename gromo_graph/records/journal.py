"""Reading the journal of a run: one JSON object a line, each with a checksum.

The writer keeps the same promises: `time` holds everything about clocks, and the checksum leaves it out, so that one
seed gives one journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from math import inf
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gromo_graph.errors import RunError
from gromo_graph.records.atomic_files import read_file
from gromo_graph.records.events import GrowthEvent
from gromo_graph.records.run_step import run_step, steps_words
from gromo_graph.records.validation import Count, Loss, first_problem

JOURNAL = "journal.jsonl"
VERSION = 1
"""Of the format. Fields that are added later have a default, so that older journals stay readable."""

_DIGITS = 16
_NOT_SUMMED = ("time", "checksum")


def checksum(line: Mapping[str, Any]) -> str:
    """The checksum of a journal line: 16 hex digits of the SHA-256 of its canonical JSON, clocks left out.

    >>> checksum({"type": "epoch", "epoch": 1}) == checksum({"epoch": 1, "type": "epoch", "time": {"now": 3}})
    True
    """
    summed = {key: value for key, value in line.items() if key not in _NOT_SUMMED}
    text = json.dumps(summed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class Header:
    """The first line: what the run started from.

    Attributes:
        version: of the journal's format.
        name: of the spec.
        seed: of everything random.
        spec: the YAML text before any growth.
        data: fingerprint and sizes of the data.
        defaults: the version of the defaults by which `spec` is read; release 0.1 named none.
    """

    version: int
    name: str
    seed: int
    spec: str
    data: Mapping[str, Any]
    defaults: int = 1


@dataclass(frozen=True)
class Epoch:
    """One epoch of training.

    Attributes:
        epoch: how many are done.
        train, validation: measured values by name, `loss` and perhaps `accuracy`.
        parameters, madds: of the network in this epoch.
        lr: the learning rate.
    """

    epoch: Count
    train: Mapping[str, Loss]
    validation: Mapping[str, Loss]
    parameters: Count
    madds: Count
    lr: float


@dataclass(frozen=True)
class Setback:
    """An epoch in which a loss was not finite.

    Attributes:
        epoch: which one, from 1. reason: which loss, and where.
        again: whether it was done again, at half the learning rate; else the run ended there.
    """

    epoch: int
    reason: str
    again: bool


@dataclass(frozen=True)
class Journal:
    """A run as its journal tells it.

    Attributes:
        header: the first line.
        epochs: in order.
        events: every growth step tried, in order.
        setbacks: epochs in which a loss was not finite.
        torn: the last line was cut off while it was written (the run was killed) and is left out.
        seconds: that the processes which wrote it have worked; never part of a comparison.
    """

    header: Header
    epochs: tuple[Epoch, ...]
    events: tuple[GrowthEvent, ...]
    setbacks: tuple[Setback, ...] = ()
    torn: bool = False
    seconds: float = field(default=0.0, compare=False)

    @property
    def applied(self) -> tuple[GrowthEvent, ...]:
        """The events that changed the network."""
        return tuple(event for event in self.events if event.decision is not None)


def no_weights(address: str | PathLike[str]) -> str | None:
    """Says why an address of a step cannot be taken where weights are needed; None if it is no such address.

    The advice is to make the weights of the step again, if the run has that step.
    """
    found = run_step(address)
    if found is None:
        return None
    try:
        applied = len(read_journal(found.run / JOURNAL).applied)
    except RunError as error:
        return str(error)
    if found.number == 0:
        return f"the weights before any growth are not kept: {steps_words(applied)}"
    if found.number > applied:
        return f"there is no step {found.step}: {steps_words(applied)}"
    return (
        f"a run keeps the weights of its end alone: make those of step {found.step} again with "
        f"`gromo-graph replay {found.run} --to {found.step} -o DIR`, and give DIR"
    )


def check_is_folder(path: Path) -> None:
    """Refuse a path that cannot be the folder of a run, in the words that all verbs have for it.

    Raises:
        RunError: there is nothing, or a file.
    """
    if reason := no_weights(path):
        raise RunError(f"{path}: {reason}")
    if not os.path.lexists(path):  # False for a name that is too long, too
        near = get_close_matches(path.name, _runs_in(path.parent), n=1)
        hint = f"; did you mean `{path.with_name(near[0])}`?" if near else ""
        raise RunError(f"{path}: there is no such folder: expected the folder of a run{hint}")
    if not path.is_dir():
        raise RunError(f"{path}: this is a file, expected the folder of a run")


def _runs_in(folder: Path) -> list[str]:
    """The names of the runs in a folder; none if it cannot be read."""
    try:
        return sorted(each.name for each in folder.iterdir() if os.path.lexists(each / JOURNAL))
    except (OSError, ValueError):  # a name with a zero byte is a ValueError
        return []


def journal_file(path: Path) -> Path:
    """The journal of a run folder, or the file itself.

    Raises:
        RunError: the path can be neither.
    """
    if path.suffix == Path(JOURNAL).suffix:
        return path
    check_is_folder(path)
    return path / JOURNAL


def read_journal(path: str | PathLike[str], *, first: int | None = None) -> Journal:
    """The journal of a run folder, or the file itself.

    Args:
        path: of either.
        first: how many lines are read; None reads all of them.

    Raises:
        RunError: it cannot be read, or a line other than a torn last one is damaged: `file:line: what is wrong`.
    """
    file = journal_file(Path(fspath(path)))
    try:
        data = read_file(file)
    except FileNotFoundError as error:
        raise RunError(f"{file.parent}: this is no run: it holds no {JOURNAL}") from error
    lines, torn = _whole_lines(data)
    lines = lines[:first]
    if not lines:
        lost = "the header is cut off" if torn else "the journal is empty"
        why = "it was damaged, or its disk was full" if torn else "the run never started"
        raise RunError(f"{file}: {lost}: expected a header line; {why}")
    header: Header | None = None
    epochs: list[Epoch] = []
    setbacks: list[Setback] = []
    events: list[GrowthEvent] = []
    elapsed: list[float] = []
    for number, line in enumerate(lines, start=1):
        where = f"{file}:{number}"
        values = _object(line, where)
        elapsed.append(_elapsed(values))
        record = _record(line, values, where)
        if isinstance(record, Header) != (number == 1):
            expected = "the header" if number == 1 else "an epoch or a step; there is one header, in line 1"
            raise RunError(f"{where}: found a line of type {_typed(record)!r}, expected {expected}")
        match record:
            case Header():
                header = record
            case Epoch():
                epochs.append(record)
            case Setback():
                setbacks.append(record)
            case GrowthEvent():
                _check_step(record, events, where)
                events.append(record)
    assert header is not None
    return Journal(header, tuple(epochs), tuple(events), tuple(setbacks), torn, _seconds(elapsed))


def _check_step(event: GrowthEvent, before: Sequence[GrowthEvent], where: str) -> None:
    """Applied steps are numbered from 1; of an event that applied nothing, `step` is how many there were."""
    expected = (before[-1].step if before else 0) + (event.decision is not None)
    if event.step != expected:
        raise RunError(f"{where}: the step line has a wrong value: step {event.step}, expected {expected}")


def _whole_lines(data: bytes) -> tuple[list[bytes], bool]:
    """The lines that end; a rest without a line end was cut off while it was written."""
    *lines, rest = data.split(b"\n")
    return lines, bool(rest)


def _elapsed(values: Mapping[str, Any]) -> float:
    """The clock of the process that wrote a line. Clocks have no checksum: there may be anything."""
    clocks = values.get("time")
    found = clocks.get("elapsed") if isinstance(clocks, Mapping) else None
    return float(found) if isinstance(found, float) and 0.0 <= found < inf else 0.0


def _seconds(elapsed: Sequence[float]) -> float:
    """The time of all processes that wrote a journal: each began at 0, so that the clock falls where one went on.

    >>> _seconds([0.0, 2.0, 3.0, 0.5, 1.0])
    4.0
    """
    return sum(now for now, then in zip(elapsed, [*elapsed[1:], 0.0], strict=True) if then < now)


def _record(line: bytes, values: Mapping[str, Any], where: str) -> Record:
    kind = values.get("type")
    if not isinstance(kind, str) or kind not in _READERS:
        raise RunError(f"{where}: unknown line type {kind!r}: expected one of {', '.join(_READERS)}")
    if kind == "header" and isinstance(version := values.get("version"), int) and version > VERSION:
        raise RunError(f"{where}: version {version} of the journal, this release reads up to {VERSION}")
    try:
        record: Record = _READERS[kind].validate_json(line, strict=True)
        return record
    except ValidationError as error:
        lacking = [each for each in error.errors() if each["type"] == "missing"]
        if lacking:
            raise RunError(f"{where}: the {kind} line lacks {lacking[0]['loc'][-1]!r}") from error
        raise RunError(f"{where}: the {kind} line has a wrong value: {first_problem(error)}") from error


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise RunError(f"{where}: damaged line: not JSON ({error})") from error
    if not isinstance(values, dict):
        raise RunError(f"{where}: damaged line: expected a JSON object, found {type(values).__name__}")
    if values.get("checksum") != (expected := checksum(values)):
        raise RunError(
            f"{where}: damaged line: its checksum is {values.get('checksum')!r}, its content gives {expected!r}; "
            "it was changed after it was written"
        )
    return values


Record = Header | Epoch | Setback | GrowthEvent

_READERS: Mapping[str, TypeAdapter[Any]] = {
    "header": TypeAdapter(Header),
    "epoch": TypeAdapter(Epoch),
    "setback": TypeAdapter(Setback),
    "step": TypeAdapter(GrowthEvent),
}


def _typed(record: Record) -> str:
    return {Header: "header", Epoch: "epoch", Setback: "setback", GrowthEvent: "step"}[type(record)]
