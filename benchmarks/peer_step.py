"""One growth step of a DAG in gromo 0.1.0: every candidate trained by gradient descent, then one chosen.

    python benchmarks/peer_step.py [--hidden 2 4 8] [--epochs 20] [--limit 0] [--threads 1]

A step is what gromo's own methods do: list the candidates (new edges, new nodes, more neurons), one pass over
the training data for the bottlenecks, expand, train and evaluate every candidate (`execute_expansions`),
choose the one of least validation loss and drop the others. Building the network, training it a little
beforehand and loading the data are not timed.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import io
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from gromo.containers.growing_dag import Expansion, ExpansionType, GrowingDAG
from gromo.containers.growing_graph_network import GrowingGraphNetwork
from gromo.utils.utils import reset_device, set_device
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import CrossEntropyLoss
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.dag import ACTIVATION, INPUTS, OUTPUTS, edges, sizes

__all__ = ["PeerStep", "Trial", "edges", "peer_step"]

BATCH, HELD_OUT, LEARNING_RATE = 300, 297, 3e-3
"""Samples of a batch, samples held out after those for training, and Adam's learning rate before the step."""

Result = TypeVar("Result")

KINDS = {
    ExpansionType.NEW_EDGE: "edge",
    ExpansionType.NEW_NODE: "node",
    ExpansionType.EXPANDED_NODE: "wider",
}


@dataclass(frozen=True)
class Trial:
    """A candidate that was executed.

    Attributes:
        kind: `edge`, `node` or `wider`. name: what it joins or widens. seconds: of expanding, training and
            evaluating it. loss: on the held-out data with it in place, in nats.
    """

    kind: str
    name: str
    seconds: float
    loss: float


@dataclass(frozen=True)
class PeerStep:
    """One growth step of gromo.

    Attributes:
        hidden: nodes between start and end. edges, nodes, wider: candidates of each kind: new edges, new
            nodes, and nodes that are there and get more neurons. candidates: all of them. executed: how many
            were trained and evaluated.
        seconds: wall clock of the step; where not all were executed, what all would take in proportion, which
            is too little, since every candidate makes gromo's graph larger and the next one slower.
        measured: wall clock of what was really done, in seconds. extrapolated: whether the two differ.
        listing, gathering, executing, choosing: seconds of the parts, as they were measured.
        before: held-out loss before the step, in nats. trials: what was executed, in that order.
        raised: how many of those ended at a held-out loss above `before`. chosen: what gromo took.
        after: the held-out loss that gromo found for it. applied: held-out loss of the network once it was
            changed, NaN where gromo failed to apply what it chose.
    """

    hidden: int
    edges: int
    nodes: int
    wider: int
    executed: int
    seconds: float
    measured: float
    listing: float
    gathering: float
    executing: float
    choosing: float
    before: float
    trials: tuple[Trial, ...]
    chosen: str
    after: float
    applied: float

    @property
    def candidates(self) -> int:
        return self.edges + self.nodes + self.wider

    @property
    def extrapolated(self) -> bool:
        return self.executed < self.candidates

    @property
    def raised(self) -> int:
        return sum(trial.loss > self.before for trial in self.trials)


class Network(GrowingGraphNetwork):
    """A network of gromo's with a DAG of ours instead of an empty one."""

    def __init__(self, hidden: int, width: int, *, neurons: int, epochs: int, skip_every: int) -> None:
        self.asked = (edges(hidden, skip_every=skip_every), sizes(hidden, width))
        super().__init__(
            in_features=INPUTS,
            out_features=OUTPUTS,
            loss_fn=CrossEntropyLoss(),
            neurons=neurons,
            neuron_epochs=epochs,
            device="cpu",
        )

    def init_empty_graph(self) -> None:
        """Called by gromo when it makes or resets a network."""
        found, features = self.asked
        ends = {"start": "id", "end": "id"}
        self.dag = GrowingDAG(
            in_features=INPUTS,
            out_features=OUTPUTS,
            neurons=self.neurons,
            use_bias=True,
            use_layer_norm=False,
            activation=ACTIVATION,
            device="cpu",
            DAG_parameters={
                "edges": [(f"{source}@", f"{target}@") for source, target in found],
                "edge_attributes": {"type": "linear", "use_bias": True},
                "node_attributes": {
                    f"{name}@": {"type": "linear", "size": size, "activation": ends.get(name, ACTIVATION)}
                    for name, size in features.items()
                },
            },
        )


def peer_step(
    hidden: int,
    *,
    epochs: int = 20,
    width: int = 16,
    samples: int = 1200,
    seed: int = 0,
    neurons: int | None = None,
    warmup: int = 20,
    limit: int | None = None,
    skip_every: int = 0,
) -> PeerStep:
    """Time one growth step of gromo on the digits.

    Args:
        hidden: nodes between start and end. epochs: of training each candidate. width: features of each node.
        samples: of training data; the 297 after them are held out. seed: of weights, batches and what is
            executed. neurons: of a new node, and how many more an old one would get; None for `width`.
        warmup: epochs of Adam before the step, not timed. limit: execute about so many candidates, the same
            share of each kind; None for all. skip_every: see `dag.edges`.
    """
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Network(hidden, width, neurons=neurons or width, epochs=epochs, skip_every=skip_every)
        training, held_out = _loaders(samples)
        _train(net, training, warmup)
        return _step(net, hidden, training, held_out, limit=limit, seed=seed)


def _step(
    net: Network,
    hidden: int,
    training: DataLoader[Any],
    held_out: DataLoader[Any],
    *,
    limit: int | None,
    seed: int,
) -> PeerStep:
    """The step, a clock around each of its parts, and what came of it."""
    before = _loss(net, held_out)
    actions, listing = _timed(net.dag.define_next_actions)
    statistics, gathering = _timed(lambda: net.dag.calculate_bottleneck(actions, training, net.loss_fn))
    executed = _sample(actions, limit, seed)
    loaders = {"train_dataloader": training, "dev_dataloader": held_out, "val_dataloader": held_out}
    trials, executing = _timed(lambda: tuple(_trial(net, action, statistics, loaders) for action in executed))
    _, choosing = _timed(lambda: net.choose_growth_best_action(executed))
    counts = Counter(KINDS[action.type] for action in actions)
    share = len(actions) / len(executed)
    return PeerStep(
        hidden=hidden,
        edges=counts["edge"],
        nodes=counts["node"],
        wider=counts["wider"],
        executed=len(executed),
        seconds=listing + gathering + share * (executing + choosing),
        measured=listing + gathering + executing + choosing,
        listing=listing,
        gathering=gathering,
        executing=executing,
        choosing=choosing,
        before=before,
        trials=trials,
        chosen=_named(net.chosen_action),
        after=float(net.chosen_action.metrics["loss_val"]),
        applied=_applied(net, held_out),
    )


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of a piece of work, and its wall clock in seconds."""
    begin = time.perf_counter()
    found = work()
    return found, time.perf_counter() - begin


def _trial(
    net: Network, action: Expansion, statistics: tuple[Any, Any], loaders: dict[str, DataLoader[Any]]
) -> Trial:
    """Execute one candidate; gromo goes through a list one by one, so a call for each is the same."""
    _, taken = _timed(
        lambda: net.execute_expansions(
            [action], *statistics, amplitude_factor=False, evaluate=True, **loaders
        )
    )
    return Trial(KINDS[action.type], _named(action), taken, float(action.metrics["loss_val"]))


def _sample(actions: Sequence[Expansion], limit: int | None, seed: int) -> list[Expansion]:
    """Candidates to execute, in gromo's order of kinds: all, or about `limit`, the same share of each kind.

    gromo lists them from sets of strings, in another order in every process; here a seed says in which. The
    edge and the node between two nodes are both executed or neither: gromo fails to choose a node where that
    edge was not tried.
    """
    share = min(1.0, (limit or len(actions)) / len(actions))
    chance = random.Random(seed)
    places = sorted({_place(action) for action in actions})
    chance.shuffle(places)
    kept: set[tuple[str, ...]] = set()
    for length in (1, 2):
        alike = [place for place in places if len(place) == length]
        kept.update(alike[: max(1, round(share * len(alike)))])
    rank = {place: number for number, place in enumerate(places)}
    kinds = list(KINDS)
    found = [action for action in actions if _place(action) in kept]
    return sorted(found, key=lambda action: (kinds.index(action.type), rank[_place(action)]))


def _place(action: Expansion) -> tuple[str, ...]:
    """The node that gets wider, or the two that an edge or a node is put between."""
    if action.type is ExpansionType.EXPANDED_NODE:
        return (str(action.expanding_node),)
    return (str(action.previous_node), str(action.next_node))


def _named(action: Expansion) -> str:
    """The edge or node that a candidate joins or widens, in the names of `edges`."""
    if action.type is ExpansionType.EXPANDED_NODE:
        return str(action.expanding_node).rstrip("@")
    middle = " > new > " if action.type is ExpansionType.NEW_NODE else " > "
    return f"{action.previous_node}{middle}{action.next_node}".replace("@", "")


def _applied(net: Network, held_out: DataLoader[Any]) -> float:
    """Held-out loss after the chosen candidate was made part of the network; NaN where gromo raises."""
    try:
        net.apply_change()
        return _loss(net, held_out)
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return float("nan")


def _loss(net: Network, loader: DataLoader[Any]) -> float:
    """Mean cross entropy over batches, in nats."""
    with torch.no_grad():
        found = [float(net.loss_fn(net(x), y)) for x, y in loader]
    return sum(found) / len(found)


def _train(net: Network, loader: DataLoader[Any], epochs: int) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            net.loss_fn(net(x), y).backward()
            optimizer.step()


def _loaders(samples: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Training and held-out data in batches that are not shuffled."""
    x, y = _digits()
    parts = ((0, samples), (samples, samples + HELD_OUT))
    training, held_out = (
        DataLoader(TensorDataset(x[begin:end], y[begin:end]), batch_size=BATCH) for begin, end in parts
    )
    return training, held_out


@cache
def _digits() -> tuple[Tensor, Tensor]:
    found = load_digits()
    return torch.tensor(found.data / 16.0, dtype=torch.float32), torch.tensor(found.target)


@contextmanager
def quiet() -> Iterator[None]:
    """gromo on the CPU, silent, and with the depth of recursion that its search of a large DAG needs."""
    depth = sys.getrecursionlimit()
    set_device("cpu")
    sys.setrecursionlimit(max(depth, 100_000))
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.setrecursionlimit(depth)
        reset_device()


def told(step: PeerStep) -> str:
    """A step in a line."""
    about = "at least" if step.extrapolated else "        "
    done = f" ({step.executed} executed in {step.measured:.1f} s)" if step.extrapolated else ""
    each = 1e3 * step.executing / step.executed
    return (
        f"{step.hidden:3d} hidden   {step.candidates:5d} candidates ({step.edges} edges, {step.nodes} nodes, "
        f"{step.wider} wider)   {about} {step.seconds:7.2f} s{done}, {each:.0f} ms each, "
        f"gathering {step.gathering:.2f} s   held-out loss {step.before:.4f}, "
        f"raised by {step.raised} of {step.executed}, chosen {step.chosen}: {step.after:.4f}, "
        f"applied {step.applied:.4f}"
    )


def main() -> int:
    """Print a line for each size."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--hidden", type=int, nargs="+", default=[2, 4, 8])
    options.add_argument(
        "--limit", type=int, default=0, help="candidates that are executed at the most; 0: all"
    )
    for name, value in {
        "epochs": 20,
        "width": 16,
        "warmup": 20,
        "skip-every": 0,
        "seed": 0,
        "threads": 1,
    }.items():
        options.add_argument(f"--{name}", type=int, default=value)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    for hidden in chosen.hidden:
        step = peer_step(
            hidden,
            epochs=chosen.epochs,
            width=chosen.width,
            warmup=chosen.warmup,
            seed=chosen.seed,
            limit=chosen.limit or None,
            skip_every=chosen.skip_every,
        )
        print(told(step), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
