"""Runs of the quality benchmark in a file of JSON lines, the choice of learning rates, and the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

from benchmarks.quality_methods import Measures
from benchmarks.quality_tasks import TASKS


@dataclass(frozen=True)
class Kind:
    """The runs that may be compared.

    Attributes:
        task: its name. images: taken of a large set, or None for all.
        defaults: a digest of the default growth settings, so that runs of other defaults are told apart.
    """

    task: str
    images: int | None
    defaults: str


@dataclass(frozen=True)
class Record:
    """A line of the file.

    Attributes:
        kind: of the run. method: its name, with its settings if it has some.
        seed, rate: of the run. measures: what came of it.
    """

    kind: Kind
    method: str
    seed: int
    rate: float
    measures: Measures


class Results:
    """The runs that are done.

    Args:
        path: of the file; several processes may append to it. None keeps them in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._records: list[Record] = []

    def records(self) -> list[Record]:
        """All of them, also those that another process has written since."""
        if self._path is not None and self._path.exists():
            self._records = [_read(line) for line in self._path.read_text().splitlines() if line]
        return self._records

    def add(self, record: Record) -> None:
        """Note a run."""
        self._records.append(record)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(record)) + "\n")

    def find(self, kind: Kind, method: str, *, seeds: Sequence[int], rate: float | None) -> list[Record]:
        """The runs of a method with these seeds, at one learning rate or at any."""
        return [
            record
            for record in self.records()
            if record.kind == kind
            and record.method == method
            and record.seed in seeds
            and rate in (None, record.rate)
        ]


def _read(line: str) -> Record:
    values = json.loads(line)
    return Record(
        Kind(**values["kind"]),
        values["method"],
        values["seed"],
        values["rate"],
        Measures(**values["measures"]),
    )


def best_rate(
    results: Results, kind: Kind, method: str, *, rates: Sequence[float], seeds: Sequence[int]
) -> float:
    """The rate with the best mean score on validation data; of equal ones that with the lower loss there."""

    def worth(rate: float) -> tuple[float, float]:
        runs = [record.measures for record in results.find(kind, method, seeds=seeds, rate=rate)]
        return mean(run.validation_score for run in runs), -mean(run.validation_loss for run in runs)

    return max(rates, key=worth)


HEADER = (
    "| task | method | score on test data | grown − it | test loss | parameters | of the budget "
    "| multiply-adds, of grown | of them deciding | rate | seeds |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def rows(
    results: Results,
    kind: Kind,
    chosen: dict[str, float],
    *,
    seeds: Sequence[int],
    rates: Sequence[float],
) -> list[str]:
    """The rows of a task, a method each, with paired differences to `grown`.

    Args:
        chosen: the learning rate of each method. seeds: of the table. rates: the grid.
    """
    found = {
        method: {run.seed: run.measures for run in results.find(kind, method, seeds=seeds, rate=rate)}
        for method, rate in chosen.items()
    }
    base = found.get("grown", {})
    name = kind.task if kind.images is None else f"{kind.task}, {kind.images:,} images"
    return [
        _row(name, method, runs, base, edge=_at_edge(chosen[method], rates), rate=chosen[method])
        for method, runs in found.items()
        if runs
    ]


def _row(
    name: str, method: str, runs: dict[int, Measures], base: dict[int, Measures], *, edge: bool, rate: float
) -> str:
    """A row of the table."""
    budget = TASKS[name.split(",")[0] if name not in TASKS else name].parameters
    paired = [seed for seed in runs if seed in base]
    gained = [base[seed].score - runs[seed].score for seed in paired]
    cost = mean(runs[seed].madds / base[seed].madds for seed in paired) if paired else float("nan")
    size = mean(run.parameters for run in runs.values())
    cells = [
        name,
        method,
        _spread([run.score for run in runs.values()]),
        "" if method == "grown" or not gained else _spread(gained, signed=True),
        f"{mean(run.loss for run in runs.values()):.4f}",
        f"{size:,.0f}",
        f"{size / budget:.0%}",
        f"{cost:.2f}",
        f"{mean(run.deciding / run.madds for run in runs.values()):.0%}",
        f"{rate:g}{' (edge of the grid)' if edge else ''}",
        str(len(runs)),
    ]
    return f"| {' | '.join(cells)} |"


def _at_edge(rate: float, rates: Sequence[float]) -> bool:
    return len(rates) > 1 and rate in (min(rates), max(rates))


def _spread(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean ± standard error of the mean."""
    middle = f"{mean(values):{'+' if signed else ''}.2f}".replace("-", "−")
    return f"{middle} ± {stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else middle
