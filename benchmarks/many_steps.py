"""Time and memory of the growth steps of one long run: neither may grow with the number of steps before.

usage: python -m benchmarks.many_steps [--steps 300]

Each epoch ends with a growth step of one neuron (of GradMax, which always finds one). The network gets wider on the
way, which costs time of its own: so the last steps are compared with the first ones of another run, which begins with
the network as it is in the end. Prints the median seconds of an epoch with its step and the memory in use, by the
number of steps before. Exits with 1 if not all steps were applied, or if the last ones took 30 % more time than those
of the other run, or the second half of the run 30 % more memory.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from gromo_graph import Spec, grow, parse_spec
from gromo_graph.run import Progress
from gromo_graph.spec import overridden

SPEC = """
name: many_steps
nodes:
  x: {kind: input, shape: [64]}
  h: {kind: linear, from: x, features: 64, activation: tanh}
  y: {kind: linear, from: h, features: 10}
output: y
growth: {actions: [widen], criterion: gradmax, neurons: {per_step: 1}, when: {every: 1, until: 1.0}}
train: {data: digits, epochs: EPOCHS, batch_size: 128, optimizer: {name: sgd, lr: 1.0e-4}}
"""
_COMPARED = 20  # steps of the other run
_PARTS = 6
_MORE = 1.3


@dataclass
class Watched:
    """Measures of a run.

    Attributes:
        seconds, memory: after each epoch. tried, applied: growth steps.
    """

    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    tried: int = 0
    applied: int = 0
    last: float = field(default_factory=time.perf_counter)

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.memory.append(resident())
        self.tried += len(progress.events)
        self.applied += sum(event.decision is not None for event in progress.events)
        self.last = now


def main() -> int:
    """Print the table; 1 if a step costs more the later it comes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps
    long, wide = watched(parse_spec(SPEC.replace("EPOCHS", str(steps))))
    print(f"{long.tried} growth steps tried and {long.applied} applied in {steps} epochs")
    size = max(1, steps // _PARTS)
    for begin in range(0, steps, size):
        part = slice(begin, begin + size)
        print(
            f"{begin:>5} steps before: {median(long.seconds[part]):.4f} s an epoch with its step, "
            f"{median(long.memory[part]):.0f} MB"
        )
    begun_wide, _ = watched(overridden(wide, [f"train.epochs={_COMPARED}"]))
    late, new = median(long.seconds[-_COMPARED:]), median(begun_wide.seconds[2:])
    print(f"the last {_COMPARED}: {late:.4f} s; a run that begins with that network: {new:.4f} s")
    before, after = long.memory[steps // 2], long.memory[-1]
    return int(long.applied < steps or late > _MORE * new or after > _MORE * before)


def watched(spec: Spec) -> tuple[Watched, Spec]:
    """Grow in a folder; the spec in the end."""
    seen = Watched()
    with tempfile.TemporaryDirectory() as folder:
        run = grow(spec, out=Path(folder) / "run", device="cpu", on_progress=seen)
    return seen, run.network.spec


def resident() -> float:
    """Memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
