"""The later cost of what a network learns while it is small: plain PyTorch, without this package's growth.

    python benchmarks/late_neurons.py [--seeds 2] [--steps 10 50 500] [--images 70000]

A perceptron on Fashion-MNIST has 79 neurons in each of two layers from the beginning, or 8 for some training steps and
79 from then on. New neurons have fresh weights and a fan-out of 0, and the optimizer starts anew. `thrown away` begins
with 79 fresh neurons after the same steps, so that only time is lost.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import math
from statistics import mean, stdev

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.quality_tasks import BATCH, DECAY, TASKS
from gromo_graph.run.data.load_data import load_data

SMALL, WHOLE, EPOCHS, RATE = 8, 79, 10, 0.003
SEEDS = (201, 202, 203, 204)
Part = tuple[torch.Tensor, torch.Tensor]


def perceptron(width: int) -> nn.Sequential:
    """Two hidden layers with first weights."""
    return nn.Sequential(
        *(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    )


@torch.no_grad()
def widened(small: nn.Sequential) -> nn.Sequential:
    """The whole perceptron, which computes what the small one does."""
    whole = perceptron(WHOLE)
    for old, new in zip(small, whole, strict=True):
        if isinstance(old, nn.Linear) and isinstance(new, nn.Linear):
            outputs, inputs = old.weight.shape
            new.weight[:outputs, inputs:] = 0.0
            new.weight[:outputs, :inputs] = old.weight
            new.bias[:outputs] = old.bias
    return whole


def trained(parts: dict[str, Part], seed: int, steps: int, *, keep: bool) -> tuple[float, float]:
    """Test accuracy in percent and training loss, at the end.

    Args:
        steps: of the small network; 0 for none. keep: whether its neurons stay.
    """
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    model = perceptron(SMALL if steps else WHOLE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    x, y = parts["train"]
    length = EPOCHS * math.ceil(len(x) / BATCH)
    batches: list[torch.Tensor] = []
    for step in range(length):
        if steps and step == steps:
            model = widened(model) if keep else perceptron(WHOLE)
            optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
        batches = batches or list(torch.randperm(len(x), generator=order).split(BATCH))
        rows = batches.pop()
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1.0 + math.cos(math.pi * step / length))
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        test_x, test_y = parts["test"]
        accuracy = (model(test_x).argmax(dim=1) == test_y).float().mean()
        return 100.0 * float(accuracy), float(cross_entropy(model(x), y))


def main() -> None:
    """Print a table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--steps", type=int, nargs="+", default=[10, 50, 500])
    options.add_argument("--images", type=int, default=70_000)
    asked = options.parse_args()
    torch.set_num_threads(1)
    task = TASKS["Fashion-MNIST MLP"]
    cases = [(0, True), *((steps, keep) for steps in asked.steps for keep in (True, False))]
    found: dict[tuple[int, bool], list[tuple[float, float]]] = {case: [] for case in cases}
    for seed in SEEDS[: asked.seeds]:
        data = load_data(task.drawn(seed, asked.images), task.spec(WHOLE, rate=RATE))
        parts = {name: part.take(torch.arange(len(part))) for name, part in data.parts.items()}
        flat = {name: (x.flatten(1), y) for name, (x, y) in parts.items()}
        for steps, keep in cases:
            found[steps, keep].append(trained(flat, seed, steps, keep=keep))
    print(
        "| small for | its neurons | accuracy − whole from the beginning | training loss |\n|---|---|---|---|"
    )
    for (steps, keep), results in found.items():
        differences = [own - whole for (own, _), (whole, _) in zip(results, found[0, True], strict=True)]
        error = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
        fate = ("kept" if keep else "thrown away") if steps else ""
        loss = mean(loss for _, loss in results)
        print(f"| {steps} steps | {fate} | {mean(differences):+.2f} ± {error:.2f} | {loss:.3f} |")


if __name__ == "__main__":
    main()
