"""What the policy is worth: growth by default, by other rules, at random, and training the final network from scratch.

    python benchmarks/quality.py [--seeds 8] [--task "digits 1000 relu"] [--methods grown scratch]

Every multiply-add is counted: training, statistics, slopes, line search and the evaluations between. `scratch` trains
the architecture that `grown` ended with, from new weights, for as many epochs as cost the same in all. A seed is one
split of the data and one set of first weights, the same for all methods.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

import numpy as np
import sklearn.datasets
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gromo_graph import Spec, dump_spec, grow, parse_spec
from gromo_graph.run import Run

Arrays = tuple[Any, Any]


def _spirals(seed: int) -> Arrays:
    chance = np.random.default_rng(seed)
    turns = np.sqrt(chance.uniform(0.04, 1.0, 600)) * 3.0 * np.pi
    label = np.arange(600) % 2
    angle = turns + np.pi * label
    points = np.stack((turns * np.cos(angle), turns * np.sin(angle)), axis=1) / 10.0
    return points + chance.normal(0.0, 0.02, points.shape), label


def _bundled(load: Callable[..., Any]) -> Callable[[int], Arrays]:
    return lambda seed: load(return_X_y=True)


DATA: dict[str, Callable[[int], Arrays]] = {
    "digits": _bundled(sklearn.datasets.load_digits),
    "cancer": _bundled(sklearn.datasets.load_breast_cancer),
    "moons": lambda seed: sklearn.datasets.make_moons(600, noise=0.2, random_state=seed),
    "spirals": _spirals,
}


@dataclass(frozen=True)
class Task:
    """A network of hidden layers, narrow at first as a rule, what it learns, and how large it may get."""

    data: str
    inputs: int
    classes: int
    parameters: int
    activation: str
    epochs: int
    layers: int = 3
    width: int = 2
    policy: str = ""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        deep = "" if self.layers <= 3 else f" {self.layers} layers"
        return f"{self.data} {'pruned' if self.policy else self.parameters} {self.activation}{deep}"

    @property
    def text(self) -> str:
        """The spec."""
        names = ["x", *(f"h{place + 1}" for place in range(self.layers))]
        hidden = [
            f"  {name}: {{kind: linear, from: {source}, features: {self.width}, activation: {self.activation}}}"
            for source, name in pairwise(names)
        ]
        return "\n".join(
            [
                "name: quality",
                "nodes:",
                f"  x: {{kind: input, shape: [{self.inputs}]}}",
                *hidden,
                f"  y: {{kind: linear, from: {names[-1]}, features: {self.classes}}}",
                "output: y",
                f"growth: {{stop: {{parameters: {self.parameters}}}, {self.policy}}}",
                f"train: {{optimizer: {{name: adamw, lr: 0.01, weight_decay: 0.4}}, epochs: {self.epochs}}}",
            ]
        )


SHRINKING = "actions: [prune], when: {until: 1.0, worth: 0.5}"
TASKS = {
    task.name: task
    for activation in ("relu", "gelu")
    for task in (
        Task("digits", 64, 10, 1000, activation, 60),
        Task("digits", 64, 10, 5000, activation, 60),
        Task("digits", 64, 10, 3000, activation, 60, layers=8),
        Task("digits", 64, 10, 9999, activation, 60, layers=2, width=40, policy=SHRINKING),
        Task("cancer", 30, 2, 500, activation, 60),
        Task("moons", 2, 2, 300, activation, 100),
        Task("spirals", 2, 2, 300, activation, 300),
    )
}
IMAGES = "digits as images, residual"
METHODS: dict[str, tuple[str, ...]] = {
    "grown": (),
    "slope": ("growth.select=slope",),
    "gradmax": ("growth.criterion=gradmax",),
    "random": ("growth.criterion=random",),
    "one group": ("growth.groups=1",),
    "paths": ("growth.actions=[widen,new_edge,new_node]",),
    "pruned": ("growth.actions=[widen,prune]", "growth.when.until=0.5"),
}


@dataclass(frozen=True)
class Result:
    """One run: on the test part, and what it cost."""

    accuracy: float
    loss: float
    madds: float
    run: Run


def _cubic(factor: float) -> Callable[..., int]:
    return lambda matrix, *_, **__: int(factor * matrix.shape[-1] ** 3)


# Floating point operations of what torch's table does not know: sums in place, and solvers by their leading term.
_FURTHER: dict[Any, Callable[..., int]] = {
    torch.ops.aten.addmm_: lambda _, a, b, **__: 2 * a.shape[0] * a.shape[1] * b.shape[1],
    torch.ops.aten.linalg_cholesky_ex: _cubic(1 / 3),
    torch.ops.aten._linalg_eigh: _cubic(9.0),
    torch.ops.aten.linalg_solve_triangular: lambda a, b, **__: a.shape[-1] * b.numel(),
}
_FLOPS = {**flop_registry, **_FURTHER}


class MultiplyAdds(TorchDispatchMode):
    """Counts multiply-adds of matrix products, convolutions and solvers, whoever calls them.

    Attributes:
        count: so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        flops = _FLOPS.get(func._overloadpacket)
        if flops is not None:
            self.count += flops(*args, **(kwargs or {}), out_val=result) / 2
        return result


def trained(spec: Spec, data: Arrays, seed: int) -> Result:
    """A run with its multiply-adds."""
    with MultiplyAdds() as counter:
        run = grow(spec, data=data, seed=seed, device="cpu")
    test = run.summary["test"]
    return Result(test["accuracy"], test["loss"], counter.count, run)


def from_scratch(final: Spec, data: Arrays, seed: int, madds: float) -> Result:
    """Without growth, for as many epochs as cost so many multiply-adds."""

    def fixed(epochs: int) -> Spec:
        options = ["growth.stop.parameters=1", "growth.when.until=0.000001", f"train.epochs={epochs}"]
        return parse_spec(dump_spec(final), overrides=options)

    one, two = (trained(fixed(epochs), data, seed).madds for epochs in (1, 2))
    return trained(fixed(max(1, round((madds - one) / (two - one)) + 1)), data, seed)


def measure(task: str, seeds: Sequence[int], methods: Sequence[str]) -> None:
    """Print a line for each method."""
    found: dict[str, list[Result]] = {name: [] for name in methods}
    image = task == IMAGES
    text = (
        (Path(__file__).resolve().parents[1] / "specs" / "digits_residual_cnn.yaml").read_text()
        if image
        else TASKS[task].text
    )
    for seed in seeds:
        x, y = DATA["digits" if image else TASKS[task].data](seed)
        order = np.random.default_rng(seed).permutation(len(x))
        data = (x[order], y[order])
        grown = trained(parse_spec(text), data, seed)
        for name in methods:
            if name == "grown":
                found[name].append(grown)
            elif name == "scratch":
                found[name].append(from_scratch(grown.run.spec, data, seed, grown.madds))
            else:
                found[name].append(trained(parse_spec(text, overrides=list(METHODS[name])), data, seed))
    print(f"{task}: {len(seeds)} seeds")
    for name, results in found.items():
        print(_line(name, results, found.get("grown", results)))


def _line(name: str, results: Sequence[Result], grown: Sequence[Result]) -> str:
    accuracies = [100.0 * result.accuracy for result in results]
    losses = [result.loss for result in results]
    gained = [100.0 * (a.accuracy - b.accuracy) for a, b in zip(grown, results, strict=True)]
    better = sum(a.loss < b.loss for a, b in zip(grown, results, strict=True))
    cost = mean(result.madds / base.madds for result, base in zip(results, grown, strict=True))
    spread = stdev(accuracies) if len(accuracies) > 1 else 0.0
    error = stdev(gained) / len(gained) ** 0.5 if len(gained) > 1 else 0.0
    line = (
        f"  {name:8s} accuracy {mean(accuracies):6.2f} ± {spread:4.2f} %  worst {min(accuracies):6.2f} %  "
        f"loss {mean(losses):.3f}  parameters {mean(r.run.summary['parameters'] for r in results):7,.0f}  "
        f"multiply-adds {cost:5.2f} of grown"
    )
    if name == "grown":
        return line
    return f"{line}  grown {mean(gained):+.2f} ± {error:.2f} points, lower loss on {better} of {len(results)}"


def main() -> None:
    """Print all tasks."""
    every = [*TASKS, IMAGES]
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seeds", type=int, default=8)
    options.add_argument("--task", choices=every, action="append")
    options.add_argument("--methods", nargs="+", choices=[*METHODS, "scratch"], default=[*METHODS, "scratch"])
    chosen = options.parse_args()
    for task in chosen.task or every:
        measure(task, range(chosen.seeds), chosen.methods)


if __name__ == "__main__":
    main()
