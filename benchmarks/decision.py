"""The cost of a decision: the CPU time of one `plan` beside that of plain training, one thread.

    python benchmarks/decision.py [--only resnet] [--limit 200] [--samples 5000]

The first five networks are held against one epoch of plain training (SGD, batches of 64) on 5,000 images that the
script makes itself, in the state of a network that has been trained for one epoch. The others are held against forward
and backward of the same two batches: they are large beside what is to be decided. Targets: at most 0.4 epochs for the
CNNs, 1 for the ResNet, 40 passes for the last four. Each case runs in a process of its own, which ends after `--limit`
seconds of CPU. The growth policy is the default one but for `--samples`, samples of a plan.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import gc
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks.interleaved import verdict, warn_if_busy
from gromo_graph import GrowthScheduler, from_torch
from gromo_graph.growth import planning
from gromo_graph.growth.planning import expected_memory
from gromo_graph.memory_sizes import size
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth, Statistics

SAMPLES, BATCH, LEARNING_RATE = 5_000, 64, 0.02
PARTS = {"statistics": "statistics", "solutions": "solving", "measured": "slopes"}
Loss = Callable[[Tensor, Tensor], Tensor]
Data = list[tuple[Tensor, Tensor]]


def cnn(*widths: int) -> nn.Module:
    """3x3 convolutions on 28x28 images, pooled after each of the first two, averaged at the end."""
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(pairwise((1, *widths))):
        layers += [
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU(),
            *([nn.MaxPool2d(2)] if place < 2 else []),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def mlp(width: int) -> nn.Module:
    """Two hidden layers on 28x28 images."""
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, width), nn.ReLU()),
        *(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)),
    )


class Residual(nn.Module):
    """The basic block of a ResNet."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(out)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(out)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or width != out:
            self.short = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Two convolutions beside the short cut."""
        branch = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(branch)) + self.short(x))


def resnet18(width: int) -> nn.Module:
    """For images of 32x32; 64 is the width of the original."""
    blocks = []
    before = width
    for stage in range(4):
        out = width * 2**stage
        blocks += [Residual(before, out, 1 if stage == 0 else 2), Residual(out, out, 1)]
        before = out
    stem = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def nature_dqn() -> nn.Module:
    """Mnih et al. 2015: strided convolutions, and a layer behind a flatten of 3,136 values."""
    return nn.Sequential(
        *(
            nn.Conv2d(4, 32, 8, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1),
            nn.ReLU(),
        ),
        *(nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6)),
    )


def dcgan() -> nn.Module:
    """The generator of the DCGAN example: transposed convolutions from 1x1 to 64x64."""
    widths, layers = (100, 512, 256, 128, 64), []
    for place, (before, after) in enumerate(pairwise(widths)):
        stride, padding = (1, 0) if place == 0 else (2, 1)
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


def autoencoder() -> nn.Module:
    """Strided convolutions down to 7x7 positions, transposed ones back to 28x28."""
    return nn.Sequential(
        *(
            nn.Conv2d(1, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 7),
            nn.ReLU(),
        ),
        *(
            nn.ConvTranspose2d(64, 32, 7),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 3, 2, 1, output_padding=1),
            nn.ReLU(),
        ),
        *(nn.ConvTranspose2d(16, 1, 3, 2, 1, output_padding=1), nn.Sigmoid()),
    )


def mnist_example() -> nn.Module:
    """The network of PyTorch's MNIST example: a layer reads 9,216 values behind a flatten."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


@dataclass(frozen=True)
class Case:
    """A network and its task.

    Attributes:
        model: makes it, in plain PyTorch. shape: of a sample. target: of the ratio; None without one.
        classes: of the targets; None if the output is held against random values of its shape.
        batches: of forward and backward to compare with; None for an epoch of training.
    """

    model: Callable[[], nn.Module]
    shape: tuple[int, ...]
    target: float | None
    classes: int | None = 10
    batches: int | None = None


MONO, COLOUR = (1, 28, 28), (3, 32, 32)
CASES = {
    "cnn-8": Case(lambda: cnn(8, 16, 32), MONO, 0.4),
    "cnn-16": Case(lambda: cnn(16, 32, 64), MONO, 0.4),
    "cnn-32": Case(lambda: cnn(32, 64, 128, 128), MONO, 0.4),
    "mlp": Case(lambda: mlp(2048), MONO, None),
    "resnet": Case(lambda: resnet18(16), COLOUR, 1.0),
    "dqn": Case(nature_dqn, (4, 84, 84), 40.0, 6, 2),
    "dcgan": Case(dcgan, (100, 1, 1), 40.0, None, 2),
    "autoencoder": Case(autoencoder, MONO, 40.0, None, 2),
    "mnist": Case(mnist_example, MONO, 40.0, 10, 2),
}


def data_of(case: Case, network: GrowingNetwork, samples: int) -> Data:
    """Smooth random images, whose classes are those of a random projection: something can be learnt."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, *case.shape, generator=generator)
    if case.shape[-1] > 1:
        x = torch.nn.functional.avg_pool2d(x, 3, 1, 1) * 3.0
    if case.classes is None:
        with torch.no_grad():
            y = torch.rand(network(x[:2]).shape[1:].numel() * samples, generator=generator)
            y = y.reshape(samples, *network(x[:2]).shape[1:])
    else:
        directions = torch.randn(x[0].numel(), case.classes, generator=generator)
        y = (x.flatten(1) @ directions).argmax(dim=1)
    return list(zip(x.split(BATCH), y.split(BATCH), strict=True))


def trained(network: GrowingNetwork, loss: Loss, data: Data) -> None:
    """One epoch of plain training."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9)
    for x, y in data:
        optimizer.zero_grad()
        loss(network(x), y).backward()
        optimizer.step()
    network.zero_grad(set_to_none=True)


def passed(network: GrowingNetwork, loss: Loss, data: Data) -> None:
    """Forward and backward, no step."""
    for x, y in data:
        torch.autograd.grad(loss(network(x), y), list(network.parameters()))


@contextmanager
def by_part(seconds: dict[str, float]) -> Iterator[None]:
    """Count the CPU time of the parts of a plan."""

    def counted(method: Callable[..., Any], part: str) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            begin = time.process_time()
            try:
                return method(*arguments, **options)
            finally:
                seconds[part] = seconds.get(part, 0.0) + time.process_time() - begin

        return run

    patches = [
        patch.object(planning._Passes, name, counted(getattr(planning._Passes, name), part))
        for name, part in PARTS.items()
    ]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU; a full collection of garbage, which importing torch makes long, falls on neither side."""
    gc.collect()
    begin = time.process_time()
    work()
    return time.process_time() - begin


def measured(name: str, samples: int, of_plan: int | None) -> str:
    """The line of a case."""
    case = CASES[name]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = from_torch(case.model(), torch.zeros(2, *case.shape))
    loss: Loss = nn.functional.mse_loss if case.classes is None else nn.functional.cross_entropy
    if case.batches is None:
        data = data_of(case, network, samples)
        trained(network, loss, data[:4])
        unit, plain = "epochs", cpu(lambda: trained(network, loss, data))
    else:
        data = data_of(case, network, case.batches * BATCH)
        passed(network, loss, data)
        unit, plain = "passes", min(cpu(lambda: passed(network, loss, data)) for _ in range(3))
    policy = Growth() if of_plan is None else Growth(statistics=Statistics(samples=of_plan))
    scheduler = GrowthScheduler(network, loss, policy=policy, epochs=10)
    seconds: dict[str, float] = {}
    expected = expected_memory(network, policy)
    with by_part(seconds):
        plans = []
        taken = cpu(lambda: plans.append(scheduler.plan(data)))
    (plan,) = plans
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    parts = ", ".join(f"{part} {100 * value / taken:.0f} %" for part, value in seconds.items())
    target = "" if case.target is None else f"   {verdict(taken / plain, case.target)}"
    applicable = sum(each.reason is None for each in plan.candidates)
    return (
        f"{taken / plain:8.2f} {unit}{target}   plan {taken:.2f} s ({parts}), plain {plain:.2f} s; {plan.samples} "
        f"samples, {applicable} candidates, sums {size(plan.memory)} (expected {size(expected)}), peak {size(peak)}"
    )


def _child(name: str, samples: int, of_plan: int | None, limit: int, answers: Any) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    answers.send(measured(name, samples, of_plan))


def in_a_process(name: str, samples: int, of_plan: int | None, limit: int) -> str:
    """The line of a case, or that it took too long."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(name, samples, of_plan, limit, sending))
    child.start()
    sending.close()
    try:
        found: str = receiving.recv()
    except EOFError:
        child.join()
        child.join()
        over = child.exitcode in (-signal.SIGXCPU, -signal.SIGKILL)
        found = f"FAILED: no plan within {limit} s of CPU" if over else "FAILED: an error, above"
    child.join()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each network; 1 if a target is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", choices=CASES, nargs="+", default=list(CASES))
    options.add_argument("--limit", type=int, default=200, help="seconds of CPU for a case")
    options.add_argument("--images", type=int, default=SAMPLES, help="training images")
    options.add_argument("--samples", type=int, help="samples of a plan, instead of the default")
    chosen = options.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    warn_if_busy()
    kept = True
    for name in chosen.only:
        line = in_a_process(name, chosen.images, chosen.samples, chosen.limit)
        kept = kept and "MISSED" not in line and "FAILED" not in line
        print(f"{name:12s} {line}", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
