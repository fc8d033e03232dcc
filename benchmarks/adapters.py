"""Adapters whose rank grows against adapters of one rank, at the same number of parameters.

A small transformer encoder learns to tell the digits 0 to 4 from their rows of pixels. Its encoder is frozen, and it
is fine-tuned to the digits 5 to 9 with a head of its own: with adapters of one rank at every layer of the encoder, and
with adapters that grow from rank 0 within as many parameters. The head alone is the baseline. Training is the same for
all.

python benchmarks/adapters.py [--seeds 5] [--steps 200] [--ranks 1 2]
"""

from __future__ import annotations

import argparse
import copy
import statistics
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from gromo_graph import GrowthScheduler, from_torch
from gromo_graph.graph.adapters import adapters
from gromo_graph.network import GrowingNetwork

LOSS = nn.functional.cross_entropy
LAYERS = "encoder.layers.*"


class Encoder(nn.Module):
    """Eight rows of eight pixels as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, 5) from (batch, 8, 8)."""
        return self.head(self.encoder(self.embed(x)).mean(1))


def task(first: int, seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training, held-out and test samples of five digits from `first` on."""
    images, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16.0, dtype=torch.float32).reshape(-1, 8, 8), torch.tensor(digits)
    chosen = (y >= first) & (y < first + 5)
    x, y = x[chosen], y[chosen] - first
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    training, held_out, test = ((x[part], y[part]) for part in order.split([450, 150, len(order) - 600]))
    return training, held_out, test


def train(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    steps: int,
    seed: int,
    scheduler: Any = None,
    held_out: Any = None,
) -> None:
    """AdamW on batches of 64 with a cosine schedule; a scheduler may grow the model."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3) if scheduler is None else scheduler.optimizer
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(0, len(data[1]), (64,), generator=generator)
        optimizer.zero_grad()
        LOSS(model(data[0][rows]), data[1][rows]).backward()
        optimizer.step()
        schedule.step()
        if scheduler is not None:
            scheduler.after_batch(data[0][rows], data[1][rows], [held_out])


def judged(model: nn.Module, data: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Loss and accuracy."""
    model.eval()
    with torch.no_grad():
        logits = model(data[0])
    return float(LOSS(logits, data[1])), float((logits.argmax(1) == data[1]).float().mean())


def pretrained(seed: int, steps: int) -> nn.Module:
    """An encoder that knows the first five digits, frozen, with a new head."""
    torch.manual_seed(seed)
    model = Encoder()
    train(model, task(0, seed)[0], steps, seed)
    model.requires_grad_(False)
    model.head = nn.Linear(16, 5)
    return model


def tuned(
    model: nn.Module, seed: int, steps: int, **adapt: Any
) -> tuple[tuple[float, float], int, GrowingNetwork]:
    """Loss and accuracy on the test samples, and the parameters of the adapters."""
    training, held_out, test = task(5, seed)
    network = from_torch(copy.deepcopy(model), training[0][:2], adapters={"layers": LAYERS, **adapt})
    scheduler = None
    before = sum(p.numel() for p in model.parameters())
    if "parameters" in adapt:
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        scheduler = GrowthScheduler(
            network, LOSS, optimizer=optimizer, training_steps=steps, statistics=[training]
        )
    train(network.train(), training, steps, seed, scheduler, held_out)
    return judged(network, test), network.graph.parameter_count - before, network


def main() -> None:
    """A line for each way, means over the seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1])
    given = parser.parse_args()
    found: dict[str, list[tuple[float, float, int]]] = {}

    def note(way: str, result: tuple[tuple[float, float], int, GrowingNetwork]) -> None:
        (loss, accuracy), parameters, network = result
        found.setdefault(way, []).append((loss, accuracy, parameters))
        ranks = [network.graph.features(each.down) for each in adapters(network.graph)]
        print(
            f"{way:10s} loss {loss:.4f} accuracy {accuracy:.4f} parameters {parameters} ranks {ranks}",
            flush=True,
        )

    for seed in range(given.seeds):
        model = pretrained(seed, given.steps)
        loss, accuracy = judged(_head_alone(model, seed, given.steps), task(5, seed)[2])
        found.setdefault("head alone", []).append((loss, accuracy, 0))
        for rank in given.ranks:
            fixed = tuned(model, seed, given.steps, rank=rank)
            note(f"fixed {rank}", fixed)
            note(f"grown {rank}", tuned(model, seed, given.steps, parameters=fixed[1]))
    print("| way | adapter parameters | test loss | test accuracy |\n|---|---|---|---|")
    for way, rows in found.items():
        losses, accuracies, parameters = zip(*rows, strict=True)
        error = statistics.stdev(losses) / len(losses) ** 0.5 if len(losses) > 1 else 0.0
        print(
            f"| {way} | {statistics.mean(parameters):.0f} | {statistics.mean(losses):.3f} ± {error:.3f} | "
            f"{statistics.mean(accuracies):.1%} |"
        )


def _head_alone(model: nn.Module, seed: int, steps: int) -> nn.Module:
    alone = copy.deepcopy(model)
    train(alone, task(5, seed)[0], steps, seed)
    return alone


if __name__ == "__main__":
    main()
