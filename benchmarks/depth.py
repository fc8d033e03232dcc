"""Networks that deepen by themselves beside networks that grow in widths alone, within one budget of parameters.

A small ResNet on Fashion-MNIST, at half the resolution, and a small transformer on the text that comes with Python.
Both ways have the same spec, budget, ticks, epochs and learning rate; one may take whole blocks too. Seeds are paired:
first weights, split and order of the data are the same. Target: at least as good.

python benchmarks/depth.py [--seeds 3] [--tasks resnet transformer]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.quality_data import fashion
from gromo_graph import Run, grow, parse_spec
from gromo_graph.graph.repeating import Stage, stages

RESNET = """
name: resnet
defaults: {conv2d: {kernel: 3, padding: 1, bias: false}}
blocks:
  basic:
    params: {width: 4}
    inputs: [x]
    nodes:
      norm: {kind: batch_norm, from: x, activation: relu}
      one:  {kind: conv2d, from: norm, features: "${width}", activation: relu}
      two:  {kind: conv2d, from: one, features: "${width}"}
      add:  {kind: merge, from: [x, two]}
    output: add
nodes:
  x:     {kind: input, shape: [1, 14, 14]}
  stem:  {kind: conv2d, from: x, features: 4}
  fine:  {use: basic, from: stem, with: {width: 4}, repeat: 1}
  down:  {kind: conv2d, from: fine, features: 8, stride: 2}
  coarse: {use: basic, from: down, with: {width: 8}, repeat: 1}
  last:  {kind: batch_norm, from: coarse, activation: relu}
  mean:  {kind: adaptive_avg_pool2d, from: last, size: 1}
  flat:  {kind: flatten, from: mean}
  y:     {kind: linear, from: flat, features: 10}
output: y
train: {batch_size: 64, optimizer: {name: adamw, lr: 0.01, weight_decay: 0.01}}
"""
TRANSFORMER = """
name: transformer
blocks:
  layer:
    inputs: [x]
    nodes:
      norm1: {kind: layer_norm, from: x, over: features}
      query: {kind: conv1d, from: norm1, features: 8, kernel: 1}
      key:   {kind: conv1d, from: norm1, features: 8, kernel: 1}
      value: {kind: conv1d, from: norm1, features: 8, kernel: 1}
      mix:   {kind: attention, from: [query, key, value], heads: 2, causal: true}
      out:   {kind: conv1d, from: mix, features: 16, kernel: 1}
      add1:  {kind: merge, from: [x, out]}
      norm2: {kind: layer_norm, from: add1, over: features}
      up:    {kind: conv1d, from: norm2, features: 16, kernel: 1, activation: gelu}
      down:  {kind: conv1d, from: up, features: 16, kernel: 1}
      add2:  {kind: merge, from: [add1, down]}
    output: add2
nodes:
  text:   {kind: input, shape: [32]}
  bytes:  {kind: embedding, from: text, vocabulary: 128, features: 16}
  places: {kind: positions, from: bytes}
  body:   {use: layer, from: places, repeat: 1}
  last:   {kind: layer_norm, from: body, over: features}
  y:      {kind: conv1d, from: last, features: 128, kernel: 1}
output: y
data: {text: python_docs}
train: {batch_size: 64, optimizer: {name: adamw, lr: 0.01, weight_decay: 0.01}}
"""

_POLICY = "criterion: natural, select: slope"  # scores in units of the loss: those of widths and blocks can be compared


@dataclass(frozen=True)
class Task:
    """A network, its data and its budget.

    Attributes:
        text: the spec. parameters: the budget. epochs: of the training.
        samples: of Fashion-MNIST; None for the text of the spec.
    """

    text: str
    parameters: int
    epochs: int
    samples: int | None = None

    def run(self, actions: str, *, seed: int) -> Run:
        """One run, grown by some actions."""
        growth = f"{{actions: {actions}, {_POLICY}, stop: {{parameters: {self.parameters}}}}}"
        spec = parse_spec(self.text, overrides={"growth": growth, "train.epochs": str(self.epochs)})
        data: Any = None
        if self.samples is not None:
            x, y = (each[: self.samples] for each in fashion())
            data = x.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5)), y
        return grow(spec, data=data, seed=seed, device="cpu")


TASKS: Mapping[str, Task] = {
    "resnet": Task(RESNET, 12_000, 8, 4_000),
    "transformer": Task(TRANSFORMER, 16_000, 5),
}
WAYS: Mapping[str, str] = {"widths alone": "[widen]", "widths and blocks": "[widen, deepen]"}


def blocks(run: Run) -> str:
    """The number of blocks of each stage."""
    graph = run.network.graph
    found = [
        f"{stage.name} ×{next(iter(stage.names)).removeprefix(f'{stage.name}.').partition('.')[0]}"
        for stage in stages(graph)
        if isinstance(stage, Stage)
    ]
    return ", ".join(found)


def main() -> None:
    """A table for each task."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    given = parser.parse_args()
    for name in given.tasks:
        losses: dict[str, list[float]] = {way: [] for way in WAYS}
        for seed in range(given.seeds):
            for way, actions in WAYS.items():
                began = time.perf_counter()
                run = TASKS[name].run(actions, seed=seed)
                test = run.summary["test"]
                losses[way].append(test["loss"])
                print(
                    f"{name} seed {seed} {way}: test loss {test['loss']:.4f} accuracy {test['accuracy']:.4f}, "
                    f"{run.network.graph.parameter_count:,} parameters, {run.network.graph.multiply_adds:,} "
                    f"multiply-adds, {blocks(run)}, {time.perf_counter() - began:.0f} s",
                    flush=True,
                )
        print(f"\n| {name} | test loss |\n|---|---|")
        for way, found in losses.items():
            print(f"| {way} | {_with_error(found)} |")
        apart = [one - other for one, other in zip(*losses.values(), strict=True)]
        print(f"| widths alone − widths and blocks, paired | {_with_error(apart)} |\n", flush=True)


def _with_error(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.mean(values):+.4f} ± {error:.4f}"


if __name__ == "__main__":
    main()
