"""The cost of checkpoints, as shares of the time of the run itself.

    python benchmarks/checkpoint.py [--rounds 3]

The target: checkpoints under 5 % of the demo run. Beside it: weights and spec after each step, the journal (a line on
the disk for each epoch and step), and drawings and the report, which are what a run is for. All are measured in one
run, so that what slows the machine slows all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from gromo_graph import grow, parse_spec
from gromo_graph.run.folder import recorder
from gromo_graph.run.folder.journal_writer import JournalWriter
from gromo_graph.run.folder.recorder import Recorder

LIMIT = 0.05
ROOT = Path(__file__).resolve().parents[1]
PARTS = {
    "checkpoints": ((Recorder, "checkpoint"),),
    "weights, spec": ((Recorder, "save"),),
    "journal": ((JournalWriter, "_append"),),
    "drawings, report": ((recorder, "_drawing"), (Recorder, "report")),
}
SPECS = {
    "the demo": (ROOT / "specs" / "digits_mlp.yaml").read_text(encoding="utf-8"),
    "wide, 5 growth steps": """
name: wide
nodes:
  x: {kind: input, shape: [64]}
  a: {kind: linear, from: x, features: 512, activation: relu}
  b: {kind: linear, from: a, features: 512, activation: relu}
  y: {kind: linear, from: b, features: 10}
output: y
growth: {groups: 1, stop: {steps: 5}}
train: {data: digits, epochs: 20}
""",
}


def timed(owner: Any, name: str, spent: dict[str, float]) -> Callable[[], None]:
    """Count the seconds of a function; what is given back takes that off again."""
    inner = getattr(owner, name)

    def outer(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return inner(*arguments, **options)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

    setattr(owner, name, outer)
    return lambda: setattr(owner, name, inner)


def shares(text: str) -> tuple[float, ...]:
    """Seconds of a run, and the share of each part in the rest of it."""
    spent: dict[str, float] = {}
    undo = [timed(owner, name, spent) for part in PARTS.values() for owner, name in part]
    try:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            grow(parse_spec(text), out=Path(folder) / "run", device="cpu")
            whole = time.perf_counter() - start
    finally:
        for each in undo:
            each()
    rest = whole - sum(spent.values())
    return (whole, *(sum(spent[name] for _, name in part) / rest for part in PARTS.values()))


def main() -> int:
    """Print the table; 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"{'':20s} {'seconds':>8s}  " + "  ".join(f"{part:>16s}" for part in PARTS))
    found = {}
    for name, text in SPECS.items():
        whole, *parts = (median(each) for each in zip(*(shares(text) for _ in range(rounds)), strict=True))
        found[name] = parts[0]
        print(f"{name:20s} {whole:8.2f}  " + "  ".join(f"{part:16.1%}" for part in parts))
    return int(found["the demo"] > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
