"""The group of a new parameter: that of the parameters of its like, a bias among biases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TypeVar

import torch
from torch.nn import Parameter

from gromo_graph.network.network import GrowingNetwork

Choice = TypeVar("Choice")

_FAR = (10**9, 0)


@dataclass(frozen=True)
class _Role:
    """A parameter in the network: the node it is of, the kind of its layer, its name there and its dimensions."""

    node: str | None
    layer: type[torch.nn.Module]
    name: str
    dimensions: int

    def unlike(self, other: _Role) -> int:
        """0 for the same name in the same kind of layer; the more, the less two parameters have in common."""
        same_form = (self.dimensions > 1) == (other.dimensions > 1)
        if self.name == other.name and self.dimensions == other.dimensions:
            return 0 if self.layer is other.layer else 1
        if self.name == other.name and same_form:
            return 2
        return 3 if same_form else 4


class Likeness:
    """Compares the parameters of a network by what they are, then by how near their nodes are to each other.

    Args:
        network: that holds all of them. fresh: those that are new.
    """

    def __init__(self, network: GrowingNetwork, fresh: Collection[Parameter]) -> None:
        nodes = {p: name for name, part in network.parts.items() for p in part.parameters()}
        self._roles = {
            parameter: _Role(nodes.get(parameter), type(module), name, parameter.dim())
            for module in network.modules()
            for name, parameter in module.named_parameters(recurse=False)
        }
        self._old = {node for parameter, node in nodes.items() if parameter not in fresh}
        self._graph = network.graph.digraph

    def choice(self, parameter: Parameter, held: Mapping[Parameter, Choice]) -> Choice | None:
        """The choice for the parameters that are most like one; None if nothing was chosen for any.

        Those that are most like it come first, then those of the nearest node. If some choice holds different
        parameters of one kind of layer, its weights and biases say, then choices were made by place: of this kind of
        layer the nearest comes first. Of choices that are equally good, the one of most parameters is taken.

        Args:
            parameter: of the network. held: what was chosen for others of it.
        """
        own = self._roles[parameter]
        others = {p: self._roles[p] for p in held if p in self._roles}
        if not others:
            return next(iter(held.values()), None)
        distances = self._distances(own.node)
        by_place = self._by_place(own.layer, held)

        def rank(role: _Role) -> tuple[object, ...]:
            unlike, distance = own.unlike(role), distances.get(role.node, _FAR)
            return (role.layer is not own.layer, distance, unlike) if by_place else (unlike, distance)

        ranks = {p: rank(role) for p, role in others.items()}
        best = min(ranks.values())
        counts = Counter(held[p] for p, found in ranks.items() if found[0] == best[0])
        return max((held[p] for p, found in ranks.items() if found == best), key=counts.__getitem__)

    def _by_place(self, layer: type[torch.nn.Module], held: Mapping[Parameter, Choice]) -> bool:
        """True if parameters of different names in a kind of layer were chosen the same for."""
        names: dict[Choice, set[str]] = {}
        for parameter, choice in held.items():
            role = self._roles.get(parameter)
            if role is not None and role.layer is layer:
                names.setdefault(choice, set()).add(role.name)
        return any(len(each) > 1 for each in names.values())

    def _distances(self, node: str | None) -> dict[str | None, tuple[int, int]]:
        """The distances of all nodes from one, as layers on the way that are not new; readers before what is read.

        Returns:
            By node (layers, 0 on the side of the readers and 1 on the other).
        """
        if node is None or node not in self._graph:
            return {}
        found: dict[str | None, tuple[int, int]] = {node: (0, 0)}
        sides = (self._graph.successors(node), self._graph.predecessors(node))
        queue = [(int(name in self._old), side, name) for side, names in enumerate(sides) for name in names]
        heapify(queue)
        while queue:
            layers, side, name = heappop(queue)
            if name in found:
                continue
            found[name] = layers, side
            for other in (*self._graph.successors(name), *self._graph.predecessors(name)):
                heappush(queue, (layers + (other in self._old), side, other))
        return found
