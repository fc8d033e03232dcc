"""One process against two, each with one thread: a training epoch and a growth step, on the same global batches.

    python benchmarks/processes.py [--rounds 3]

The rounds take turns, so that what slows the machine slows both. What torchrun needs to begin is not counted: the times
are those that the runs themselves write into their journals.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: it has a statistics.py of its own
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
SPEC = """
name: wide
nodes:
  x: {kind: input, shape: [64]}
  a: {kind: linear, from: x, features: 512, activation: relu}
  b: {kind: linear, from: a, features: 512, activation: relu}
  y: {kind: linear, from: b, features: 10}
output: y
growth: {when: {every: 2, until: 1.0}}
train: {data: digits, epochs: 6, batch_size: 512}
"""


def measured(folder: Path, processes: int) -> tuple[float, float]:
    """Seconds of an epoch without growth, and what growth adds to one."""
    spec, run = folder / "spec.yaml", folder / "run"
    spec.write_text(SPEC, encoding="utf-8")
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    subprocess.run(
        [*launcher, "-m", "gromo_graph", "grow", str(spec), "-o", str(run), "--force", "-q", "--json"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    plain, grown = [], []
    for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["type"] == "epoch":
            (plain if record["epoch"] % 2 else grown).append(record["time"]["seconds"])
    return median(plain[1:]), median(grown) - median(plain[1:])


def modelled(one: float, two: float, count: int) -> float:
    """Seconds of so many processes from those of one and of two, each with a core of its own.

    What is computed is shared; of what is sent, each process of a ring sends 2 (n − 1) / n times the whole.
    """
    sent = max(0.0, two - one / 2)
    return one / count + sent * 2 * (count - 1) / count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for count, times in found.items():
                times.append(measured(Path(folder), count))
    print(f"{'processes':>9}  {'epoch':>8}  {'growth':>8}")
    measured_times = {
        count: tuple(median(each) for each in zip(*times, strict=True)) for count, times in found.items()
    }
    for count, (epoch, growth) in measured_times.items():
        print(f"{count:>9}  {epoch:>7.3f}s  {growth:>7.3f}s")
    for count in (4, 8, 16):
        epoch, growth = (modelled(one, two, count) for one, two in zip(*measured_times.values(), strict=True))
        print(f"{count:>9}  {epoch:>7.3f}s  {growth:>7.3f}s  (modelled)")
    ratios = [(one[0] / two[0], one[1] / two[1]) for one, two in zip(found[1], found[2], strict=True)]
    epoch, growth = (median(each) for each in zip(*ratios, strict=True))
    print(f"two are faster by: epoch {epoch:.2f} times, growth {growth:.2f} times")


if __name__ == "__main__":
    main()
