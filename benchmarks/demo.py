"""Grow the demo network with several seeds: accuracy, size, steps, and the time beside training without growth."""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import time
from statistics import mean

from gromo_graph import grow, load_spec
from gromo_graph.run import Run
from gromo_graph.spec import dump_spec, parse_spec

SPEC = Path(__file__).resolve().parent.parent / "specs" / "digits_mlp.yaml"


def timed(spec: object, seed: int) -> tuple[Run, float]:
    """A run and its seconds."""
    started = time.perf_counter()
    run = grow(spec, seed=seed)
    return run, time.perf_counter() - started


def main() -> None:
    """Print one line a seed, then the means; `fixed` trains the final architecture from scratch, without growth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    spec = load_spec(SPEC)
    timed(parse_spec(dump_spec(spec).replace("epochs: 60", "epochs: 1")), 0)  # imports and caches
    grown, fixed, ratios = [], [], []
    print("seed  parameters  steps  test accuracy  fixed accuracy  time / fixed")
    for seed in seeds:
        run, seconds = timed(spec, seed)
        final = parse_spec(dump_spec(run.spec), overrides=["growth.stop.steps=1", "growth.stop.parameters=1"])
        scratch, scratch_seconds = timed(final, seed)
        grown.append(run.summary["test"]["accuracy"])
        fixed.append(scratch.summary["test"]["accuracy"])
        ratios.append(seconds / scratch_seconds)
        print(
            f"{seed:4d}  {run.summary['parameters']:10,d}  {run.summary['steps']:5d}  {grown[-1]:13.4f}"
            f"  {fixed[-1]:14.4f}  {ratios[-1]:12.2f}"
        )
    print(f"mean                     {mean(grown):13.4f}  {mean(fixed):14.4f}  {mean(ratios):12.2f}")
    print(f"worst                    {min(grown):13.4f}  {min(fixed):14.4f}")


if __name__ == "__main__":
    main()
