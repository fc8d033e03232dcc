"""The library beside its peers in one run: statistics, a decision, and the quality at a budget.

    python benchmarks/peers.py [--part statistics decision quality] [--seeds 5] [--budget 3000] [--rounds 9]

- statistics: forward, backward and all sums of a batch, here and in gromo.
- decision: new neurons for every hidden layer of an MLP and what each promises, from the same samples; here with exact
  slopes, in gromo with the promise alone.
- quality: the digits, an MLP of two hidden layers, the same epochs and batches for all: grown here (by default and by
  natural gradient), grown with gromo's modules (its optimal neurons in the layer that promises most, a line search on
  the validation part, a new optimizer after each step), trained three times as wide and pruned with torch-pruning,
  and trained from scratch at the budget. The learning rate of each method is chosen on the validation part, with
  seeds of its own. Multiply-adds differ: pruning begins with the most, growth with the fewest.

gromo comes with the development packages; torch-pruning is `pip install --no-deps torch-pruning`. A peer that is not
installed is left out with a line that says so. Another version of gromo is measured by installing it.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import statistics as counting
from benchmarks.digits import shuffled_digits
from benchmarks.interleaved import ABOUT, Work, timed, warn_if_busy
from gromo_graph import GrowthScheduler, compile_network, parse_spec
from gromo_graph.spec.settings import Growth

LOSS = nn.functional.cross_entropy
INPUTS, CLASSES, WIDTH, NARROW, WIDE = 64, 10, 64, 4, 3
SAMPLES, BATCH, EPOCHS, TICKS = 1000, 50, 30, 10
VALIDATION, TEST = slice(1000, 1400), slice(1400, 1797)
RATES, RATE_SEEDS = (1e-3, 3e-3, 1e-2, 3e-2), (100, 101)
STEPS = [2.0**power for power in range(-8, 7)]


@dataclass(frozen=True)
class Digits:
    """The samples in one order for all."""

    x: Tensor
    y: Tensor

    def epoch(self, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, the same for all methods."""
        generator = torch.Generator().manual_seed(seed * 1000 + epoch)
        for rows in torch.randperm(SAMPLES, generator=generator).split(BATCH):
            yield self.x[rows], self.y[rows]

    def accuracy(self, net: nn.Module, part: slice) -> float:
        """The accuracy in percent."""
        net.eval()
        with torch.no_grad():
            return 100.0 * float((net(self.x[part]).argmax(dim=1) == self.y[part]).float().mean())


# Statistics and the decision


def installed(package: str) -> bool:
    """True if a peer is installed; prints a line if it is not."""
    found = importlib.util.find_spec(package) is not None
    if not found:
        print(f"{package} is not installed: left out")
    return found


def statistics_part(rounds: int) -> None:
    """Times of a batch beside a plain one."""
    print(f"statistics of a batch, beside plain forward and backward: {ABOUT}")
    for case in counting.CASES:
        works: dict[str, Work] = {"plain": counting.plain(case), "ours": counting.ours(case)}
        if installed("gromo"):
            works["gromo"] = counting.theirs(case)
        few = rounds if case == "mlp" else 1 + rounds // 5
        found = timed(works, to="plain", rounds=few)
        print(f"  {case:12s} " + "   ".join(f"{name} {row.ratio:.2f} x" for name, row in found.items()))


def spec_of(widths: Sequence[int]) -> str:
    """An MLP as a spec."""
    lines = ["nodes:", f"  x: {{kind: input, shape: [{INPUTS}]}}"]
    for place, width in enumerate(widths):
        source = f"h{place - 1}" if place else "x"
        lines.append(f"  h{place}: {{kind: linear, from: {source}, features: {width}, activation: relu}}")
    lines.append(f"  y: {{kind: linear, from: h{len(widths) - 1}, features: {CLASSES}}}")
    return "\n".join([*lines, "output: y", ""])


def gromo_modules(widths: Sequence[int]) -> list[Any]:
    """The same MLP of gromo's modules."""
    from gromo.modules.linear_growing_module import LinearGrowingModule

    modules: list[Any] = []
    for place, (before, after) in enumerate(pairwise((INPUTS, *widths, CLASSES))):
        last = place == len(widths)
        modules.append(
            LinearGrowingModule(
                before,
                after,
                post_layer_function=nn.Identity() if last else nn.ReLU(),
                previous_module=modules[-1] if modules else None,
                allow_growing=bool(modules),
                name=f"layer{place}",
            )
        )
    for before_module, after_module in pairwise(modules):
        before_module.next_module = after_module
    return modules


def solve_with_gromo(modules: Sequence[Any], batches: Sequence[tuple[Tensor, Tensor]], most: int) -> None:
    """Gather over the batches and make the best neurons of every hidden layer pending."""
    net = nn.Sequential(*modules)
    for module in modules[1:]:
        module.init_computation()
    for x, y in batches:
        net.zero_grad()
        LOSS(net(x), y, reduction="sum").backward()
        for module in modules[1:]:
            module.update_computation()
    for module in modules[1:]:
        module.compute_optimal_updates(maximum_added_neurons=most)


def decision_part(data: Digits, rounds: int) -> None:
    """Times of what comes before a growth step: new neurons for all hidden layers, and what they promise."""
    batches = [(data.x[:SAMPLES][p], data.y[:SAMPLES][p]) for p in torch.arange(SAMPLES).split(BATCH)]
    network = compile_network(parse_spec(spec_of([WIDTH] * 4)), seed=0)
    policy = Growth(statistics={"samples": SAMPLES}, neurons={"per_step": 8})
    scheduler = GrowthScheduler(network, LOSS, policy=policy, training_steps=1)
    works: dict[str, Work] = {"ours": lambda: scheduler.plan(list(batches))}
    if installed("gromo"):

        def theirs() -> list[float]:
            modules = gromo_modules([WIDTH] * 4)
            solve_with_gromo(modules, batches, 8)
            return [float(module.first_order_improvement) for module in modules[1:]]

        works["gromo"] = theirs
    found = timed(works, to="ours", rounds=rounds)
    print(f"decision over 4 hidden layers of {WIDTH}, {SAMPLES:,} samples (ours: with exact slopes): {ABOUT}")
    print(
        "  "
        + "   ".join(
            f"{name} {1e3 * row.seconds:.1f} ms ({row.ratio:.2f} x ours)" for name, row in found.items()
        )
    )


# Quality


@dataclass(frozen=True)
class Outcome:
    """A trained network.

    Attributes:
        net: in evaluation mode. parameters: of it. seconds: of everything.
    """

    net: nn.Module
    parameters: int
    seconds: float


Method = Callable[[Digits, int, float, int], Outcome]
"""(data, seed, learning rate, budget) -> the trained network."""


def parameters_of(widths: Sequence[int]) -> int:
    return sum(after * (before + 1) for before, after in pairwise((INPUTS, *widths, CLASSES)))


def widest(budget: int) -> int:
    """The width of two equal hidden layers that fit."""
    return max(width for width in range(1, 1000) if parameters_of([width, width]) <= budget)


def plain_net(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise((INPUTS, *widths, CLASSES)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train(net: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    net.train()
    for x, y in batches:
        optimizer.zero_grad()
        LOSS(net(x), y).backward()
        optimizer.step()


def _done(net: nn.Module, begun: float) -> Outcome:
    taken = time.perf_counter() - begun
    return Outcome(net.eval(), sum(parameter.numel() for parameter in net.parameters()), taken)


def scratch(data: Digits, seed: int, rate: float, budget: int) -> Outcome:
    """The widest network that fits, from first weights."""
    begun = time.perf_counter()
    torch.manual_seed(seed)
    net = plain_net([widest(budget)] * 2)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    for epoch in range(EPOCHS):
        train(net, optimizer, data.epoch(seed, epoch))
    return _done(net, begun)


def ours(data: Digits, seed: int, rate: float, budget: int, **policy: Any) -> Outcome:
    """Grown by the scheduler, with its default policy but for some keys."""
    begun = time.perf_counter()
    network = compile_network(parse_spec(spec_of([NARROW, NARROW])), seed=seed)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    chosen = Growth(stop={"parameters": budget}, when={"steps": TICKS}, **policy)
    steps = EPOCHS * SAMPLES // BATCH
    scheduler = GrowthScheduler(
        network, LOSS, optimizer=optimizer, policy=chosen, training_steps=steps, epochs=EPOCHS, undoable=False
    )
    held_out = [(data.x[VALIDATION], data.y[VALIDATION])]
    for epoch in range(EPOCHS):
        for x, y in data.epoch(seed, epoch):
            network.train()
            optimizer.zero_grad()
            LOSS(network(x), y).backward()
            optimizer.step()
            scheduler.after_batch(x, y, held_out)
    return _done(network, begun)


def gromo(data: Digits, seed: int, rate: float, budget: int) -> Outcome:
    """Grown with gromo's modules in the first quarter, as often as ours."""
    begun = time.perf_counter()
    torch.manual_seed(seed)
    modules = gromo_modules([NARROW, NARROW])
    net = nn.Sequential(*modules)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    steps = EPOCHS * SAMPLES // BATCH
    due = {round(steps * 0.25 * (tick + 1) / TICKS): TICKS - tick for tick in range(TICKS)}
    done = 0
    for epoch in range(EPOCHS):
        for batch in data.epoch(seed, epoch):
            train(net, optimizer, iter([batch]))
            done += 1
            if done in due:
                rows = torch.arange(SAMPLES).split(BATCH)
                batches = [(data.x[:SAMPLES][part], data.y[:SAMPLES][part]) for part in rows]
                _grow_with_gromo(net, modules, data, batches, budget, due[done])
                optimizer = torch.optim.Adam(net.parameters(), rate)
    return _done(net, begun)


def _grow_with_gromo(
    net: nn.Sequential,
    modules: Sequence[Any],
    data: Digits,
    batches: Sequence[tuple[Tensor, Tensor]],
    budget: int,
    ticks_left: int,
) -> None:
    """One step: an even share of what is left of the budget, in the layer that promises most."""
    left = budget - sum(parameter.numel() for parameter in net.parameters())
    costs = {place: modules[place - 1].in_features + 1 + modules[place].out_features for place in (1, 2)}
    most = {
        place: min(int(left / cost), round(left / cost / ticks_left + 0.5)) for place, cost in costs.items()
    }
    solve_with_gromo(modules, batches, max(1, *most.values()))
    promises = {place: float(modules[place].new_neurons_fo_improvement) for place in costs}
    place = max(promises, key=lambda each: promises[each] if most[each] else -1.0)
    grown = modules[place]
    found = 0 if grown.eigenvalues_extension is None else len(grown.eigenvalues_extension)
    if most[place] and found:
        keep = min(found, most[place])
        grown.sub_select_optimal_added_parameters(keep)
        best, least = 0.0, _extended_loss(modules, None, data)
        for factor in (step**0.5 for step in STEPS):
            grown.scaling_factor = factor
            loss = _extended_loss(modules, place, data)
            best, least = (factor, loss) if loss < least else (best, least)
        if best:
            grown.apply_change(scaling_factor=best, apply_delta=False, extension_size=keep)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules[1:]:
            module.delete_update()
            module.reset_computation()


def _extended_loss(modules: Sequence[Any], place: int | None, data: Digits) -> float:
    """The validation loss as if the neurons before a layer were there, or as it is."""
    h, further = data.x[VALIDATION], None
    with torch.no_grad():
        for index, module in enumerate(modules):
            h, further = module.extended_forward(
                h,
                further,
                use_optimal_delta=False,
                use_extended_input=index == place,
                use_extended_output=place is not None and index == place - 1,
            )
        return float(LOSS(h, data.y[VALIDATION]))


def pruned(data: Digits, seed: int, rate: float, budget: int) -> Outcome:
    """Trained three times as wide, pruned by magnitude in ten steps of the first half, and trained on."""
    import torch_pruning as tp

    begun = time.perf_counter()
    torch.manual_seed(seed)
    width = widest(budget)
    net = plain_net([WIDE * width] * 2)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    pruner = tp.pruner.MagnitudePruner(
        net,
        data.x[:1],
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=1.0 - 1.0 / WIDE,
        iterative_steps=TICKS,
        ignored_layers=[net[-1]],
    )
    for epoch in range(EPOCHS):
        train(net, optimizer, data.epoch(seed, epoch))
        if EPOCHS // 6 <= epoch < EPOCHS // 6 + TICKS:
            pruner.step()
            optimizer = torch.optim.Adam(net.parameters(), rate)
    return _done(net, begun)


METHODS: dict[str, tuple[Method, str | None]] = {
    "grown here": (ours, None),
    "natural": (partial(ours, criterion="natural"), None),
    "gromo": (gromo, "gromo"),
    "torch-pruning": (pruned, "torch_pruning"),
    "scratch": (scratch, None),
}
"""Each with the package that it needs."""


def quality_part(data: Digits, seeds: int, budget: int) -> None:
    """Test accuracy of each method at the budget."""
    print(
        f"quality: digits, {SAMPLES:,} samples, {EPOCHS} epochs, at most {budget:,} parameters, {seeds} seeds"
    )
    for name, (method, package) in METHODS.items():
        if package is not None and not installed(package):
            continue
        scores = {
            rate: mean(data.accuracy(method(data, seed, rate, budget).net, VALIDATION) for seed in RATE_SEEDS)
            for rate in RATES
        }
        rate = max(scores, key=lambda each: scores[each])
        outcomes = [method(data, seed, rate, budget) for seed in range(seeds)]
        found = [data.accuracy(each.net, TEST) for each in outcomes]
        error = stdev(found) / seeds**0.5 if seeds > 1 else float("nan")
        print(
            f"  {name:14s} {mean(found):6.2f} ± {error:.2f} %   {mean(each.parameters for each in outcomes):7.0f} "
            f"parameters   {mean(each.seconds for each in outcomes):5.1f} s   rate {rate:g}"
        )


def main() -> int:
    """Print the tables."""
    parts = ("statistics", "decision", "quality")
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--budget", type=int, default=3000)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = options.parse_args()
    warn_if_busy()
    warnings.simplefilter("ignore")  # the peers warn a lot
    torch.set_num_threads(chosen.threads)
    known = [name for name in ("gromo", "torch-pruning") if importlib.util.find_spec(name.replace("-", "_"))]
    print("peers: " + (", ".join(f"{name} {version(name)}" for name in known) or "none"))
    data = Digits(*shuffled_digits())
    torch.manual_seed(0)
    if "statistics" in chosen.part:
        statistics_part(chosen.rounds)
    if "decision" in chosen.part:
        decision_part(data, chosen.rounds)
    if "quality" in chosen.part:
        quality_part(data, chosen.seeds, chosen.budget)
    return 0


if __name__ == "__main__":
    sys.exit(main())
