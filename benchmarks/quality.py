"""Does growth pay? Growth by default beside uniform widths from scratch, random neurons, and pruning.

    python benchmarks/quality.py --results runs/quality.jsonl
    python benchmarks/quality.py --task "digits 1,000" --search --set "growth.ridge=0.01; growth.scale=alpha_std"

Every multiply-add is counted: training, statistics, slopes, line search, and the looks at held-out data. The other
methods get as many as `grown` took with the same seed. The learning rate of each method is the one of `RATES` that does
best on validation data with `RATE_SEEDS`; the table then takes `FINAL_SEEDS`, or `SEARCH_SEEDS` with `--search`.
Runs are appended to `--results`, and those that are in it are not made again.

Methods: `grown` (default settings), `scratch` (the uniform widths that fill the budget), `random` (as grown, with
neurons drawn at random), `prune` (begins three times as large as the budget), and one for each `--set`.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import torch

from benchmarks.quality_data import MissingDataError
from benchmarks.quality_methods import Measures, from_scratch, grown, pruned
from benchmarks.quality_table import HEADER, Kind, Record, Results, best_rate, rows
from benchmarks.quality_tasks import CHOOSE, TASKS, Task
from gromo_graph import GromoGraphError

RATES = (0.001, 0.003, 0.01, 0.03, 0.06)
RATE_SEEDS = (101, 102)
FINAL_SEEDS = (11, 12, 13, 14, 15)
SEARCH_SEEDS = (201, 202, 203)

GROWN = {"grown": "", "random": "growth.criterion=random"}
FIXED = {"scratch": from_scratch, "prune": pruned}


@dataclass(frozen=True)
class Comparison:
    """The runs that are asked for.

    Attributes:
        task: that it is about. results: where runs are kept. images: taken of a large set.
        rates: the grid. seeds: of the table.
        settings: of the methods that grow, by name.
    """

    task: Task
    results: Results
    images: int | None
    rates: Sequence[float]
    seeds: Sequence[int]
    settings: dict[str, str]

    @property
    def kind(self) -> Kind:
        """The runs that may be compared with each other."""
        spec = self.task.spec(self.task.start)
        text = json.dumps([spec.growth.model_dump(mode="json"), spec.train.model_dump(mode="json")])
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return Kind(self.task.name, self.images if self.task.large else None, digest)

    def rate_of(self, method: str) -> float:
        """The learning rate of a method, after the runs that choose it."""
        if len(self.rates) == 1:
            return self.rates[0]
        for rate in self.rates:
            for seed in RATE_SEEDS:
                self.run(method, seed, rate)
        return best_rate(self.results, self.kind, method, rates=self.rates, seeds=RATE_SEEDS)

    def run(self, method: str, seed: int, rate: float) -> None:
        """A run, if it is not done yet."""
        if self.results.find(self.kind, method, seeds=[seed], rate=rate):
            return
        begun = time.perf_counter()
        measures = self._measures(method, seed, rate)
        self.results.add(Record(self.kind, method, seed, rate, measures))
        print(
            f"{self.task.name}, {method}, seed {seed}, rate {rate:g}: {measures.score:.2f} with "
            f"{measures.parameters:,} parameters, {time.perf_counter() - begun:.0f} s",
            file=sys.stderr,
        )

    def _measures(self, method: str, seed: int, rate: float) -> Measures:
        data = self.task.drawn(seed, self.images)
        if method in FIXED:
            return FIXED[method](self.task, data, seed=seed, rate=rate, madds=self._madds(seed, rate))
        return grown(self.task, data, seed=seed, rate=rate, overrides=split(self.settings[method]))

    def _madds(self, seed: int, rate: float) -> float:
        """The cost of growing with this seed, at whatever rates it was run."""
        done = self.results.find(self.kind, "grown", seeds=[seed], rate=None)
        if not done:
            self.run("grown", seed, rate)
            done = self.results.find(self.kind, "grown", seeds=[seed], rate=None)
        return mean(record.measures.madds for record in done)

    def table(self, methods: Sequence[str]) -> list[str]:
        """All runs, and the rows that come of them; growing always and first, since it sets the multiply-adds."""
        chosen: dict[str, float] = {}
        for method in dict.fromkeys(["grown", *methods]):
            chosen[method] = self.rate_of(method)
            for seed in self.seeds:
                self.run(method, seed, chosen[method])
        return rows(self.results, self.kind, chosen, seeds=self.seeds, rates=self.rates)


def split(settings: str) -> list[str]:
    """Overrides out of one text."""
    return [part.strip() for part in settings.split(";") if part.strip()]


def check_counting(task: Task, images: int | None) -> None:
    """Print multiply-adds worked out from sizes beside those counted operation by operation."""
    data = task.drawn(RATE_SEEDS[0], images)
    quick, exact = (
        grown(task, data, seed=0, rate=0.003, overrides=["train.epochs=8"], exact=exact)
        for exact in (False, True)
    )
    print(
        f"{task.name}: {quick.madds:.4g} by sizes, {exact.madds:.4g} by operations "
        f"({quick.madds / exact.madds - 1.0:+.2%}), {quick.cpu:.1f} and {exact.cpu:.1f} seconds of CPU"
    )


def main() -> int:
    """Print the table; 1 if data are missing."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--task", choices=TASKS, action="append", help="by default all but `confirm: ...`")
    options.add_argument("--confirm", action="store_true", help="the tasks that nobody chooses on")
    options.add_argument("--methods", nargs="+", choices=[*GROWN, *FIXED], default=[*GROWN, *FIXED])
    options.add_argument("--set", action="append", default=[], help="growth with other settings: `a=1; b=2`")
    options.add_argument("--rates", nargs="+", type=float, default=RATES, help="one: nothing is chosen")
    options.add_argument("--search", action="store_true", help="the seeds for searching")
    options.add_argument("--seeds", type=int, help="only so many of them")
    options.add_argument("--images", type=int, help="samples of Fashion-MNIST")
    options.add_argument("--results", type=Path, help="a file of JSON lines to continue")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--exact", action="store_true", help="only check how multiply-adds are counted")
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    confirming = [name for name in TASKS if name.startswith("confirm")]
    names = asked.task or (confirming if asked.confirm else [task.name for task in CHOOSE])
    results = Results(asked.results)
    seeds = (SEARCH_SEEDS if asked.search else FINAL_SEEDS)[: asked.seeds]
    missed = 0
    if not asked.exact:
        print(HEADER, flush=True)
    for name in names:
        comparison = Comparison(
            TASKS[name], results, asked.images, asked.rates, seeds, GROWN | {each: each for each in asked.set}
        )
        try:
            if asked.exact:
                check_counting(TASKS[name], asked.images)
            else:
                print("\n".join(comparison.table([*asked.methods, *asked.set])), flush=True)
        except (MissingDataError, GromoGraphError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            missed = 1
    return missed


if __name__ == "__main__":
    sys.exit(main())
