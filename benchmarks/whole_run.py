"""A whole `grow` beside plain training of the network that it ends with, for as many epochs: CPU time, one thread.

    python benchmarks/whole_run.py [--only cnn] [--images 5000] [--epochs 10] [--pairs 3]

Both runs take the same loop of `grow`, without a folder, on the same images and at the same rate; the second one begins
with the final widths and does not grow. The times are medians of several pairs in turn: one run of the same training
takes up to a third longer than another. Targets: at most 1.4 times for the CNN and 1.3 for the MLP.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np
import torch

from benchmarks.interleaved import verdict, warn_if_busy
from gromo_graph import Run, grow, parse_spec
from gromo_graph.spec import dump_spec
from gromo_graph.spec.settings import Growth, Stop

CNN = """
name: cnn
nodes:
  x: {kind: input, shape: [1, 28, 28]}
  c1: {kind: conv2d, from: x, features: 4, kernel: 3, padding: 1, activation: relu}
  p1: {kind: max_pool2d, from: c1, kernel: 2}
  c2: {kind: conv2d, from: p1, features: 8, kernel: 3, padding: 1, activation: relu}
  p2: {kind: max_pool2d, from: c2, kernel: 2}
  c3: {kind: conv2d, from: p2, features: 16, kernel: 3, padding: 1, activation: relu}
  mean: {kind: adaptive_avg_pool2d, from: c3, size: 1}
  flat: {kind: flatten, from: mean}
  y: {kind: linear, from: flat, features: 10}
output: y
growth: {stop: {parameters: 24000}}
"""
MLP = """
name: mlp
nodes:
  x: {kind: input, shape: [784]}
  h1: {kind: linear, from: x, features: 16, activation: relu}
  h2: {kind: linear, from: h1, features: 16, activation: relu}
  y: {kind: linear, from: h2, features: 10}
output: y
growth: {stop: {parameters: 120000}}
"""
CASES = {"cnn": (CNN, (1, 28, 28), 1.4), "mlp": (MLP, (784,), 1.3)}


def timed(work: Callable[[], Run]) -> tuple[Run, float]:
    """A run and its seconds of CPU.

    The collector leaves out all that is there already: one look at the modules of torch takes a third of a second, in
    one of the two runs or the other.
    """
    gc.collect()
    gc.freeze()
    begin = time.process_time()
    run = work()
    return run, time.process_time() - begin


def measured(name: str, images: int, epochs: int, pairs: int) -> str:
    """The line of a case."""
    text, shape, target = CASES[name]
    chance = np.random.default_rng(0)
    # A tenth is held out, and a tenth is for the test.
    x = chance.standard_normal((images * 10 // 8, *shape)).astype(np.float32)
    y = (x.reshape(len(x), -1) @ chance.standard_normal((784, 10))).argmax(axis=1)
    train = f"train: {{batch_size: 64, epochs: {epochs}, optimizer: {{name: adamw, lr: 0.003}}}}\n"
    times = []
    for _ in range(pairs):
        grown, growing = timed(lambda: grow(parse_spec(text + train), data=(x, y), seed=0, device="cpu"))
        final = dump_spec(replace(grown.network.spec, growth=Growth(stop=Stop(steps=0))))
        plain, training = timed(partial(grow, parse_spec(final), data=(x, y), seed=0, device="cpu"))
        times.append((growing, training))
    growing, training = map(median, zip(*times, strict=True))
    parameters = plain.network.graph.parameter_count
    plans, search = (
        sum((event.time or {}).get(part, 0.0) for event in grown.events) for part in ("plan", "search")
    )
    return (
        f"{growing / training:5.2f} times   {verdict(growing / training, target)}   {growing:.1f} s and "
        f"{training:.1f} s; {len(grown.events)} events, of wall time plans {plans:.1f} s and step sizes "
        f"{search:.1f} s; {parameters:,} parameters"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each network; 1 if a target is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", choices=CASES, nargs="+", default=list(CASES))
    options.add_argument("--images", type=int, default=5000, help="training images")
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--pairs", type=int, default=3, help="of runs, one after the other")
    chosen = options.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    warn_if_busy()
    for name in chosen.only:
        measured(name, 320, 1, 1)  # what is imported at its first use is no part of either run
    lines = [
        f"{name:5s} {measured(name, chosen.images, chosen.epochs, chosen.pairs)}" for name in chosen.only
    ]
    print("\n".join(lines))
    return int(any("MISSED" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
