"""Predicted against realised slopes on random graphs, and their rank against the gain of a step.

    python benchmarks/slopes.py [--graphs 200] [--ranked 10] [--actions widen new_edge new_node] [--criterion natural]
        [--most 10] [--show 7]

Every candidate of a plan is applied to a copy at a small γ, and its slope is set beside the finite difference of the
loss. The target: fewer than 1 in 50 are off by more than 1 %, and none where no old unit sits exactly at a kink. A
miss is printed with the seed of its graph; `--show` prints that graph and its differences at several γ. Then graphs are
trained a little on the digits, and slopes are ranked against the decrease of the loss after the line search.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import copy
import random
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from statistics import mean
from typing import Any

import sklearn.datasets
import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.random_graphs import drawn, image, row
from gromo_graph import GrowingNetwork, GrowthScheduler, Plan, compile_network, dump_spec
from gromo_graph.records import Candidate
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.settings import Growth

EXACT = 1e-2  # relative error of a slope that counts as exact
MISSES = 1 / 50  # share of the candidates that may be off
GAMMA, LARGEST = 1e-6, 1e-2  # of a finite difference: the usual γ, and where the slope is small
# Of the loss, relative: what it has to fall by, and what its differences are off by.
FALL, ROUNDING = 1e-9, 1e-13
DIGITS, BATCH, STEPS, RATE = 600, 200, 30, 1e-2
FEWEST = 5  # candidates that are worth ranking
ACTIONS = ["widen", "new_edge", "new_node"]
State = tuple[GrowthScheduler, Plan]


@dataclass(frozen=True)
class Problem:
    """A network with data.

    Attributes:
        inputs, target: all samples. batch: samples of a batch of the loader.
    """

    network: GrowingNetwork
    inputs: tuple[Tensor, ...]
    target: Tensor
    batch: int

    @property
    def loss(self) -> Any:
        """The smooth loss that fits the target."""
        functional = torch.nn.functional
        return functional.mse_loss if self.target.is_floating_point() else functional.cross_entropy

    def value(self, network: GrowingNetwork) -> float:
        """The mean loss over all samples of a network, in evaluation mode."""
        network.eval()
        with torch.no_grad():
            return float(self.loss(network(*self.inputs), self.target))

    def planned(self, policy: Growth) -> State:
        """A scheduler with its plan."""
        parts = [x.split(self.batch) for x in self.inputs]
        loader = list(zip(zip(*parts, strict=True), self.target.split(self.batch), strict=True))
        scheduler = GrowthScheduler(self.network, self.loss, policy=policy)
        return scheduler, scheduler.plan(loader)

    def see(self) -> None:
        """Let batch norms measure the data."""
        self.network.train()
        with torch.no_grad():
            for _ in range(20):
                self.network(*self.inputs)
        self.network.eval()


def problem(seed: int) -> Problem:
    """A random graph, one in five convolutional, with first weights and a smooth function of random inputs."""
    chance = random.Random(seed)
    shapes = [image(chance)] if seed % 5 == 4 else [row(chance) for _ in range(chance.choice([1, 1, 2]))]
    outputs, samples = chance.randint(1, 3), chance.randint(60, 100)
    spec = drawn(chance, shapes, chance.randint(3, 8), outputs, f"seed {seed}")
    generator = torch.Generator().manual_seed(seed)
    kind: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    inputs = tuple(torch.randn(samples, *shape, **kind) for shape in shapes)
    flat = torch.cat([x.flatten(1) for x in inputs], dim=1)
    target = (flat @ torch.randn(flat.shape[1], outputs, **kind)).sin() + 0.1 * flat[:, :1]
    if outputs > 1 and chance.random() < 0.5:
        target = target.argmax(dim=1)
    found = Problem(compile_network(spec, seed=seed, dtype=torch.float64), inputs, target, batch=32)
    found.see()
    return found


class Kinks:
    """Looks, in one forward pass, for the values that are exactly where a function bends.

    Attributes:
        worst: their largest share of the values that enter one function.
    """

    def __init__(self, network: GrowingNetwork, inputs: Sequence[Tensor]) -> None:
        self.worst = 0.0
        # The other activations are smooth at 0, ELU too; a max pool bends where two of its values tie.
        kinds = (torch.nn.ReLU, torch.nn.LeakyReLU, torch.nn.SELU, torch.nn.MaxPool2d)
        handles = [
            module.register_forward_pre_hook(self._look)
            for module in network.modules()
            if isinstance(module, kinds)
        ]
        with torch.no_grad():
            network(*inputs)
        for handle in handles:
            handle.remove()

    def _look(self, module: torch.nn.Module, values: tuple[Tensor, ...]) -> None:
        (x,) = values
        at = x.abs() < 1e-12
        if isinstance(module, torch.nn.MaxPool2d):
            size, stride = module.kernel_size, module.stride
            best = x.unfold(2, size, stride).unfold(3, size, stride).flatten(4).topk(2).values
            at = best[..., 0] == best[..., 1]
        self.worst = max(self.worst, float(at.double().mean()))


@dataclass(frozen=True)
class Compared:
    """A slope beside what the loss does.

    Attributes:
        tolerance: what the difference cannot tell because of rounding.
        kinked: the largest share of exact kinks among the values that enter one function of the graph.
        marked: the candidate itself says that its slope may be off.
    """

    seed: int
    kind: str
    target: str
    slope: float
    measured: float
    tolerance: float
    kinked: float
    marked: bool

    @property
    def error(self) -> float:
        """Relative."""
        return abs(self.measured - self.slope) / max(abs(self.slope), abs(self.measured), 1e-300)

    @property
    def inexact(self) -> bool:
        return not abs(self.measured - self.slope) <= EXACT * abs(self.slope) + self.tolerance

    @property
    def tiny(self) -> bool:
        """True if nothing but rounding was compared."""
        return self.tolerance > EXACT * abs(self.slope) and not self.inexact

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.kind} {self.target}  slope {self.slope:.6g}  realised {self.measured:.6g}  "
            f"off by {self.error:.2%}  at a kink: {self.kinked:.1%}"
        )


def copied(state: State, place: int) -> tuple[GrowthScheduler, Candidate]:
    """A scheduler with a network of its own, and one candidate; the others would only take time."""
    scheduler, plan = state
    result: tuple[GrowthScheduler, Candidate] = copy.deepcopy((scheduler, plan.candidates[place]))
    return result


def difference(found: Problem, state: State, place: int, gamma: float) -> float:
    """The decrease of the loss per unit of γ of a candidate that is applied to a copy."""
    scheduler, candidate = copied(state, place)
    before = found.value(scheduler.network)
    scheduler.apply(candidate, gamma)
    return (before - found.value(scheduler.network)) / gamma


def gamma_for(slope: float, loss: float) -> float:
    """Small, but the loss has to fall by more than its rounding."""
    return min(LARGEST, max(GAMMA, FALL * loss / max(abs(slope), 1e-300)))


def realised(found: Problem, state: State, place: int, gamma: float) -> float:
    """The finite difference at γ = 0, as far as it has to be known."""
    slope, difference_at = state[1].candidates[place].slope, partial(difference, found, state, place)
    plain = difference_at(gamma)
    if abs(plain - slope) <= 0.1 * EXACT * abs(slope):
        return plain
    # New weights are √γ large on both sides, so the next term is of order √γ: half the √γ takes it out.
    return 2.0 * difference_at(gamma / 4) - plain


def able(state: State, seed: int, most: int | None) -> list[int]:
    """The places of the candidates that have a slope; of each kind so many at the most, drawn at random."""
    by_kind: dict[str, list[int]] = {}
    for place, candidate in enumerate(state[1].candidates):
        if candidate.slope is not None:
            by_kind.setdefault(candidate.kind, []).append(place)
    chance = random.Random(seed)
    some = [chance.sample(places, min(most or len(places), len(places))) for places in by_kind.values()]
    return sorted(chain.from_iterable(some))


def compared(seed: int, policy: Growth, most: int | None) -> tuple[list[Compared], Counter[str]]:
    """The candidates of one graph that have a slope; how many were left out, by kind."""
    found = problem(seed)
    state = found.planned(policy)
    candidates = state[1].candidates
    loss, kinked = found.value(found.network), Kinks(found.network, found.inputs).worst
    results: list[Compared] = []
    for place in able(state, seed, most):
        candidate = candidates[place]
        gamma = gamma_for(candidate.slope, loss)
        measured = realised(found, state, place, gamma)
        tolerance = ROUNDING * max(loss, 1.0) / gamma
        results.append(
            Compared(
                seed,
                candidate.kind,
                candidate.target,
                candidate.slope,
                measured,
                tolerance,
                kinked,
                candidate.inexact is not None,
            )
        )
    return results, Counter(item.kind for item in candidates if item.slope is None)


def show(seed: int, policy: Growth) -> None:
    """One graph and its candidates, with the plain differences at several γ."""
    found = problem(seed)
    print(dump_spec(found.network.spec))
    state = found.planned(policy)
    kinked = Kinks(found.network, found.inputs).worst
    print(f"loss {found.value(found.network):.6g}, at a kink: {kinked:.1%}")
    for place, candidate in enumerate(state[1].candidates):
        print(f"{candidate.kind} {candidate.target}: slope {candidate.slope}  {candidate.reason or ''}")
        if candidate.slope is not None:
            told = [f"{g:g}: {difference(found, state, place, g):.6g}" for g in (1e-2, 1e-4, 1e-6, 1e-8)]
            print("    realised per γ at  " + "   ".join(told))


def verdict(kept: bool) -> str:
    return "ok" if kept else "MISSED"


def predicted_against_realised(graphs: int, policy: Growth, most: int | None) -> bool:
    """Print the counts and the misses; whether the targets are kept."""
    results: list[Compared] = []
    left_out: Counter[str] = Counter()
    begin = time.perf_counter()
    for seed in range(graphs):
        some, others = compared(seed, policy, most)
        results += some
        left_out += others
    seconds = time.perf_counter() - begin
    print(f"predicted against realised: {len(results)} candidates of {graphs} graphs in {seconds:.0f} s")
    for kind in sorted({*(item.kind for item in results), *left_out}):
        print(_counts(kind, [item for item in results if item.kind == kind], left_out[kind]))
    misses = [item for item in results if item.inexact]
    for item in sorted(misses, key=lambda item: -item.error):
        print(f"    {item}")
    marked = sum(item.marked for item in results)
    unmarked = sum(not item.marked for item in misses)
    few = marked < MISSES * max(1, len(results))
    print(
        f"  marked as inexact: {marked} of {len(results)}, fewer than 1 in {1 / MISSES:.0f}: {verdict(few)}"
    )
    print(f"  off by more than {EXACT:.0%} and not marked: {unmarked}, none: {verdict(unmarked == 0)}")
    return few and unmarked == 0


def _counts(kind: str, results: Sequence[Compared], left_out: int) -> str:
    line = f"  {kind:9s} {left_out:5d} left out, {len(results):5d} compared"
    told = sorted((item for item in results if not item.tiny), key=lambda item: item.error)
    if not told:
        return line
    worst, middle = told[-1], told[len(told) // 2]
    return (
        f"{line}: {sum(item.inexact for item in results)} inexact, {len(results) - len(told)} too small to tell; "
        f"relative error: median {middle.error:.1e}, worst {worst.error:.1e} (seed {worst.seed}, {worst.target})"
    )


def trained(seed: int) -> Problem:
    """A random graph after some steps on the digits, one in five as images."""
    chance = random.Random(seed)
    shape: Shape = (1, 8, 8) if seed % 5 == 4 else (64,)
    network = compile_network(
        drawn(chance, [shape], chance.randint(6, 10), 10, f"digits {seed}"), seed=seed, dtype=torch.float64
    )
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    inputs = torch.tensor(x[:DIGITS] / 16.0).reshape(-1, *shape)
    found = Problem(network, (inputs,), torch.tensor(y[:DIGITS]), BATCH)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    network.train()
    for step in range(STEPS):
        part = slice(step % (DIGITS // BATCH) * BATCH, None)
        optimizer.zero_grad()
        found.loss(network(inputs[part][:BATCH]), found.target[part][:BATCH]).backward()
        optimizer.step()
    found.see()
    return found


@dataclass(frozen=True)
class Gained:
    """A slope, and what the loss fell by once γ was searched."""

    kind: str
    slope: float
    gain: float


def gains(seed: int, policy: Growth, most: int | None) -> list[Gained]:
    """The candidates of one trained graph, each applied to a copy."""
    state = trained(seed).planned(policy)
    found = []
    for place in able(state, seed, most):
        scheduler, candidate = copied(state, place)
        event = scheduler.apply(candidate)
        found.append(Gained(candidate.kind, candidate.slope, event.loss_before - event.loss_after))
    return found


def correlation(found: Sequence[Gained]) -> float | None:
    """Spearman's; None where there is too little to rank."""
    slopes, realised = [item.slope for item in found], [item.gain for item in found]
    if len(found) < FEWEST or len(set(slopes)) == 1 or len(set(realised)) == 1:
        return None
    return float(spearmanr(slopes, realised).statistic)


def rank_correlation(graphs: int, policy: Growth, most: int | None) -> None:
    """Print the correlations of each graph and their means, over all candidates and within each kind."""
    if not graphs:
        return
    print(f"rank correlation of slope and realised decrease: graphs after {STEPS} Adam steps on the digits")
    collected: dict[str, list[float]] = {}
    every = ((seed, gains(seed, policy, most)) for seed in range(10 * graphs))
    for seed, found in islice((pair for pair in every if correlation(pair[1]) is not None), graphs):
        print(f"  seed {seed:2d}: {_correlations(found, collected)}")
    for name, values in collected.items():
        print(f"  mean {name:9s} {mean(values):+.2f}   worst {min(values):+.2f}   of {len(values)} graphs")


def _correlations(found: Sequence[Gained], collected: dict[str, list[float]]) -> str:
    kinds = sorted({item.kind for item in found})
    groups = {"all": found} | {kind: [item for item in found if item.kind == kind] for kind in kinds}
    parts = []
    for name, items in groups.items():
        value = correlation(items)
        if value is not None:
            collected.setdefault(name, []).append(value)
        parts.append(f"{name} {'  n/a' if value is None else f'{value:+.2f}'} ({len(items):2d})")
    return "   ".join(parts)


def main() -> int:
    """Print both; 1 where a target is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--graphs", type=int, default=200)
    options.add_argument("--ranked", type=int, default=10)
    options.add_argument("--actions", nargs="+", default=ACTIONS, help="of the growth policy")
    options.add_argument(
        "--criterion", default="tiny", choices=("tiny", "natural"), help="of the growth policy"
    )
    options.add_argument("--most", type=int, default=10, help="candidates of a kind of each graph")
    options.add_argument("--show", type=int, metavar="SEED", help="print one graph and its candidates alone")
    chosen = options.parse_args()
    warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")
    torch.set_num_threads(1)  # everything here is small
    policy = Growth(actions=tuple(chosen.actions), criterion=chosen.criterion)
    if chosen.show is not None:
        show(chosen.show, policy)
        return 0
    kept = predicted_against_realised(chosen.graphs, policy, chosen.most)
    rank_correlation(chosen.ranked, policy, chosen.most)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
