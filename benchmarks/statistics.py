"""The cost of statistics: forward + backward + statistics beside plain forward + backward, here and in gromo 0.1.0.

    python benchmarks/statistics.py [--rounds 9] [--threads 2] [--case mlp] [--no-gromo]

The targets: at most 2 times plain for the layers of an MLP 256-512-512-10 with batch 256; at most 5 (centre) and
8 (full kernels) times for two 3x3 convolutions 64->64 on 32x32 images with batch 32, at 1.5 times the memory.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import Conv2d, Linear, Module, ReLU

from benchmarks.interleaved import ABOUT, Work, peak_memory, timed, verdict, warn_if_busy
from gromo_graph import GrowingModule

Layers = list[Module]


def linear_layers() -> tuple[Layers, Tensor]:
    """An MLP and a batch for it."""
    return [Linear(a, b) for a, b in pairwise((256, 512, 512, 10))], torch.randn(256, 256)


def convolutions() -> tuple[Layers, Tensor]:
    """Two convolutions and a batch for them."""
    return [Conv2d(64, 64, 3, padding=1) for _ in range(2)], torch.randn(32, 64, 32, 32)


# What is measured, with which kernels, and the ratio of times that it may have.
CASES: dict[str, tuple[Callable[[], tuple[Layers, Tensor]], str, float]] = {
    "mlp": (linear_layers, "full", 2.0),
    "conv centre": (convolutions, "centre", 5.0),
    "conv full": (convolutions, "full", 8.0),
}


def plain(case: str) -> Work:
    """A training step without its optimizer."""
    layers, x = CASES[case][0]()
    net = torch.nn.Sequential(*(part for layer in layers for part in (layer, ReLU())))
    parameters = list(net.parameters())
    return lambda: torch.autograd.grad(net(x).square().sum(), parameters)


def ours(case: str) -> Work:
    """The same with all statistics; M is taken from the gradients, as the scheduler does."""
    make, kernel, _ = CASES[case]
    layers, x = make()
    modules: list[GrowingModule] = []
    for place, layer in enumerate(layers):
        before = modules[-1] if modules else None
        modules.append(
            GrowingModule(
                layer,
                post_layer_function=ReLU(),
                previous_module=before,
                growth_kernel=kernel,
                name=f"layer{place}",
            )
        )
    for before, after in pairwise(modules):
        before.next_module = after
    net = torch.nn.Sequential(*modules)
    weights = [module.layer.weight for module in modules]
    biases = [module.layer.bias for module in modules]
    for module in modules:
        module.init_computation()

    def step() -> None:
        loss = net(x).square().sum()
        pre = [module.pre_activity for module in modules]
        found = torch.autograd.grad(loss, [*pre, *weights, *biases])
        count = len(modules)
        for place, module in enumerate(modules):
            module.update_computation(found[place], found[count + place], found[2 * count + place])

    return step


def theirs(case: str) -> Work:
    """The same in gromo."""
    from gromo.modules import conv2d_growing_module as conv
    from gromo.modules.linear_growing_module import LinearGrowingModule

    make, kernel, _ = CASES[case]
    layers, x = make()
    convolution = {"full": conv.FullConv2dGrowingModule, "centre": conv.RestrictedConv2dGrowingModule}
    modules: list[Any] = []
    for layer in layers:
        common = {
            "post_layer_function": ReLU(),
            "previous_module": modules[-1] if modules else None,
            "allow_growing": bool(modules),
        }
        if isinstance(layer, Linear):
            made = LinearGrowingModule(layer.in_features, layer.out_features, **common)
        else:
            assert isinstance(layer, Conv2d)
            made = convolution[kernel](
                layer.in_channels, layer.out_channels, layer.kernel_size, padding=layer.padding, **common
            )
        modules.append(made)
    for before, after in pairwise(modules):
        before.next_module = after
    net = torch.nn.Sequential(*modules)
    for module in modules:
        module.init_computation()

    def step() -> None:
        net.zero_grad()
        net(x).square().sum().backward()
        for module in modules:
            module.update_computation()

    return step


def measure(case: str, *, rounds: int, gromo: bool) -> bool:
    """Print a case; whether it keeps to its targets."""
    target = CASES[case][2]
    found = timed({"plain": plain(case), "ours": ours(case)}, to="plain", rounds=rounds)
    if gromo:
        few = rounds if case == "mlp" else 1 + rounds // 5
        found |= {
            "gromo": timed({"plain": plain(case), "gromo": theirs(case)}, to="plain", rounds=few)["gromo"]
        }
    kept = found["ours"].ratio <= target
    for name, row in found.items():
        note = f"   {verdict(row.ratio, target)}" if name == "ours" else ""
        print(f"{case:12s} {name:6s} {row.seconds * 1e3:10.2f} ms   {row.ratio:7.2f} x plain{note}")
    if case != "mlp":
        peaks = {name: peak_memory(make, case) for name, make in (("plain", plain), ("ours", ours))}
        ratio = peaks["ours"] / peaks["plain"]
        kept = kept and ratio <= 1.5
        sizes = ", ".join(f"{name} {peak / 2**20:.0f} MiB" for name, peak in peaks.items())
        print(f"{case:12s} memory {ratio:10.2f} x plain   {verdict(ratio, 1.5)}   ({sizes})")
    return kept


def main() -> int:
    """Print the ratios; 1 where a target is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--case", choices=CASES)
    options.add_argument("--no-gromo", action="store_true")
    chosen = options.parse_args()
    warn_if_busy()
    print(f"forward, backward and statistics of one batch: {ABOUT}")
    warnings.simplefilter("ignore")  # the other library warns a lot
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    kept = [
        measure(case, rounds=chosen.rounds * (5 if case == "mlp" else 1), gromo=not chosen.no_gromo)
        for case in ([chosen.case] if chosen.case else CASES)
    ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
