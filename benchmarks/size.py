"""Does growth without a budget end at the size that a task is worth? Grown networks beside a sweep of uniform widths.

    python benchmarks/size.py --results runs/size.jsonl
    python benchmarks/size.py --task "MNIST-1D MLP" --seeds 1 --set "growth.when.until=0.5"

Every network is trained at 1 and at 2 times the epochs of the task (`--times`). Printed are the size and the accuracy
of what was grown (with default settings and each `--set`), how much that is above the sweep at this size, between its
widths, and above the best of the sweep. The size reached should not follow the epochs. Runs are appended to
`--results`, and those in it are not made again.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev

import torch

from benchmarks.quality_tasks import TASKS, Task
from gromo_graph import grow

SEEDS = (11, 12, 13)
RATE = 0.01
FACTORS = (1, 2, 4, 8, 16, 32)
"""Of the width that growth begins with, in the sweep."""
CHOSEN = ("MNIST-1D MLP", "MNIST-1D CNN", "Fashion-MNIST MLP")


@dataclass(frozen=True)
class Row:
    """A run.

    Attributes:
        task, times, seed, images: what was trained, for how many times its epochs.
        method: `uniform N`, or the settings of growth, empty for the defaults.
        parameters: at the end. score, loss: on the test part, the accuracy in percent. seconds: of CPU.
        reason: why growth ended.
    """

    task: str
    times: float
    seed: int
    images: int | None
    method: str
    parameters: int
    score: float
    loss: float
    seconds: float
    reason: str


class Rows:
    """The runs of a file, and new ones."""

    def __init__(self, path: Path | None, images: int | None) -> None:
        self.path, self.images = path, images
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self.rows = [Row(**json.loads(line)) for line in lines]

    def of(self, task: Task, times: float, method: str, seeds: Sequence[int]) -> list[Row]:
        """The runs of a method, made where they are missing."""
        return [self._one(task, times, method, seed) for seed in seeds]

    def _one(self, task: Task, times: float, method: str, seed: int) -> Row:
        asked = (task.name, times, seed, self.images if task.large else None, method)
        for row in self.rows:
            if (row.task, row.times, row.seed, row.images, row.method) == asked:
                return row
        row = _run(task, times, method, seed, self.images)
        self.rows.append(row)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
        return row


def _run(task: Task, times: float, method: str, seed: int, images: int | None) -> Row:
    begun = time.process_time()
    epochs = f"train.epochs={round(times * task.epochs)}"
    if method.startswith("uniform "):
        width, settings = int(method.removeprefix("uniform ")), ["growth.stop={steps: 0}"]
    else:
        width = task.start
        settings = ["growth.stop={}", *(part.strip() for part in method.split(";") if part.strip())]
    spec = task.spec(width, rate=RATE, overrides=(*settings, epochs))
    run = grow(spec, data=task.drawn(seed, images), seed=seed, device="cpu")
    summary = run.summary
    return Row(
        task=task.name,
        times=times,
        seed=seed,
        images=images if task.large else None,
        method=method,
        parameters=summary["parameters"],
        score=100.0 * summary["test"]["accuracy"],
        loss=summary["test"]["loss"],
        seconds=time.process_time() - begun,
        reason=summary["reason"],
    )


def at_size(sweep: Sequence[tuple[float, float]], parameters: float) -> float:
    """The accuracy of a sweep at a size, between its sizes by the logarithm; beyond them that of the last one.

    >>> at_size([(100, 50.0), (10000, 70.0)], 1000)
    60.0
    """
    below = [each for each in sweep if each[0] <= parameters] or [sweep[0]]
    above = [each for each in sweep if each[0] >= parameters] or [sweep[-1]]
    (low, first), (high, last) = below[-1], above[0]
    if high == low:
        return first
    return first + (last - first) * math.log(parameters / low) / math.log(high / low)


def _mean(values: Sequence[float]) -> str:
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{mean(values):.2f}" if math.isnan(error) else f"{mean(values):.2f} ± {error:.2f}"


def table(task: Task, rows: Rows, options: argparse.Namespace) -> list[str]:
    """A line for each width of the sweep and each way to grow, at each number of epochs."""
    seeds, lines, reached = SEEDS[: options.seeds], [], {}
    for times in options.times:
        sweep = []
        for factor in options.factors:
            found = rows.of(task, times, f"uniform {factor * task.start}", seeds)
            sweep.append((found[0].parameters, mean(row.score for row in found)))
            lines.append(
                f"| {task.name} | {times:g} | uniform {factor * task.start} | {found[0].parameters:,} | "
                f"{_mean([row.score for row in found])} | | |"
            )
        best = max(score for _, score in sweep)
        for method in ("", *options.set):
            found = rows.of(task, times, method, seeds)
            size = math.exp(mean(math.log(row.parameters) for row in found))
            reached[method, times] = size
            scores = [row.score for row in found]
            above = mean(scores) - at_size(sweep, size)
            lines.append(
                f"| {task.name} | {times:g} | {method or 'grown'} | {size:,.0f} | {_mean(scores)} | {above:+.2f} | "
                f"{mean(scores) - best:+.2f} |"
            )
            print(f"{found[0].reason}; {mean(row.seconds for row in found):.0f} s", file=sys.stderr)
    for method in ("", *options.set):
        sizes = [reached[method, times] for times in options.times]
        lines.append(
            f"| {task.name} | size ratio | {method or 'grown'} | {max(sizes) / min(sizes):.2f} | | | |"
        )
    return lines


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--task", choices=TASKS, action="append", help=f"by default {', '.join(CHOSEN)}")
    options.add_argument("--times", nargs="+", type=float, default=[1.0, 2.0], help="of the epochs")
    options.add_argument("--factors", nargs="+", type=int, default=FACTORS, help="of the width, in the sweep")
    options.add_argument("--set", action="append", default=[], help="growth with other settings: `a=1; b=2`")
    options.add_argument("--seeds", type=int, help="only so many")
    options.add_argument("--images", type=int, help="samples of Fashion-MNIST")
    options.add_argument("--results", type=Path, help="a file of JSON lines to continue")
    asked = options.parse_args()
    torch.set_num_threads(1)
    rows = Rows(asked.results, asked.images)
    print(
        "| task | epochs | network | parameters | accuracy | above the sweep at this size | − best of the sweep |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in asked.task or CHOSEN:
        print("\n".join(table(TASKS[name], rows, asked)), flush=True)


if __name__ == "__main__":
    main()
