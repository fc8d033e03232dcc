"""The cost of solving here and in gromo 0.1.0, and a whole growth step beside training.

    python benchmarks/solve.py [--rounds 7] [--threads 2] [--no-gromo]

The targets: `compute_optimal_updates` for 32 neurons at width 1024 at least 5 times faster than gromo, at width 128 not
slower; growing a linear layer of width 1024 by 32 neurons, the change of the weights included, takes no longer than 10
plain training steps.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, ReLU, Sequential

from benchmarks.interleaved import ABOUT, Work, timed, verdict, warn_if_busy
from gromo_graph import GrowingModule

BATCH, STEPS, NEURONS = 256, 10, 32


def ours(width: int) -> list[Any]:
    """Two linear layers that have gathered statistics."""
    first = GrowingModule(Linear(width, width), post_layer_function=ReLU(), name="first")
    second = GrowingModule(Linear(width, width), previous_module=first, name="second")
    first.next_module = second
    return _gathered([first, second], width)


def theirs(width: int) -> list[Any]:
    """The same in gromo."""
    from gromo.modules.linear_growing_module import LinearGrowingModule

    first = LinearGrowingModule(width, width, post_layer_function=ReLU())
    second = LinearGrowingModule(width, width, previous_module=first, allow_growing=True)
    first.next_module = second
    return _gathered([first, second], width)


def _gathered(modules: list[Any], width: int) -> list[Any]:
    """Twenty batches with a target that the layers cannot reach: gradients of many directions."""
    torch.manual_seed(0)
    net = Sequential(*modules)
    target = Sequential(Linear(width, width), ReLU(), Linear(width, width))
    for module in modules:
        module.init_computation()
    for _ in range(20):
        x = torch.randn(BATCH, width)
        net.zero_grad()
        (net(x) - target(x).detach()).square().sum().backward()
        for module in modules:
            module.update_computation()
    return modules


def solving(make: Callable[[int], list[Any]], width: int, neurons: int | None) -> Work:
    """Delta and new neurons of the second layer; of nothing that was pending before."""
    second = make(width)[1]

    def work() -> None:
        second.delete_update()
        second.compute_optimal_updates(maximum_added_neurons=neurons)

    return work


def training(width: int) -> Work:
    """Ten steps of an optimizer."""
    net = Sequential(Linear(width, width), ReLU(), Linear(width, width))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    x = torch.randn(BATCH, width)
    y: Tensor = torch.randn(BATCH, width)

    def work() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            (net(x) - y).square().mean().backward()
            optimizer.step()

    return work


def growing(width: int, rounds: int) -> Work:
    """Solve for neurons and make them weights; each round has layers of its own, for growing empties the statistics."""
    prepared = ours(width)
    copies = [copy.deepcopy(prepared) for _ in range(rounds + 1)]

    def work() -> None:
        second = copies.pop()[1]
        second.compute_optimal_updates(maximum_added_neurons=NEURONS)
        second.apply_change(scaling_factor=0.1)
        assert second.in_neurons == width + NEURONS

    return work


def compare(width: int, neurons: int | None, *, rounds: int, gromo: bool, target: float | None) -> bool:
    """Print one case; whether it keeps to its target."""
    works = {"ours": solving(ours, width, neurons)}
    if gromo:
        works["gromo"] = solving(theirs, width, neurons)
    found = timed(works, to="ours", rounds=rounds)
    wanted = "all" if neurons is None else str(neurons)
    line = f"width {width:5d}, {wanted:>3s} neurons   ours {found['ours'].seconds * 1e3:8.1f} ms"
    if not gromo:
        print(line)
        return True
    ratio = found["gromo"].ratio
    line += f"   gromo {found['gromo'].seconds * 1e3:8.1f} ms   {ratio:5.2f} times ours"
    if target is None:
        print(line)
        return True
    print(f"{line}   at least {target:g}: {'ok' if ratio >= target else 'MISSED'}")
    return ratio >= target


def main() -> int:
    """Print the ratios; 1 where a target is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--no-gromo", action="store_true")
    chosen = options.parse_args()
    warn_if_busy()
    warnings.simplefilter("ignore")  # the other library warns a lot
    torch.set_num_threads(chosen.threads)
    gromo = not chosen.no_gromo
    print(f"compute_optimal_updates: {ABOUT}")
    kept = []
    for width, neurons, target in ((128, NEURONS, 1.0), (1024, NEURONS, 5.0), (1024, None, None)):
        rounds = chosen.rounds * (5 if width < 1024 else 1)
        kept.append(compare(width, neurons, rounds=rounds, gromo=gromo, target=target))
    works = {"training": training(1024), "growth": growing(1024, chosen.rounds)}
    found = timed(works, to="training", rounds=chosen.rounds)
    growth, steps = found["growth"], found["training"]
    print(
        f"width  1024 grown by {NEURONS}, apply included {growth.seconds * 1e3:6.1f} ms   {STEPS} training steps "
        f"{steps.seconds * 1e3:6.1f} ms   {growth.ratio:5.2f} times them   {verdict(growth.ratio, 1.0)}"
    )
    return 0 if all([*kept, growth.ratio <= 1.0]) else 1


if __name__ == "__main__":
    sys.exit(main())
