"""Growth on an accelerator: right numbers, what statistics cost, and a ResNet-18 that grows.

    python benchmarks/accelerator.py [--small] [--limit 420]

Makes its own data and imports torch, numpy, networkx, pydantic and PyYAML alone, beside this package. With a GPU it

1. compares statistics and slopes in float32 on the GPU with float64 on the CPU;
2. times forward, backward and statistics beside forward and backward (the cases of benchmarks/statistics.py);
3. trains a ResNet-18 of full width on 32x32 images of ten classes, and grows it after each epoch.

Without one it says "no accelerator" and ends with 0. `--small` runs a small version of everything on whatever device
there is. No new part begins after `--limit` seconds; 1 is returned if a number is wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import Conv2d, Linear, ReLU
from torch.nn.functional import cross_entropy, interpolate

from benchmarks import statistics
from benchmarks.interleaved import Work, timed
from gromo_graph import GrowingModule, GrowingNetwork, GrowthScheduler, compile_network, parse_spec

T = TypeVar("T")
TOLERANCE = 1e-2  # of a norm: float32 with the TF32 products that torch allows in convolutions by default
CLASSES, SIDE, BATCH = 10, 32, 128


@dataclass(frozen=True)
class Scale:
    """The sizes of the tasks.

    Attributes:
        width: of the first stage of the ResNet. images: trained on. epochs: of training, with growth after each.
        samples: for the statistics of a growth step. rounds: of timings.
    """

    width: int
    images: int
    epochs: int
    samples: int
    rounds: int


FULL = Scale(width=64, images=20_000, epochs=4, samples=2048, rounds=9)
SMALL = Scale(width=4, images=256, epochs=2, samples=128, rounds=1)


def main() -> int:
    """Run all parts; 1 if a number is wrong."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--small", action="store_true")
    options.add_argument("--limit", type=float, default=420.0, help="seconds")
    asked = options.parse_args()
    if not torch.cuda.is_available():
        print("no accelerator")
        if not asked.small:
            return 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "the CPU"
    print(f"torch {torch.__version__} on {name}")
    scale, end = SMALL if asked.small else FULL, time.perf_counter() + asked.limit
    right = numerics(device)
    timings(device, scale)
    growth(device, scale, end)
    print(f"{asked.limit - (end - time.perf_counter()):.0f} seconds in all")
    return 0 if right else 1


def numerics(device: torch.device) -> bool:
    """Print relative errors of statistics and slopes in float32 on the device; whether all are small."""
    errors = {**_errors_of_statistics(device), "slopes": _error_of_slopes(device)}
    print(f"\nrelative errors in float32, against float64 on the CPU (at most {TOLERANCE:g})")
    for name, error in errors.items():
        print(f"  {name:24s} {error:.1e}   {'ok' if error <= TOLERANCE else 'WRONG'}")
    return all(error <= TOLERANCE for error in errors.values())


def _errors_of_statistics(device: torch.device) -> dict[str, float]:
    """Of S, M, M with the producer's input, and the cross covariance, for a layer of each kind."""
    torch.manual_seed(0)
    linear = [Linear(64, 48), Linear(48, 10)], torch.randn(256, 64)
    convolutions = [Conv2d(8, 16, 3, padding=1), Conv2d(16, 16, 3, padding=1)], torch.randn(32, 8, 16, 16)
    errors: dict[str, float] = {}
    for kind, (layers, x) in {"linear": linear, "convolution": convolutions}.items():
        there = _statistics(deepcopy(layers), x, device, torch.float32)
        here = _statistics(deepcopy(layers), x, torch.device("cpu"), torch.float64)
        errors |= {f"{kind}, {name}": _relative(there[name], here[name]) for name in here}
    return errors


def _statistics(
    layers: list[torch.nn.Module], x: Tensor, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The statistics of the last of some layers that follow each other."""
    modules: list[GrowingModule] = []
    for place, layer in enumerate(layers):
        before = modules[-1] if modules else None
        made = GrowingModule(
            layer.to(device, dtype), post_layer_function=ReLU(), previous_module=before, name=f"layer{place}"
        )
        modules.append(made)
    for before, after in pairwise(modules):
        before.next_module = after
    for module in modules:
        module.init_computation()
    torch.nn.Sequential(*modules)(x.to(device, dtype)).square().sum().backward()
    for module in modules:
        module.update_computation()
    last = modules[-1]
    return {
        "S": last.tensor_s(),
        "M": last.tensor_m(),
        "M of the producer": last.tensor_m_prev(),
        "cross covariance": last.cross_covariance(),
    }


def _error_of_slopes(device: torch.device) -> float:
    """The largest error of the slopes of all candidates of a small residual network, relative to the largest slope."""
    network = compile_network(parse_spec(resnet18(4)), seed=0)
    x, y = images(256, torch.device("cpu"))
    there = _slopes(deepcopy(network).to(device), x.to(device), y.to(device))
    here = _slopes(network.double(), x.double(), y)
    largest = max(abs(slope) for slope in here.values())
    return max(abs(there[target] - slope) for target, slope in here.items()) / largest


def _slopes(network: GrowingNetwork, x: Tensor, y: Tensor) -> dict[str, float]:
    """By target; of few neurons, since those far down the order may come out in another one."""
    scheduler = GrowthScheduler(network, cross_entropy, policy={"neurons": {"per_step": 2}}, undoable=False)
    plan = scheduler.plan(_batches(x, y))
    return {each.target: each.slope for each in plan.candidates if each.slope is not None}


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found.cpu().double() - expected).norm() / expected.norm())


def timings(device: torch.device, scale: Scale) -> None:
    """Print what statistics cost."""
    print("\nforward, backward and statistics of one batch, beside forward and backward")
    for case in statistics.CASES:
        with device:
            works = {"plain": statistics.plain(case), "with statistics": statistics.ours(case)}
            found = timed(
                {name: _finished(work, device) for name, work in works.items()},
                to="plain",
                rounds=scale.rounds,
            )
        for name, row in found.items():
            print(f"  {case:12s} {name:16s} {row.seconds * 1e3:9.2f} ms   {row.ratio:6.2f} x plain")


def _finished(work: Work, device: torch.device) -> Work:
    """Work that waits until the device is done."""

    def run() -> None:
        work()
        _wait(device)

    return run


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def growth(device: torch.device, scale: Scale, end: float) -> None:
    """Print what training and growing a ResNet-18 takes, an epoch a line.

    Args:
        end: no epoch begins after this moment (time.perf_counter).
    """
    network = compile_network(parse_spec(resnet18(scale.width)), seed=0, device=device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    x, y = images(scale.images + scale.images // 4, device)
    held_out = _batches(x[scale.images :], y[scale.images :])
    policy = {
        "actions": ["widen"],
        "neurons": {"per_step": 8},
        "when": {"until": 1.0},
        "statistics": {"samples": scale.samples},
    }
    scheduler = GrowthScheduler(
        network, cross_entropy, optimizer=optimizer, policy=policy, epochs=scale.epochs, undoable=False
    )
    print(f"\na ResNet-18 of {network.graph.parameter_count:,} parameters, {scale.images:,} images")
    for epoch in range(scale.epochs):
        if time.perf_counter() > end:
            print(f"  the time is over before epoch {epoch + 1}")
            return
        order = torch.randperm(scale.images, device=device)
        train = _batches(x[: scale.images][order], y[: scale.images][order])
        loss, training = _seconds(lambda batches=train: _train(network, optimizer, batches), device)
        peak = _peak_memory(device)
        event, growing = _seconds(lambda batches=train: scheduler.step(batches, held_out), device)
        print(f"  epoch {epoch + 1}: loss {loss:.4f}, {training:.2f} s of training")
        if event is None:
            print(f"    nothing grew: {scheduler.reason}")
            continue
        what = "nothing" if event.decision is None else f"{event.decision.target} by {event.decision.neurons}"
        print(
            f"    grew {what} in {growing:.2f} s: held-out loss {event.loss_before:.4f} -> {event.loss_after:.4f}, γ "
            f"{event.gamma:.3g}, {event.parameters:,} parameters, statistics {event.memory / 2**20:.0f} MiB{peak()}"
        )


def _train(
    network: GrowingNetwork, optimizer: torch.optim.Optimizer, batches: list[tuple[Tensor, Tensor]]
) -> float:
    """An epoch; the loss of its last batch."""
    network.train()
    for x, y in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def _seconds(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """The result of work, and its wall clock in seconds."""
    begun = time.perf_counter()
    found = work()
    _wait(device)
    return found, time.perf_counter() - begun


def _peak_memory(device: torch.device) -> Callable[[], str]:
    """Tells the peak of the memory on the GPU from now on."""
    if device.type != "cuda":
        return lambda: ""
    torch.cuda.reset_peak_memory_stats(device)
    return lambda: f", peak {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"


def images(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images of ten classes: a smooth pattern of each, moved by up to eight pixels, under noise."""
    chance = torch.Generator().manual_seed(1)
    coarse = torch.randn(CLASSES, 3, 8, 8, generator=chance)
    patterns = interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    labels = torch.randint(CLASSES, (count,), generator=chance)
    moves = torch.randint(-8, 9, (count, 2), generator=chance).tolist()
    moved = [
        patterns[label].roll(tuple(move), dims=(1, 2))
        for label, move in zip(labels.tolist(), moves, strict=True)
    ]
    x = torch.stack(moved) + torch.randn(count, 3, SIDE, SIDE, generator=chance)
    return x.to(device), labels.to(device)


def _batches(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(BATCH), y.split(BATCH), strict=True))


def resnet18(width: int) -> str:
    """The spec of a ResNet-18 for 32x32 images; 64 is the width of the original."""
    lines = ["x: {kind: input, shape: [3, 32, 32]}", *_convolution("stem", "x", width, activation="relu")]
    source = "stem"
    for stage in range(4):
        for block in range(2):
            first = block == 0 and stage > 0
            name = f"stage{stage + 1}_{block + 1}"
            lines += _block(name, source, width * 2**stage, stride=2 if first else 1, shortcut=first)
            source = name
    lines += [
        f"mean: {{kind: adaptive_avg_pool2d, from: {source}, size: 1}}",
        "flat: {kind: flatten, from: mean}",
        f"y: {{kind: linear, from: flat, features: {CLASSES}}}",
    ]
    nodes = "".join(f"  {line}\n" for line in lines)
    return f"version: 1\nname: resnet18\nnodes:\n{nodes}output: y\n"


def _block(name: str, source: str, width: int, *, stride: int, shortcut: bool) -> list[str]:
    """Two convolutions beside the identity, or beside a convolution where the size changes."""
    lines = _convolution(f"{name}_a", source, width, stride=stride, activation="relu")
    lines += _convolution(f"{name}_b", f"{name}_a", width)
    beside = source
    if shortcut:
        beside = f"{name}_short"
        lines += _convolution(beside, source, width, stride=stride, kernel=1)
    return [*lines, f"{name}: {{kind: merge, from: [{beside}, {name}_b], activation: relu}}"]


def _convolution(
    name: str, source: str, width: int, *, stride: int = 1, kernel: int = 3, activation: str = "identity"
) -> list[str]:
    """A convolution and its norm, which has the name."""
    return [
        f"{name}_conv: {{kind: conv2d, from: {source}, features: {width}, kernel: {kernel}, stride: {stride}, "
        f"padding: {kernel // 2}, bias: false}}",
        f"{name}: {{kind: batch_norm, from: {name}_conv, activation: {activation}}}",
    ]


if __name__ == "__main__":
    sys.exit(main())
