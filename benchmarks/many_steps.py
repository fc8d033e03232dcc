"""Time and memory of the growth steps of one long run: neither may grow with the number of steps before.

usage: python -m benchmarks.many_steps [--steps 300]

The network cannot get larger (`max`), so that what a step costs depends on the steps before it alone: pruning takes
neurons out, widening puts them in again. Prints the median seconds of an epoch with its step and the memory in use in
the first and in the last third of the run, and exits with 1 if either has grown by more than 30 %.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from statistics import median

from gromo_graph import grow, parse_spec
from gromo_graph.run import Progress

SPEC = """
name: many_steps
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 4, activation: relu, grow: {max: 6}}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {actions: [widen, prune], neurons: {per_step: 1}, when: {every: 1, until: 1.0}}
train: {data: iris, epochs: EPOCHS, batch_size: 32}
"""


def main() -> int:
    """Print the table; 1 if a step costs more the later it comes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps
    seconds: list[float] = []
    memory: list[float] = []
    tried = applied = 0
    last = time.perf_counter()

    def watch(progress: Progress) -> None:
        nonlocal last, tried, applied
        now = time.perf_counter()
        seconds.append(now - last)
        memory.append(resident())
        tried += len(progress.events)
        applied += sum(event.decision is not None for event in progress.events)
        last = now

    with tempfile.TemporaryDirectory() as folder:
        grow(
            parse_spec(SPEC.replace("EPOCHS", str(steps))),
            out=Path(folder) / "run",
            device="cpu",
            on_progress=watch,
        )
    third = steps // 3
    early, late = (median(part) for part in (seconds[5:third], seconds[-third:]))
    before, after = memory[third], memory[-1]
    print(f"{tried} growth steps tried and {applied} applied in {steps} epochs; most memory {peak():.0f} MB")
    print(f"median seconds of an epoch with its step: first third {early:.4f}, last third {late:.4f}")
    print(f"memory after the first third {before:.0f} MB, at the end {after:.0f} MB")
    return int(late > 1.3 * early or after > 1.3 * before)


def resident() -> float:
    """Memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    raise SystemExit(main())
