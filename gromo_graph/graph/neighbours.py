"""The previous and the next modules of each module.

A network has one module for each *unit*. A unit is a node with the operations folded into it (dropout, flatten
behind the one node that they read), or the merge that is put behind a layer with several readers: a growing
module has one next module, a merge module any number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gromo_graph.spec.kinds import Node, WidthRule
from gromo_graph.spec.model import Spec

Role = Literal["input", "layer", "merge", "operation", "attention", "fixed", "fan_out"]

_PLAIN = ("input", "fixed")
"""Roles of units that are neither growing nor merge modules."""


@dataclass(frozen=True)
class Unit:
    """One module of the network.

    Attributes:
        key: the name of its node, or `"name->"` for the merge behind the fan-out `name`.
        role: what kind of module it becomes. An operation that could not be folded is a merge of one, an attention one
            of three; `fixed` is what nothing grows through: a transpose, a module that was imported as it is.
        node: the node it was made for (for a fan-out: the node with several readers).
        operations: nodes folded into it, in the order they apply after the node itself.
        reads: keys of the units whose values it takes, in the order of `from`.
        previous: those of `reads` that are growing or merge modules.
        next: units that are growing or merge modules and read this one.
    """

    key: str
    role: Role
    node: str
    operations: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    next: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that the unit computes, in their order; a fan-out computes none of its own."""
        return () if self.role == "fan_out" else (self.node, *self.operations)

    @property
    def last(self) -> str:
        """The node whose value the unit returns."""
        return self.operations[-1] if self.operations else self.node


def resolve_units(spec: Spec, order: tuple[str, ...]) -> Mapping[str, Unit]:
    """The units by key, each after those it reads."""
    readers: dict[str, list[str]] = {name: [] for name in order}
    for name in order:
        for source in spec.nodes[name].sources:
            readers[source].append(name)
    units: dict[str, _Open] = {}
    value_of: dict[str, str] = {}  # node -> key of the unit that gives its value to readers
    for name in order:
        node = spec.nodes[name]
        role = _role(node)
        sources = node.sources
        alone = role == "operation" and len(readers[sources[0]]) == 1 and sources[0] not in spec.outputs
        if alone and units[value_of[sources[0]]].role != "fixed":
            key = value_of[sources[0]]
            units[key].operations.append(name)
        else:
            key = name
            units[key] = _Open(role, name, tuple(value_of[source] for source in sources))
        value_of[name] = key
        if units[key].role == "layer" and len(readers[name]) > 1:
            value_of[name] = f"{name}->"
            units[f"{name}->"] = _Open("fan_out", name, (key,))
    return _with_neighbours(units)


@dataclass
class _Open:
    """A unit whose operations and neighbours are not all known yet."""

    role: Role
    node: str
    reads: tuple[str, ...]
    operations: list[str] = field(default_factory=list)


def _role(node: Node) -> Role:
    if node.width_rule is WidthRule.LAST:
        return "attention"
    ends = node.width_rule in (WidthRule.FIXED, WidthRule.CHOSEN) and node.sources
    return "fixed" if ends else node.drawn_as


def _with_neighbours(units: Mapping[str, _Open]) -> dict[str, Unit]:
    following: dict[str, list[str]] = {key: [] for key in units}
    for key, unit in units.items():
        if unit.role not in _PLAIN:
            for source in unit.reads:
                following[source].append(key)
    return {
        key: Unit(
            key,
            unit.role,
            unit.node,
            tuple(unit.operations),
            unit.reads,
            previous=tuple(source for source in unit.reads if units[source].role not in _PLAIN),
            next=tuple(following[key]),
        )
        for key, unit in units.items()
    }
