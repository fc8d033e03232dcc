"""Slopes that do not exist: the loss is not differentiable if old units stand exactly at the kink of their activation.

There autograd takes one side and growth may move to the other (docs/maths.md, "Exact slopes"). It is rare: units of a
relu behind units that are all 0, without a bias. Slopes that it affects are marked and not corrected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from gromo_graph.growth.candidates.stages import Applicable, LeftOut
from gromo_graph.growth.observe import Loader, batches
from gromo_graph.growth.process_sums import Processes
from gromo_graph.layers import operation_adapter, operations_of
from gromo_graph.layers.operation import Elementwise
from gromo_graph.modules.linkable import Linkable
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft
from gromo_graph.network.forward import evaluation_mode
from gromo_graph.spec.settings import Growth

# A smaller share, of the gradient behind a kink or of the values that leave it, cannot put a slope off by a percent.
_MUCH = 1e-3
# The step size at which it is looked whether they leave it.
_TINY = 1e-6
# So many batches show it.
_BATCHES = 32


@dataclass
class Kinks:
    """The share of the gradient behind each activation that stands exactly at its kink.

    Attributes:
        sums: by node, Σ|gradient| there, and everywhere.
    """

    sums: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, name: str, at: Tensor, gradient: Tensor) -> None:
        """Count the gradient behind an activation; at: where its input is at the kink."""
        there, everywhere = self.sums.get(name, (0.0, 0.0))
        if at.any():
            there += float(gradient[at].abs().sum())
        self.sums[name] = there, everywhere + float(torch.linalg.vector_norm(gradient, 1))

    def add_up(self, processes: Processes) -> None:
        """Add what the other processes have counted."""
        for name, sums in sorted(self.sums.items()):
            there, everywhere = processes.totals(*sums)
            self.sums[name] = there, everywhere

    def share(self, name: str) -> float:
        """The share of the gradient behind the activation of a node that lies at a kink."""
        there, everywhere = self.sums.get(name, (0.0, 0.0))
        return there / everywhere if everywhere else 0.0


@contextmanager
def watching(network: GrowingNetwork) -> Iterator[Kinks]:
    """Count while gradients of the network are taken."""
    kinks = Kinks()
    handles = []
    for key, unit in network.graph.units.items():
        module = network.unit(key)
        if not isinstance(module, Linkable):
            continue
        kinked = [operation for operation in operations_of(module.function) if _has_kink(operation)]
        handles += [each.register_forward_hook(_counter(kinks, unit.node)) for each in kinked]
    try:
        yield kinks
    finally:
        for handle in handles:
            handle.remove()


def _has_kink(operation: torch.nn.Module) -> bool:
    """True if it is an activation, and one whose sides differ at 0."""
    adapter = operation_adapter(operation)
    return isinstance(adapter, Elementwise) and adapter.gain(operation, 0.0).has_kink


def _counter(kinks: Kinks, name: str) -> Callable[[torch.nn.Module, tuple[Tensor, ...], Tensor], None]:
    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:  # the network itself runs; measuring the function's slope also calls it
            at = inputs[0].detach() == 0
            output.register_hook(lambda gradient: kinks.add(name, at, gradient.detach()))

    return count


def marked(
    network: GrowingNetwork,
    found: Sequence[Applicable | LeftOut],
    kinks: Kinks,
    loader: Loader,
    policy: Growth,
    processes: Processes,
) -> list[Applicable | LeftOut]:
    """The candidates; those that move many units away from a kink are marked as inexact.

    Args:
        loader: the data that `kinks` were counted on; read once more for each candidate that might.
    """
    kinks.add_up(processes)
    bad = [name for name in kinks.sums if kinks.share(name) > _MUCH]
    behind = {name: nx.ancestors(network.graph.digraph, name) | {name} for name in bad}
    result: list[Applicable | LeftOut] = []
    for each in found:
        if isinstance(each, Applicable):
            names = [name for name in bad if each.slope is not None and each.first_changed & behind[name]]
            result.append(_marked(network, each, names, loader, policy, processes))
        else:
            result.append(each)
    return result


def _marked(
    network: GrowingNetwork,
    candidate: Applicable,
    names: Sequence[str],
    loader: Loader,
    policy: Growth,
    processes: Processes,
) -> Applicable:
    if not names:
        return candidate
    draft = candidate.draft(network, policy)
    shares = [_moved(network, draft, x, names) for x, _ in islice(batches(loader, network), _BATCHES)]
    for name in names:
        total, number = processes.totals(sum(each[name] for each in shares), len(shares))
        share = total / number
        if share > _MUCH:
            why = f"{share:.1%} of what enters the activation of `{name}` leaves its kink"
            return replace(candidate, inexact=why)
    return candidate


def _moved(
    network: GrowingNetwork, draft: Draft, inputs: tuple[Any, ...], names: Sequence[str]
) -> dict[str, float]:
    """The share of what enters each activation that a small change moves away from the kink."""
    before = _entering(network, names, inputs)
    after = _entering(draft.at(_TINY), names, inputs)
    return {name: _share_moved(before[name], after[name]) for name in names}


def _share_moved(before: Tensor, after: Tensor) -> float:
    """Of all values; where some features are gone, those at the kink count as moved."""
    at = before == 0
    return float((at & (after != 0) if before.shape == after.shape else at).float().mean())


@torch.no_grad()
def _entering(network: GrowingNetwork, names: Sequence[str], inputs: tuple[Any, ...]) -> dict[str, Tensor]:
    """The inputs of the kinked activations of some nodes, old features alone."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[torch.nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.setdefault(name, inputs[0])  # new features pass behind the old ones

        return hook

    handles = []
    for name in names:
        module = network.unit(name)
        assert isinstance(module, Linkable)
        first = next(each for each in operations_of(module.function) if _has_kink(each))
        handles.append(first.register_forward_pre_hook(keep(name)))
    try:
        with evaluation_mode(network):
            network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found
