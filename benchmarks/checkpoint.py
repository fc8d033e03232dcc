"""What it costs that a run survives: checkpoints, weights and journal, as a share of the time of the run itself.

    python benchmarks/checkpoint.py [--rounds 3]

The target: under 5 %. Both are measured in one run, so that what slows the machine slows both. Drawings and report are
what a run is for; their share is printed beside it.
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
from gromo_graph.run import record
from gromo_graph.run.journal import JournalWriter
from gromo_graph.run.record import Recorder

LIMIT = 0.05
SURVIVING = ((Recorder, "checkpoint"), (Recorder, "save"), (JournalWriter, "_append"))
SHOWING = ((record, "_drawing"), (Recorder, "report"))
SPECS = {
    "digits, 8 growth steps": """
name: digits
nodes:
  x: {kind: input, shape: [64]}
  a: {kind: linear, from: x, features: 8, activation: relu}
  b: {kind: linear, from: a, features: 8, activation: relu}
  y: {kind: linear, from: b, features: 10}
output: y
growth: {groups: 1, stop: {steps: 8}}
train: {data: digits, epochs: 60}
""",
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


def shares(text: str) -> tuple[float, float, float]:
    """Seconds of a run, and the shares of surviving and showing in the rest of it."""
    spent: dict[str, float] = {}
    undo = [timed(owner, name, spent) for owner, name in (*SURVIVING, *SHOWING)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            grow(parse_spec(text), out=Path(folder) / "run", device="cpu")
            whole = time.perf_counter() - start
    finally:
        for each in undo:
            each()
    surviving, showing = (sum(spent[name] for _, name in names) for names in (SURVIVING, SHOWING))
    rest = whole - surviving - showing
    return whole, surviving / rest, showing / rest


def main() -> int:
    """Print the table; 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    missed = False
    for name, text in SPECS.items():
        whole, surviving, showing = (
            median(each) for each in zip(*(shares(text) for _ in range(rounds)), strict=True)
        )
        print(
            f"{name:24s} {whole:6.2f} s  {surviving:6.1%} checkpoints and journal  {showing:6.1%} drawings, report"
        )
        missed |= surviving > LIMIT
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
