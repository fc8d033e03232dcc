"""The rank of slopes beside the realised decrease of the loss, pooled over the layers of networks in training.

    python benchmarks/ranking.py [--seeds 3] [--actions widen]

Networks of three kinds are trained on the digits; after 1, 5 and 12 epochs each candidate is applied to a copy, its
step size searched on held-out samples. The target: with `criterion: natural` a rank correlation of at least 0.8.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean, median

import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.digits import shuffled_digits
from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network, parse_spec
from gromo_graph.spec.settings import Growth

CRITERIA = ("tiny", "natural")
LEAST = 0.8
SAMPLES, HELD_OUT, RATE, EPOCHS, LOOKS = 1000, 400, 3e-3, 13, (1, 5, 12)
LOSS = torch.nn.functional.cross_entropy
DENSE = """
nodes:
  x: {{kind: input, shape: [64]}}
  a: {{kind: linear, from: x, features: {0}, activation: {4}}}
  b: {{kind: linear, from: a, features: {1}, activation: {4}}}
  c: {{kind: linear, from: b, features: {2}, activation: {4}}}
  d: {{kind: linear, from: c, features: {3}, activation: {4}}}
  y: {{kind: linear, from: d, features: 10}}
output: y
"""
RESIDUAL = """
nodes:
  x: {kind: input, shape: [64]}
  stem: {kind: linear, from: x, features: 6}
  h1: {kind: linear, from: stem, features: 4, activation: relu}
  o1: {kind: linear, from: h1, features: 6}
  s1: {kind: merge, from: [stem, o1]}
  h2: {kind: linear, from: s1, features: 4, activation: relu}
  o2: {kind: linear, from: h2, features: 6}
  s2: {kind: merge, from: [s1, o2], activation: relu}
  y: {kind: linear, from: s2, features: 10}
output: y
"""
IMAGES = """
nodes:
  x: {kind: input, shape: [1, 8, 8]}
  a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: relu}
  b: {kind: conv2d, from: a, features: 4, kernel: 3, padding: 1, activation: relu}
  p: {kind: max_pool2d, from: b, kernel: 2}
  c: {kind: conv2d, from: p, features: 4, kernel: 3, padding: 1, activation: relu}
  f: {kind: flatten, from: c}
  h: {kind: linear, from: f, features: 6, activation: relu}
  y: {kind: linear, from: h, features: 10}
output: y
"""


@dataclass(frozen=True)
class Gained:
    """A slope, and what the loss fell by once γ was searched.

    Attributes:
        place: kind of the network, seed and epoch.
    """

    place: tuple[str, int, int]
    slope: float
    gamma: float
    gain: float


@dataclass(frozen=True)
class Digits:
    """Training and held-out samples, in one order for all."""

    x: Tensor
    y: Tensor

    def batches(self, shape: Sequence[int], part: slice, size: int) -> list[tuple[Tensor, Tensor]]:
        """Pairs of samples as a network reads them."""
        x, y = self.x[part].reshape(-1, *shape), self.y[part]
        return list(zip(x.split(size), y.split(size), strict=True))


def networks(seeds: int) -> Iterator[tuple[str, int, str]]:
    """Kind, seed and spec."""
    for seed in range(seeds):
        chance = random.Random(seed)
        for activation in ("relu", "tanh"):
            widths = [chance.choice([3, 5, 8, 12]) for _ in range(4)]
            yield "dense", seed, DENSE.format(*widths, activation)
        yield "residual", seed, RESIDUAL
        yield "images", seed, IMAGES


def gains(network: GrowingNetwork, data: Digits, policy: Growth, place: tuple[str, int, int]) -> list[Gained]:
    """The candidates of a network at one moment, each applied to a copy."""
    shape = network.spec.nodes["x"].shape  # type: ignore[attr-defined]
    scheduler = GrowthScheduler(network, LOSS, policy=policy, training_steps=100)
    plan = scheduler.plan(data.batches(shape, slice(0, SAMPLES), 100))
    held_out = data.batches(shape, slice(SAMPLES, SAMPLES + HELD_OUT), HELD_OUT)
    found = []
    for each in plan.candidates:
        if each.slope is not None:
            other, candidate = copy.deepcopy((scheduler, each))
            event = other.apply(candidate, loader=held_out)
            found.append(Gained(place, each.slope, event.gamma, event.loss_before - event.loss_after))
    return found


def collected(seeds: int, actions: Sequence[str]) -> dict[str, list[Gained]]:
    """By criterion, of all networks at all moments."""
    data, found = Digits(*shuffled_digits()), {criterion: list[Gained]() for criterion in CRITERIA}
    for kind, seed, text in networks(seeds):
        network = compile_network(parse_spec(text), seed=seed)
        shape = (1, 8, 8) if kind == "images" else (64,)
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(EPOCHS):
            for criterion in CRITERIA if epoch in LOOKS else ():
                policy = Growth(criterion=criterion, actions=tuple(actions), neurons={"per_step": 4})
                found[criterion] += gains(network, data, policy, (kind, seed, epoch))
            network.train()
            for rows in torch.randperm(SAMPLES, generator=generator).split(50):
                optimizer.zero_grad()
                LOSS(network(data.x[rows].reshape(-1, *shape)), data.y[rows]).backward()
                optimizer.step()
    return found


def correlation(found: Sequence[Gained]) -> float:
    """Spearman's, of slopes and gains."""
    return float(spearmanr([item.slope for item in found], [item.gain for item in found]).statistic)


def main() -> int:
    """Print the correlations; 1 if the target is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--actions", nargs="+", default=["widen"], help="of the growth policy")
    chosen = options.parse_args()
    torch.set_num_threads(1)  # everything here is small
    found = collected(chosen.seeds, chosen.actions)
    for criterion, items in found.items():
        networks_apart = [list(group) for _, group in groupby(items, key=lambda item: item.place)]
        within = [correlation(group) for group in networks_apart if len(group) > 3]
        print(
            f"{criterion:8s} pooled {correlation(items):+.2f} of {len(items)} candidates, within a network "
            f"{mean(within):+.2f}, median γ {median(item.gamma for item in items):.3g}"
        )
    kept = correlation(found["natural"]) >= LEAST
    print(f"natural pooled at least {LEAST}: {'ok' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
