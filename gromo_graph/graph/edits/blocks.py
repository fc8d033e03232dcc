"""Copies of whole parts of a network."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gromo_graph.arguments import checked
from gromo_graph.errors import GraphError
from gromo_graph.graph.edits.base import (
    Edited,
    SpecEdit,
    Start,
    check_free,
    inserted,
    listed_names,
    names_of,
    node_named,
)
from gromo_graph.spec.kinds import Merge, Node
from gromo_graph.spec.model import Spec


@checked
@dataclass(frozen=True)
class DuplicateBlock(SpecEdit):
    """A copy of some nodes behind them: it reads their last one, and what read that reads the copy.

    The copies are called `prefix` and the old name. Where the nodes are a residual block (they end in a sum that reads
    what the block reads), the layers that enter the sum begin with weights of 0, so that the copy is the identity.
    """

    names: Sequence[str]
    prefix: str = "copy."

    def edited(self, spec: Spec) -> Edited:
        """The nodes must have one entry and one exit."""
        for name in names_of(self.names):
            check_free(spec, self.prefix + str(node_named(spec, name) and name))
        names = [name for name in spec.nodes if name in set(names_of(self.names))]
        if not names:
            raise GraphError("a block has one node at least: name those to copy")
        entry, end = entry_of(spec, names), exit_of(spec, names)
        new = {name: self.prefix + name for name in names}
        starts = dict(self._starts(spec, names, entry, end))
        copies = {copy: name for name, copy in new.items()}
        return Edited(copied_behind(spec, new, entry, end), starts=starts, copies=copies)

    def _starts(self, spec: Spec, names: Sequence[str], entry: str, end: str) -> Iterator[tuple[str, Start]]:
        last = spec.nodes[end]
        if isinstance(last, Merge) and last.merge == "sum" and entry in last.sources:
            yield from ((self.prefix + source, "zero") for source in last.sources if source in names)


def copied_behind(spec: Spec, names: Mapping[str, str], entry: str, end: str) -> Spec:
    """The spec with a copy of some nodes right behind the last of them: the copy reads it, and its readers the copy.

    Args:
        names: of the copies, by those of the nodes. entry: the node that the nodes read. end: the one that is read.
    """
    nodes: dict[str, Node] = {}
    for name, node in spec.nodes.items():
        reads_end = end in node.sources and name not in names
        nodes[name] = _reading(node, {end: names[end]}) if reads_end else node
    at = end
    for name, copy in names.items():
        nodes = inserted(nodes, copy, _reading(spec.nodes[name], {**names, entry: end}), after=at)
        at = copy
    return replace(
        spec, nodes=nodes, outputs=tuple(names[end] if name == end else name for name in spec.outputs)
    )


def _reading(node: Node, names: Mapping[str, str]) -> Node:
    return node.model_copy(update={"sources": tuple(names.get(source, source) for source in node.sources)})


def entry_of(spec: Spec, names: Collection[str]) -> str:
    """The one node that some nodes read.

    Raises:
        GraphError: they read others too, or none.
    """
    found = {source for name in names for source in spec.nodes[name].sources if source not in names}
    if len(found) != 1:
        raise GraphError(
            f"a block reads one node to be put behind itself, found {listed_names(sorted(found)) or 'none'}"
        )
    return found.pop()


def exit_of(spec: Spec, names: Collection[str]) -> str:
    """The one of some nodes that others read, or that is an output.

    Raises:
        GraphError: several are, or none is.
    """
    read = {source for name, node in spec.nodes.items() if name not in names for source in node.sources}
    found = [name for name in names if name in read or name in spec.outputs]
    if len(found) != 1:
        raise GraphError(f"a block is read at one node to be repeated, found {listed_names(found) or 'none'}")
    return found[0]
