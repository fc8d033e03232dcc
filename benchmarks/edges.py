"""New edges that read the features that pay most, beside edges that read all, within one budget of multiply-adds.

Perceptrons on the digits and on Fashion-MNIST and a small CNN on Fashion-MNIST, both at half the resolution. All ways
have the same spec, budget, ticks, epochs, learning rate and order (`select: slope_per_madd`). Seeds are paired: first
weights, split and order of the data are the same. Target: at least as good as whole edges.

python benchmarks/edges.py [--seeds 5] [--tasks digits perceptron cnn]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.quality_data import digits, fashion
from gromo_graph import Run, grow, parse_spec

PERCEPTRON = """
name: perceptron
nodes:
  x:     {kind: input, shape: [INPUTS]}
  one:   {kind: linear, from: x, features: 8, activation: relu}
  two:   {kind: linear, from: one, features: 8, activation: relu}
  three: {kind: linear, from: two, features: 8, activation: relu}
  y:     {kind: linear, from: three, features: 10}
output: y
train: {batch_size: 64, optimizer: {name: adamw, lr: 0.005, weight_decay: 0.01}}
"""
CNN = """
name: cnn
defaults: {conv2d: {kernel: 3, padding: 1, activation: relu}}
nodes:
  x:     {kind: input, shape: [1, 14, 14]}
  one:   {kind: conv2d, from: x, features: 8}
  two:   {kind: conv2d, from: one, features: 8, stride: 2}
  three: {kind: conv2d, from: two, features: 8}
  four:  {kind: conv2d, from: three, features: 8}
  mean:  {kind: adaptive_avg_pool2d, from: four, size: 2}
  flat:  {kind: flatten, from: mean}
  y:     {kind: linear, from: flat, features: 10}
output: y
train: {batch_size: 64, optimizer: {name: adamw, lr: 0.005, weight_decay: 0.01}}
"""


@dataclass(frozen=True)
class Task:
    """A network, its data and its budget.

    Attributes:
        text: the spec. madds: the budget. epochs: of the training. samples: images that are used.
        features: that an edge reads if it does not read all.
    """

    text: str
    madds: int
    epochs: int
    samples: int
    features: int

    def run(self, growth: str, *, seed: int) -> Run:
        """One run, grown by some actions."""
        policy = f"{{{growth}, select: slope_per_madd, stop: {{madds: {self.madds}}}}}"
        spec = parse_spec(self.text, overrides={"growth": policy, "train.epochs": str(self.epochs)})
        return grow(spec, data=self._data(spec.nodes["x"].output_shape([])), seed=seed, device="cpu")

    def _data(self, shape: tuple[int, ...]) -> Any:
        if shape == (64,):
            x, y = digits()
        else:
            x, y = (each[: self.samples] for each in fashion())
            x = x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
        return x.reshape(len(x), *shape), y


TASKS: Mapping[str, Task] = {
    "digits": Task(PERCEPTRON.replace("INPUTS", "64"), 3_000, 20, 1_797, 8),
    "perceptron": Task(PERCEPTRON.replace("INPUTS", "196"), 6_000, 10, 4_000, 16),
    "cnn": Task(CNN, 400_000, 5, 3_000, 2),
}
WAYS: Mapping[str, str] = {
    "widths alone": "actions: [widen]",
    "whole edges": "actions: [widen, new_edge]",
    "edges of some features": "actions: [widen, new_edge], edges: {features: FEATURES}",
}


def edges(run: Run) -> int:
    """The number of edges that were added."""
    decisions = [event.decision for event in run.events]
    return sum(each is not None and each.kind == "new_edge" for each in decisions)


def main() -> None:
    """A table for each task."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    given = parser.parse_args()
    for name in given.tasks:
        task = TASKS[name]
        losses: dict[str, list[float]] = {way: [] for way in WAYS}
        for seed in range(given.seeds):
            for way, growth in WAYS.items():
                run = task.run(growth.replace("FEATURES", str(task.features)), seed=seed)
                test, graph = run.summary["test"], run.network.graph
                losses[way].append(test["loss"])
                print(
                    f"{name} seed {seed} {way}: test loss {test['loss']:.4f} accuracy {test['accuracy']:.4f}, "
                    f"{graph.multiply_adds:,} multiply-adds, {edges(run)} edges",
                    flush=True,
                )
        print(f"\n| {name} | test loss | it − edges of some features, paired |\n|---|---|---|")
        for way, found in losses.items():
            apart = [a - b for a, b in zip(found, losses["edges of some features"], strict=True)]
            print(f"| {way} | {_with_error(found)} | {_with_error(apart)} |")
        print(flush=True)


def _with_error(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} ± {error:.4f}"


if __name__ == "__main__":
    main()
