"""Edits of single nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gromo_graph.arguments import checked
from gromo_graph.errors import GraphError
from gromo_graph.graph.edits.base import (
    Edited,
    NodeLike,
    SpecEdit,
    check_free,
    inserted,
    last_of,
    map_of,
    names_of,
    node_named,
    with_node,
)
from gromo_graph.graph.growth_edits import narrowing, widening
from gromo_graph.graph.view import build_graph
from gromo_graph.spec.fragments import EDIT, node_of, with_values
from gromo_graph.spec.kinds import Input, Layer, Node
from gromo_graph.spec.model import Spec


@checked
@dataclass(frozen=True)
class AddNode(SpecEdit):
    """A new node, put behind the last one that it reads; `read_by` are nodes that read it from then on too."""

    name: str
    node: NodeLike
    read_by: Sequence[str] = ()

    def edited(self, spec: Spec) -> Edited:
        """The node must be new."""
        check_free(spec, self.name)
        node = node_of(self.name, self.node, document=EDIT)
        nodes = inserted(spec.nodes, self.name, node, after=last_of(spec, node.sources))
        for reader in names_of(self.read_by):
            old = node_named(spec, reader)
            nodes[reader] = old.model_copy(update={"sources": (*old.sources, self.name)})
        return Edited(replace(spec, nodes=nodes))


@checked
@dataclass(frozen=True)
class RemoveNode(SpecEdit):
    """Take a node out. What read it reads what it read; a merge just loses it."""

    name: str

    def edited(self, spec: Spec) -> Edited:
        """The network must still have an output, and each reader something to read."""
        gone = node_named(spec, self.name)
        nodes: dict[str, Node] = {}
        for name, node in spec.nodes.items():
            if name != self.name:
                nodes[name] = _without(name, node, self.name, gone.sources)
        outputs = _replaced_outputs(spec, self.name, gone.sources)
        return Edited(replace(spec, nodes=nodes, outputs=outputs))


def _without(name: str, node: Node, gone: str, instead: Sequence[str]) -> Node:
    if gone not in node.sources:
        return node
    left = tuple(source for source in node.sources if source != gone)
    if node.source_names or not left:
        if len(instead) != 1:
            what = "in a place that must be taken" if node.source_names else "and nothing else"
            raise GraphError(f"`{name}` reads `{gone}` {what}: take `{name}` out first, or connect it anew")
        left = tuple(instead[0] if source == gone else source for source in node.sources)
    return node.model_copy(update={"sources": left})


def _replaced_outputs(spec: Spec, gone: str, instead: Sequence[str]) -> tuple[str, ...]:
    if gone not in spec.outputs:
        return spec.outputs
    left = tuple(name for name in spec.outputs if name != gone)
    if left:
        return left
    if len(instead) != 1:
        raise GraphError(f"`{gone}` is the only output: give the network another one first")
    return tuple(instead)


@checked
@dataclass(frozen=True)
class RenameNode(SpecEdit):
    """Another name for a node, wherever it is read."""

    old: str
    new: str

    def edited(self, spec: Spec) -> Edited:
        """The new name must be free."""
        node_named(spec, self.old)
        check_free(spec, self.new)
        nodes = {}
        for name, node in spec.nodes.items():
            sources = tuple(self._name(source) for source in node.sources)
            kept = node if sources == node.sources else node.model_copy(update={"sources": sources})
            nodes[self._name(name)] = kept
        outputs = tuple(self._name(name) for name in spec.outputs)
        origins = {self._name(name): origin for name, origin in spec.origins.items()}
        renamed = replace(spec, nodes=nodes, outputs=outputs, origins=origins)
        return Edited(renamed, renamed={self.new: self.old})

    def _name(self, name: str) -> str:
        return self.new if name == self.old else name


@checked
@dataclass(frozen=True)
class SetFeatures(SpecEdit):
    """Another width of a layer, and of all layers that must be as wide."""

    name: str
    features: int

    def edited(self, spec: Spec) -> Edited:
        """The node must be a layer."""
        node = node_named(spec, self.name)
        if not isinstance(node, Layer):
            raise GraphError(f"`{self.name}` is a {node.kind}, which has no features of its own")
        changed = with_values(node, {"features": self.features}, ("nodes", self.name), document=EDIT)
        try:
            group = build_graph(spec).group_of(self.name)
        except GraphError:  # in the middle of several edits: the check of all of them says what does not fit
            return Edited(with_node(spec, self.name, changed))
        change = changed.features - node.features
        if change == 0:
            return Edited(spec)
        edit = widening(group, change) if change > 0 else narrowing(group, -change)
        return Edited(edit.spec_of(spec))


@checked
@dataclass(frozen=True)
class SetOptions(SpecEdit):
    """Other options of a node: `{"activation": "gelu", "grow": {"max": 64}}`; None for the default."""

    name: str
    options: Mapping[str, Any]

    def edited(self, spec: Spec) -> Edited:
        """They must be options of the node's kind."""
        node = node_named(spec, self.name)
        if "kind" in self.options:
            raise GraphError(f"the kind of `{self.name}` is no option: replace the node (ReplaceLayer)")
        return Edited(
            with_node(spec, self.name, with_values(node, self.options, ("nodes", self.name), document=EDIT))
        )


@checked
@dataclass(frozen=True)
class ReplaceLayer(SpecEdit):
    """Another node under the same name; without `from` it reads what the old one read."""

    name: str
    node: NodeLike

    def edited(self, spec: Spec) -> Edited:
        """The node must be there."""
        old = node_named(spec, self.name)
        written = self.node
        if (
            not isinstance(written, Node)
            and "from" not in map_of(self.name, written)
            and not isinstance(old, Input)
        ):
            written = {**written, "from": list(old.sources)}
        return Edited(with_node(spec, self.name, node_of(self.name, written, document=EDIT)))
