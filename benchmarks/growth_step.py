"""The time of a growth step: statistics, solving and slopes of all candidates, line search and growth.

    python benchmarks/growth_step.py [--hidden 2 4 8 16 32] [--peer 2 4 8] [--nodes 60 125 250 500]

First one whole step of a chain of hidden nodes of width 16 on the digits (1,200 samples), new edges, new nodes and
wider layers being the candidates, beside a step of gromo that trains each of them for 20 epochs (peer_step.py).
The target: at 8 hidden nodes at least 100 times faster, and a cost that is about linear in the number of candidates.

Then plans of generated graphs, those of benchmarks/compile.py: a residual stream of a third of the nodes with random
long skips, which grows together, and a layer of its own in each branch. The target: 500 nodes in under 10 s.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import math
import time
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

from benchmarks.compile import generated
from benchmarks.dag import spec_text
from benchmarks.interleaved import warn_if_busy
from benchmarks.peer_step import PeerStep, peer_step
from gromo_graph import GrowthScheduler, compile_network, parse_spec
from gromo_graph.spec.settings import Growth, When

SAMPLES, BATCH, LIMIT = 512, 64, 10.0
CROSS_ENTROPY = torch.nn.functional.cross_entropy
ALL = Growth(actions=("widen", "new_edge", "new_node"), groups=1, when=When(every=1, until=1.0))
ROUNDS, FASTER = 3, 100.0

Batches = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Step:
    """A growth step of ours.

    Attributes:
        candidates: that could be applied, or were left out. seconds: the fastest of some.
        before, after: held-out loss.
    """

    hidden: int
    candidates: int
    seconds: float
    before: float
    after: float


@dataclass(frozen=True)
class Digits:
    """Batches of 1,200 digits to train with, and one of 297 that are held out."""

    train: Batches
    held_out: Batches


def digits() -> Digits:
    """The digits that every step sees."""
    data = load_digits()
    x = torch.tensor(data.data / 16.0, dtype=torch.float32)
    y = torch.tensor(data.target)
    train = list(zip(x[:1200].split(300), y[:1200].split(300), strict=True))
    return Digits(train, [(x[1200:1497], y[1200:1497])])


def grown(hidden: int) -> Step:
    """One step on the digits, the fastest of a few, after 20 epochs of Adam."""
    data = digits()
    return min((_step(hidden, data) for _ in range(ROUNDS)), key=lambda step: step.seconds)


def trained(hidden: int, data: Digits) -> GrowthScheduler:
    """The scheduler of a network after 20 epochs of Adam."""
    network = compile_network(parse_spec(spec_text(hidden)), seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(20):
        for x, y in data.train:
            optimizer.zero_grad()
            CROSS_ENTROPY(network(x), y).backward()
            optimizer.step()
    return GrowthScheduler(network, CROSS_ENTROPY, optimizer=optimizer, policy=ALL, epochs=10)


def _step(hidden: int, data: Digits) -> Step:
    scheduler = trained(hidden, data)
    begin = time.perf_counter()
    event = scheduler.step(data.train, data.held_out)
    taken = time.perf_counter() - begin
    assert event is not None
    return Step(hidden, len(event.candidates), taken, event.loss_before, event.loss_after)


def compared(hidden: list[int], peers: list[int]) -> bool:
    """A line for each size; whether the target is kept."""
    kept = True
    points: list[tuple[float, float]] = []
    for number in hidden:
        ours = grown(number)
        points.append((math.log(ours.candidates), math.log(ours.seconds)))
        line = (
            f"{number:3d} hidden nodes   {ours.candidates:5d} candidates   {ours.seconds:7.3f} s   "
            f"{1e3 * ours.seconds / ours.candidates:5.1f} ms each   held-out loss {ours.before:.4f} → {ours.after:.4f}"
        )
        if number in peers:
            peer = peer_step(number)
            ratio = peer.seconds / ours.seconds
            kept = kept and (number != 8 or ratio >= FASTER)
            line += _beside(peer, ratio)
        print(line, flush=True)
    if len(points) > 1:
        (a, b), (c, d) = points[0], points[-1]
        print(f"seconds grow with the number of candidates to the power {(d - b) / (c - a):.2f}")
    return kept


def _beside(peer: PeerStep, ratio: float) -> str:
    verdict = f" (at least {FASTER:g}: {'ok' if ratio >= FASTER else 'MISSED'})" if peer.hidden == 8 else ""
    return (
        f"   gromo {peer.candidates} candidates, {peer.seconds:.1f} s, {peer.raised} of {peer.executed} raised the "
        f"held-out loss: {ratio:.0f} times faster{verdict}"
    )


def planner(nodes: int, policy: Growth | None = None) -> tuple[GrowthScheduler, Batches]:
    """A scheduler of a generated network that has planned once, to warm up, and its data."""
    network = compile_network(parse_spec(generated(nodes)), seed=0)
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(SAMPLES, size, generator=generator) for size in (16, 10))
    data = list(zip(x.split(BATCH), y.split(BATCH), strict=True))
    scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss, policy=policy)
    scheduler.plan(data[:1])
    return scheduler, data


def planned(nodes: int) -> tuple[int, int, float]:
    """Nodes, candidates that can be applied, and seconds of a plan."""
    scheduler, data = planner(nodes)
    begin = time.perf_counter()
    plan = scheduler.plan(data)
    taken = time.perf_counter() - begin
    return len(scheduler.network.spec.nodes), sum(c.reason is None for c in plan.candidates), taken


def large(sizes: list[int]) -> bool:
    """A line for each size; whether the target is kept."""
    kept = True
    for wanted in sizes:
        nodes, candidates, taken = planned(wanted)
        kept = kept and (wanted != 500 or taken < LIMIT)
        verdict = "" if wanted != 500 else f"   under {LIMIT:g} s: {'ok' if taken < LIMIT else 'MISSED'}"
        print(
            f"{nodes:5d} nodes, {candidates:4d} candidates   {taken:7.2f} s   {1e3 * taken / candidates:6.1f} ms each"
            f"{verdict}"
        )
    return kept


def main() -> int:
    """Print a line for each size; 1 where a target is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--hidden", type=int, nargs="*", default=[2, 4, 8, 16, 32])
    options.add_argument("--peer", type=int, nargs="*", default=[2, 4, 8], help="sizes that gromo grows too")
    options.add_argument("--nodes", type=int, nargs="*", default=[60, 125, 250, 500])
    options.add_argument("--threads", type=int, default=1, help="gromo is faster with one")
    chosen = options.parse_args()
    warn_if_busy()
    threads = torch.get_num_threads()
    torch.set_num_threads(chosen.threads)
    fast = compared(chosen.hidden, chosen.peer)
    torch.set_num_threads(threads)
    return 0 if large(chosen.nodes) and fast else 1


if __name__ == "__main__":
    sys.exit(main())
