"""The base of all edits, their result, and the functions that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gromo_graph.errors import GraphError
from gromo_graph.graph.growth_edits import free_name
from gromo_graph.spec.kinds import Node
from gromo_graph.spec.model import Spec
from gromo_graph.spec.wording import Suggester, shown

Start = Literal["zero", "identity"]
"""The first weights of a new layer that leave the function of a network as it is."""

NodeLike = Mapping[str, Any] | Node
"""A node as it stands in a document, or as a model."""


def map_of(name: str, written: Mapping[str, Any]) -> Mapping[str, Any]:
    """The map that describes a node.

    Raises:
        GraphError: it is none.
    """
    if not isinstance(written, Mapping):
        raise GraphError(f"`{name}`: found {written!r}, expected a map such as {{kind: linear}}")
    return written


@dataclass(frozen=True)
class Edited:
    """The result of an edit.

    Attributes:
        renamed: the old name of each node that has a new one. starts: first weights of new layers.
        copies: of each node that is a copy, the old name of the node whose weights it has.
        added: nodes that were not there before, even if an old node had the same name.
    """

    spec: Spec
    renamed: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, Start] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    added: frozenset[str] = frozenset()


class SpecEdit:
    """Base of the edits: a change of a spec that may be one of several."""

    def edited(self, spec: Spec) -> Edited:
        """The spec after the edit, and the names and first weights that a live network needs.

        Raises:
            GraphError, SpecError: it is not possible.
        """
        raise NotImplementedError

    def spec_of(self, spec: Spec) -> Spec:
        """The spec after it."""
        return self.edited(spec).spec


def then(first: Edited, second: Edited) -> Edited:
    """Two edits as one: names, first weights and copies are those of the end.

    Args:
        first: everything so far. second: one edit of its spec.
    """
    middle = dict(_kept(first, second))
    added = {name for name in second.spec.nodes if name not in middle or middle[name] in first.added}
    before = {name: first.renamed.get(kept, kept) for name, kept in middle.items() if name not in added}
    copies = {name: first.copies[kept] for name, kept in middle.items() if kept in first.copies}
    starts = {name: first.starts[kept] for name, kept in middle.items() if kept in first.starts}
    for name, of in second.copies.items():
        if of in first.starts:
            starts[name] = first.starts[of]
        if of in first.copies or of not in first.added:  # what is new itself has no weights to copy yet
            copies[name] = first.copies.get(of, first.renamed.get(of, of))
    renamed = {new: old for new, old in before.items() if new != old}
    return Edited(second.spec, renamed, {**starts, **second.starts}, copies, frozenset(added))


def _kept(first: Edited, second: Edited) -> Iterator[tuple[str, str]]:
    """The nodes that a second edit keeps: the name that each has at the end, and the one it had before that edit."""
    moved = set(second.renamed.values())
    for name in second.spec.nodes:
        if name in second.renamed:
            yield name, second.renamed[name]
        elif name in first.spec.nodes and name not in moved and name not in second.added:
            yield name, name


def node_named(spec: Spec, name: str) -> Node:
    if name not in spec.nodes:
        made = [node for node, origin in spec.origins.items() if origin.use == name and node in spec.nodes]
        if made:
            block = spec.origins[made[0]].block
            raise GraphError(
                f"`{name}` is a use of the block `{block}`: name one of its nodes, {listed_names(made)}"
            )
        hint = Suggester().hint(str(name), list(spec.nodes), "nodes")
        raise GraphError(f"unknown node `{name}`: {hint}")
    return spec.nodes[name]


def reader_of(spec: Spec, source: str, target: str) -> Node:
    """The node `target`.

    Raises:
        GraphError: one of the two is missing, or it does not read `source`.
    """
    node_named(spec, source)
    node = node_named(spec, target)
    if source not in node.sources:
        raise GraphError(f"`{target}` does not read `{source}`: it reads {listed_names(node.sources)}")
    return node


def check_free(spec: Spec, name: str) -> None:
    if not isinstance(name, str):
        raise GraphError(f"found {shown(name)} as the name of a node, expected text")
    if name in spec.nodes:
        raise GraphError(f"there is a node `{name}` already: `{free_name(spec, name)}` is free")


def with_node(spec: Spec, name: str, node: Node) -> Spec:
    return replace(spec, nodes={**spec.nodes, name: node})


def inserted(nodes: Mapping[str, Node], name: str, node: Node, *, after: str | None) -> dict[str, Node]:
    if after is None:
        return {name: node, **nodes}
    found: dict[str, Node] = {}
    for other, old in nodes.items():
        found[other] = old
        if other == after:
            found[name] = node
    return found


def last_of(spec: Spec, sources: Sequence[str]) -> str | None:
    """The one of some nodes that stands last in the document; the last input, or the last node, if none is there."""
    found = [name for name in spec.nodes if name in sources]
    if found:
        return found[-1]
    inputs = spec.inputs
    return inputs[-1] if inputs and not sources else next(reversed(list(spec.nodes)), None)


def listed_names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def names_of(names: Sequence[str]) -> Sequence[str]:
    """A sequence of names; a single name given as text is one of them."""
    return (names,) if isinstance(names, str) else names
