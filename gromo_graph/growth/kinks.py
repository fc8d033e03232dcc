"""Where the loss has no slope of its own: old units that stand exactly at the kink of their activation.

There autograd takes one side and growth may move to the other (MATH.md, optimal new neurons). It is rare: units of a
relu behind units that are all 0, without a bias. What is affected is marked, not mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import networkx as nx
import torch
from torch import Tensor

from gromo_graph.algebra import tangent_of
from gromo_graph.graph import Graph
from gromo_graph.growth.candidates import NewPath, Proposal, Pruning, Widening
from gromo_graph.modules.adapters import operation_adapter, operations_of
from gromo_graph.modules.adapters.operation import Elementwise
from gromo_graph.modules.links import Linkable
from gromo_graph.network import GrowingNetwork

Kind = TypeVar("Kind", bound=Proposal)

# A smaller share of the values at a kink cannot put a slope off by a percent.
_MANY = 1e-3


@dataclass
class Kinks:
    """How many values stand exactly at a kink.

    Attributes:
        counts: for each node whose activation has one, values at it and all values.
    """

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, name: str, values: Tensor) -> None:
        """Count what enters an activation."""
        zeros, total = self.counts.get(name, (0, 0))
        self.counts[name] = zeros + int((values == 0).sum()), total + values.numel()

    def share(self, name: str) -> float:
        """Of the values that enter the activation of a node."""
        zeros, total = self.counts.get(name, (0, 0))
        return zeros / total if total else 0.0


@contextmanager
def watching(network: GrowingNetwork) -> Iterator[Kinks]:
    """Count while the network runs."""
    kinks = Kinks()
    handles = []
    for key, unit in network.graph.units.items():
        module = network.unit(key)
        if not isinstance(module, Linkable):
            continue
        kinked = [operation for operation in operations_of(module.function) if _has_kink(operation)]
        handles += [each.register_forward_pre_hook(_counter(kinks, unit.node)) for each in kinked]
    try:
        yield kinks
    finally:
        for handle in handles:
            handle.remove()


def _has_kink(operation: torch.nn.Module) -> bool:
    """Whether it is an activation, and one whose sides differ at 0."""
    return isinstance(operation_adapter(operation), Elementwise) and tangent_of(operation).has_kink


def _counter(kinks: Kinks, name: str) -> Callable[[torch.nn.Module, tuple[Tensor, ...]], None]:
    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():  # the network itself runs; measuring the function's slope also calls it
            kinks.add(name, inputs[0].detach())

    return count


def marked(graph: Graph, proposals: Sequence[Kind], kinks: Kinks) -> list[Kind]:
    """The proposals; those whose effect passes many values at a kink are marked as inexact."""
    bad = {name: kinks.share(name) for name in kinks.counts if kinks.share(name) > _MANY}
    if not bad:
        return list(proposals)
    behind = {name: nx.ancestors(graph.digraph, name) | {name} for name in bad}
    return [_marked(proposal, bad, behind) for proposal in proposals]


def _marked(proposal: Kind, bad: dict[str, float], behind: dict[str, set[str]]) -> Kind:
    changed = _changed(proposal)
    for name, share in bad.items():
        if proposal.slope is not None and changed & behind[name]:
            why = f"{share:.1%} of what enters the activation of `{name}` lies exactly at its kink"
            return replace(proposal, inexact=why)
    return proposal


def _changed(proposal: Proposal) -> set[str]:
    """The nodes whose pre-activations change first."""
    match proposal:
        case Widening(group=group) | Pruning(group=group) if group is not None:
            return set(group.consumers)
        case NewPath(bridge=bridge) if bridge is not None:
            return {bridge.target}
        case _:
            return set()
