"""Edits as values: `apply(spec, edit) -> spec`, pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from gromo_graph.amounts import amount
from gromo_graph.errors import GraphError
from gromo_graph.graph.widths import Selection, WidthGroup
from gromo_graph.spec.kinds import Layer, Merge, Node
from gromo_graph.spec.model import Spec


class Edit(Protocol):
    """A change of a spec."""

    def spec_of(self, spec: Spec) -> Spec:
        """The spec after the edit; the given one is left as it was.

        Raises:
            GraphError: the edit is not possible.
        """


def apply(spec: Spec, edit: Edit) -> Spec:
    """The spec after the edit; the given one is left as it was.

    Raises:
        GraphError: the edit is not possible.
    """
    return edit.spec_of(spec)


@dataclass(frozen=True)
class _Resize:
    """Another number of features for every producer of one width group.

    Attributes:
        producers: the layers that get other widths. neurons: how many features each of them gains or loses.
        operations: nodes that the features pass through; those that depend on the width change with it (group norms).
        matches: nodes that compare the features of two layers (attentions); they compute the same of old features.
        selections: nodes that take features by their numbers; they go on taking the same ones.
    """

    producers: tuple[str, ...]
    neurons: int
    operations: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    selections: tuple[Selection, ...] = ()

    def _resized(self, spec: Spec, change: int, verb: str) -> Spec:
        if self.neurons < 1:
            raise GraphError(f"a group can be {verb} by 1 feature or more, found {self.neurons}")
        nodes, before = dict(spec.nodes), 0
        for name in self.producers:
            node = nodes.get(name)
            if not isinstance(node, Layer):
                raise GraphError(f"the width of `{name}` cannot change: it is no layer of this spec")
            before = node.features
            if before + change < 1:
                raise GraphError(
                    f"`{name}` has {amount(before, 'feature')}: {-change} cannot be taken from them"
                )
            nodes[name] = node.model_copy(update={"features": before + change})
        for name in (*self.operations, *self.matches):
            _check_known(spec, name)
        nodes |= {name: nodes[name].widened(before, change) for name in self.operations}
        nodes |= {name: nodes[name].matched_by(before) for name in self.matches}
        return replace(spec, nodes=nodes)


class Widen(_Resize):
    """Every producer of one width group gets `neurons` more features."""

    def spec_of(self, spec: Spec) -> Spec:
        """The spec with wider nodes."""
        moved = {each.node: each.widened(spec, self.neurons) for each in self.selections}
        return _with_nodes(self._resized(spec, self.neurons, "widened"), moved)


@dataclass(frozen=True)
class Narrow(_Resize):
    """Every producer of one width group loses `neurons` features.

    Attributes:
        gone: their numbers, if they are known: then nodes that take other features by number go on taking these.
    """

    gone: tuple[int, ...] = ()

    def spec_of(self, spec: Spec) -> Spec:
        """The spec with narrower nodes."""
        moved = {each.node: each.without(spec, self.gone) for each in self.selections}
        return _with_nodes(self._resized(spec, -self.neurons, "narrowed"), moved)


def _with_nodes(spec: Spec, nodes: Mapping[str, Node]) -> Spec:
    return replace(spec, nodes={**spec.nodes, **nodes})


def _check_known(spec: Spec, name: str) -> None:
    if name not in spec.nodes:
        raise GraphError(f"`{name}` is no node of this spec")


def widening(group: WidthGroup, neurons: int) -> Widen:
    """The edit that adds `neurons` features to a group."""
    return Widen(group.producers, neurons, group.operations, group.matches, group.selections)


def narrowing(group: WidthGroup, neurons: int, gone: Collection[int] = ()) -> Narrow:
    """The edit that takes `neurons` features from a group.

    Args:
        gone: their numbers, if they are known.
    """
    return Narrow(group.producers, neurons, group.operations, group.matches, group.selections, tuple(gone))


class NewNodes(Protocol):
    """An edit that adds nodes.

    Attributes:
        nodes: the new ones with weights by name, each after those it reads.
    """

    @property
    def nodes(self) -> tuple[tuple[str, Node], ...]: ...

    def spec_of(self, spec: Spec) -> Spec:
        """The spec after the edit."""


@dataclass(frozen=True)
class AddPath:
    """New nodes on a way from `source` into the sum that `target` is, or is made.

    A target that is a layer becomes the layer `target.linear` without its activation, and the sum `target` that takes
    the activation and adds up that layer and the new one: whoever reads the target goes on reading it.

    Attributes:
        source, target: where it begins and ends. nodes: the new nodes by name, each after those it reads; the last one
            enters the sum.
    """

    source: str
    target: str
    nodes: tuple[tuple[str, Node], ...]

    def spec_of(self, spec: Spec) -> Spec:
        """The spec with the new nodes just before the target."""
        _check_known(spec, self.source)
        _check_known(spec, self.target)
        new: dict[str, Node] = {}
        for name, node in self.nodes:
            if name in spec.nodes or name in new:
                raise GraphError(f"there is a node `{name}` already")
            new[name] = node
        last = next(reversed(new))
        nodes: dict[str, Node] = {}
        for name, node in spec.nodes.items():
            nodes |= {**_as_sum(spec, name, node, new, last)} if name == self.target else {name: node}
        return replace(spec, nodes=nodes)


def _as_sum(spec: Spec, name: str, node: Node, new: Mapping[str, Node], last: str) -> Mapping[str, Node]:
    """The target as a sum that `last` enters too, with what it needs before it."""
    if isinstance(node, Merge) and node.merge == "sum":
        return {**new, name: node.model_copy(update={"sources": (*node.sources, last)})}
    if not isinstance(node, Layer):
        raise GraphError(f"`{name}` can take no new edge: expected a layer or a sum")
    own = linear_name(spec, name)
    if own in new:
        raise GraphError(f"`{own}` is the name that the layer `{name}` gets: give the new layer another one")
    merge = Merge(sources=(own, last), activation=node.activation)
    return {own: node.model_copy(update={"activation": "identity"}), **new, name: merge}


def linear_name(spec: Spec, name: str) -> str:
    """The name that the layer `name` gets if a sum takes its own."""
    return free_name(spec, f"{name}.linear")


def free_name(spec: Spec, name: str) -> str:
    """The name itself, or with the first number behind it that no node has."""
    taken, number = name, 1
    while taken in spec.nodes:
        number += 1
        taken = f"{name}.{number}"
    return taken
