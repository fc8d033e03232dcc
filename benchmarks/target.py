"""Is growing to a given network cheaper than training it? A residual CNN on Fashion-MNIST, grown to its full widths.

    python benchmarks/target.py --results runs/target.jsonl
    python benchmarks/target.py --images 10000 --epochs 3 --seeds 2 --set "growth.when={until: 0.75}"

`grown` begins with a part of the widths (`--begin`) and reaches all of them by `grow: {target: n}`, with default
settings, or those of each `--set`. `fixed` is the whole network trained for as many epochs, `reduced` the same for the
multiply-adds that growing took. Every multiply-add is counted, deciding included. `--cpu` runs `grown` and `fixed` once
more, without counting, for their seconds of CPU. Runs are appended to `--results`, and those in it are not made again.
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import mean, stdev

import torch

from benchmarks.quality_data import MissingDataError, fashion
from benchmarks.quality_methods import Arrays, from_scratch, grown
from benchmarks.quality_tasks import TASKS, Task, residual_cnn
from gromo_graph import Spec, compile_network, grow

SEEDS = (11, 12, 13, 14, 15)
# The widest stage is twice as wide; the network has about 110,000 parameters.
WIDTH, BEGIN = 32, 0.5
FIXED = "growth.stop={steps: 0}"


@dataclass(frozen=True)
class Row:
    """A run.

    Attributes:
        key: all that it depends on. score, loss: on the test part. parameters: at the end.
        madds: in all. deciding: of them. cpu: seconds of a run without counting, None if it was not made.
        reason: why growth ended.
    """

    key: str
    score: float
    loss: float
    parameters: int
    madds: float
    deciding: float
    cpu: float | None
    reason: str


@dataclass(frozen=True)
class Setting:
    """A network of this benchmark.

    Attributes:
        epochs: of grown and fixed. images: of the data; None takes all. rate: of all methods.
        begin: share of the widths that growth begins with. cpu: whether seconds of CPU are measured.
    """

    epochs: int
    images: int | None
    rate: float
    begin: float
    cpu: bool

    @property
    def start(self) -> int:
        """The width that growth begins with."""
        return max(1, round(self.begin * WIDTH))

    def task(self, width: int) -> Task:
        """The task with the network of a width to begin with; its budget is the whole network."""
        name = "target: Fashion-MNIST residual CNN"
        task = Task(name, fashion, residual_cnn, width, 1, self.epochs, large=True)
        whole = compile_network(task.spec(WIDTH), seed=0).graph.parameter_count
        task = Task(name, fashion, residual_cnn, width, whole, self.epochs, large=True)
        TASKS[name] = task  # `from_scratch` looks it up
        return task

    def targets(self) -> tuple[str, ...]:
        """Overrides that lead each convolution to its full width, without a budget."""
        whole = self.task(WIDTH).spec(WIDTH).nodes
        layers = [(name, node.features) for name, node in whole.items() if name.endswith("_conv")]  # type: ignore[attr-defined]
        return ("growth.stop={}", *(f"nodes.{name}.grow={{target: {n}}}" for name, n in layers))


def _row(key: str, setting: Setting, seed: int, overrides: Sequence[str], *, width: int) -> Row:
    """A run of `grow`, counted, and once more for its seconds."""
    task = setting.task(width)
    data = task.drawn(seed, setting.images)
    found = grown(task, data, seed=seed, rate=setting.rate, overrides=overrides)
    cpu = None
    if setting.cpu:
        cpu = _seconds(task.spec(width, rate=setting.rate, overrides=tuple(overrides)), data, seed)
    return Row(key, found.score, found.loss, found.parameters, found.madds, found.deciding, cpu, found.reason)


def _seconds(spec: Spec, data: Arrays, seed: int) -> float:
    begun = time.process_time()
    grow(spec, data=data, seed=seed, device="cpu")
    return time.process_time() - begun


def _reduced(key: str, setting: Setting, seed: int, madds: float) -> Row:
    task = setting.task(WIDTH)
    data = task.drawn(seed, setting.images)
    found = from_scratch(task, data, seed=seed, rate=setting.rate, madds=madds)
    return Row(key, found.score, found.loss, found.parameters, found.madds, 0.0, None, "")


class Rows:
    """The runs of a file, and new ones."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self.known = {row.key: row for row in (Row(**json.loads(line)) for line in lines)}

    def row(self, key: str, make: Callable[[str], Row]) -> Row:
        """A run, made if it is missing."""
        if key not in self.known:
            row = self.known[key] = make(key)
            print(f"{key}: {row.score:.2f}, {row.madds:.3g} multiply-adds, {row.reason}", file=sys.stderr)
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
        return self.known[key]


def _mean(values: Sequence[float], form: str = ".2f") -> str:
    if len(values) < 2:
        return f"{values[0]:{form}}"
    return f"{mean(values):{form}} ± {stdev(values) / math.sqrt(len(values)):{form}}"


def table(setting: Setting, settings: Sequence[str], seeds: Sequence[int], rows: Rows) -> list[str]:
    """A line for the fixed network, and two for each way to grow to it."""

    def run(method: str, seed: int, make: Callable[[str], Row]) -> Row:
        return rows.row(json.dumps([method, seed, asdict(setting)]), make)

    fixed = [
        run("fixed", seed, partial(_row, setting=setting, seed=seed, overrides=(FIXED,), width=WIDTH))
        for seed in seeds
    ]
    lines = [_line("fixed", fixed, fixed, fixed)]
    for method in settings:
        chosen = (*setting.targets(), *(each.strip() for each in method.split(";") if each.strip()))
        ours = [
            run(
                f"grown {method}",
                seed,
                partial(_row, setting=setting, seed=seed, overrides=chosen, width=setting.start),
            )
            for seed in seeds
        ]
        less = [
            run(f"reduced {method}", seed, partial(_reduced, setting=setting, seed=seed, madds=row.madds))
            for seed, row in zip(seeds, ours, strict=True)
        ]
        lines += [
            _line(f"grown {method}".strip(), ours, fixed, less),
            _line("fixed, for as much", less, fixed, less),
        ]
    return lines


def _line(name: str, own: Sequence[Row], fixed: Sequence[Row], less: Sequence[Row]) -> str:
    def apart(others: Sequence[Row]) -> str:
        return _mean([one.score - other.score for one, other in zip(own, others, strict=True)], "+.2f")

    madds = _mean([one.madds / other.madds for one, other in zip(own, fixed, strict=True)])
    times = [one.cpu / other.cpu for one, other in zip(own, fixed, strict=True) if one.cpu and other.cpu]
    deciding = mean(row.deciding / row.madds for row in own)
    return (
        f"| {name} | {own[0].parameters:,} | {_mean([row.score for row in own])} | {apart(fixed)} | {apart(less)} | "
        f"{_mean([row.loss for row in own], '.4f')} | {madds} | {deciding:.0%} | {_mean(times) if times else ''} |"
    )


def main() -> int:
    """Print the table; 1 if the data are missing."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--images", type=int, help="of the 70,000")
    options.add_argument("--seeds", type=int, help="only so many")
    options.add_argument("--rate", type=float, default=0.01)
    options.add_argument("--begin", type=float, default=BEGIN, help="share of the widths to begin with")
    options.add_argument("--set", action="append", default=[], help="growth with other settings: `a=1; b=2`")
    options.add_argument("--cpu", action="store_true", help="measure seconds of CPU")
    options.add_argument("--results", type=Path, help="a file of JSON lines to continue")
    asked = options.parse_args()
    torch.set_num_threads(1)
    setting = Setting(asked.epochs, asked.images, asked.rate, asked.begin, asked.cpu)
    print(
        "| network | parameters | accuracy | − fixed | − fixed for as much | test loss | multiply-adds, of fixed | "
        "of them deciding | CPU, of fixed |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    try:
        lines = table(setting, ["", *asked.set], SEEDS[: asked.seeds], Rows(asked.results))
    except MissingDataError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
