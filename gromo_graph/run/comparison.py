"""Runs side by side: their facts, and where their specs differ, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gromo_graph.errors import RunError
from gromo_graph.records import Journal
from gromo_graph.render.numbers import count, measure_text
from gromo_graph.run.folder.overview import Overview, overview_of
from gromo_graph.run.folder.run_folder import open_folder
from gromo_graph.spec.differences import Key, differing

Row = tuple[str, tuple[str, ...]]
"""A label, and a text for each run."""


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Attributes:
        runs: the facts of each. journals: of each.
        labels: a short name for each, which no other has.
        differences: the keys at which not all specs are the same, as they were before any growth, with the value that
            each of them has; None if it has none.
    """

    runs: tuple[Overview, ...]
    journals: tuple[Journal, ...]
    labels: tuple[str, ...]
    differences: dict[Key, tuple[Any, ...]]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what cannot be compared."""
        found = []
        if len({str(journal.header.data.get("fingerprint")) for journal in self.journals}) > 1:
            found.append("The runs have different data: their losses and other measures cannot be compared.")
        if ("train", "loss") in self.differences:
            found.append("The runs have different losses (train.loss): their values cannot be compared.")
        unfinished = [label for label, run in zip(self.labels, self.runs, strict=True) if not run.reason]
        if unfinished:
            found.append(
                f"Not finished, so that the measures are those after the last epoch: {', '.join(unfinished)}."
            )
        return tuple(found)

    @property
    def facts(self) -> tuple[Row, ...]:
        """The facts of the runs, one a row."""
        runs = self.runs
        rows = [
            ("name", tuple(run.name for run in runs)),
            ("data", tuple("–" if run.data is None else run.data for run in runs)),
            ("seed", tuple(str(run.seed) for run in runs)),
            ("state", tuple(run.state for run in runs)),
            ("parameters", tuple(_count(run.parameters) for run in runs)),
            ("multiply-adds", tuple(_count(run.madds) for run in runs)),
            ("growth steps", tuple(count(run.steps) for run in runs)),
            ("epochs", tuple(count(run.epochs) for run in runs)),
        ]
        rows += _measure_rows("held-out", [run.validation for run in runs])
        rows += _measure_rows("test", [run.test for run in runs])
        rows.append(("seconds", tuple(f"{run.seconds:,.1f}" for run in runs)))
        rows.append(("growth ended because", tuple(run.reason or "–" for run in runs)))
        return tuple(rows)


def _measure_rows(part: str, measured: Sequence[Mapping[str, float]]) -> Iterator[Row]:
    """A row for each measure that some run has."""
    for name in dict.fromkeys(name for values in measured for name in values):
        texts = tuple(measure_text(name, values.get(name)) for values in measured)
        yield f"{part} {name.replace('_', ' ')}", texts


def compared(paths: Sequence[Path]) -> Comparison:
    """Read runs that are to be compared.

    Raises:
        RunError: there is no such run, or a file of one is missing or damaged.
    """
    runs, journals, specs = [], [], []
    for path in paths:
        folder = open_folder(path)
        journal = folder.journal()
        runs.append(overview_of(folder, journal))
        journals.append(journal)
        specs.append(folder.parsed(journal.header.spec))
    return Comparison(tuple(runs), tuple(journals), labels_of(paths), differing(specs))


def check_several(paths: Sequence[Path]) -> None:
    """Refuse what is no comparison.

    Raises:
        RunError: it is one run alone, or a run is named twice.
    """
    if len(paths) < 2:
        raise RunError("one run alone is no comparison: name two runs or more, or look at one with `inspect`")
    seen: dict[Path, Path] = {}
    for path in paths:
        if (first := seen.setdefault(path.resolve(), path)) is not path:
            raise RunError(f"{path}: this run is named twice (as {first}): leave one of them out")


def labels_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """The names of the folders, or the whole paths if two have one name.

    >>> labels_of([Path("runs/a"), Path("runs/b")]), labels_of([Path("a/run"), Path("b/run")])
    (('a', 'b'), ('a/run', 'b/run'))
    """
    names = tuple(path.resolve().name for path in paths)
    return names if len(set(names)) == len(names) else tuple(map(str, paths))


def _count(value: int | None) -> str:
    return "–" if value is None else count(value)
