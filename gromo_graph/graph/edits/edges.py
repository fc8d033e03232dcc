"""Edits of the edges between nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import networkx as nx

from gromo_graph.arguments import checked
from gromo_graph.errors import GraphError
from gromo_graph.graph.edits.base import (
    Edited,
    NodeLike,
    SpecEdit,
    Start,
    check_free,
    inserted,
    map_of,
    node_named,
    reader_of,
    with_node,
)
from gromo_graph.graph.paths import Bridge, bridges, new_edge
from gromo_graph.graph.view import Graph, build_graph
from gromo_graph.spec.fragments import EDIT, node_of
from gromo_graph.spec.kinds import KINDS, Layer, Merge, Node
from gromo_graph.spec.model import Spec


@checked
@dataclass(frozen=True)
class AddEdge(SpecEdit):
    """Let a node read one more.

    A concat gets it as its last part. Into a sum or a layer leads a new layer `source.to.target` with weights of 0; a
    layer becomes the sum `target` of `target.linear` and that one. With `direct` a sum adds the source itself.
    """

    source: str
    target: str
    direct: bool = False

    def edited(self, spec: Spec) -> Edited:
        """There must be a layer that leads from one to the other, and no way back."""
        node_named(spec, self.source)
        target = node_named(spec, self.target)
        if self.source in target.sources:
            raise GraphError(f"`{self.target}` reads `{self.source}` already")
        if isinstance(target, Merge) and (self.direct or target.merge == "concat"):
            sources = (*target.sources, self.source)
            return Edited(with_node(spec, self.target, target.model_copy(update={"sources": sources})))
        if self.direct:
            raise GraphError(f"`{self.target}` is no merge: only those read several nodes as they are")
        graph = build_graph(spec)
        found = [b for b in bridges(graph) if (b.source, b.target) == (self.source, self.target)]
        bridge = found[0] if found else None
        if not isinstance(bridge, Bridge):
            reason = _why_not(graph, self.source, self.target) if bridge is None else bridge.reason
            raise GraphError(f"no layer leads from `{self.source}` to `{self.target}`: {reason}")
        path = new_edge(graph, bridge)
        new = path.spec_of(spec)
        return Edited(new, _renamed_target(spec, new, self.target), {path.nodes[0][0]: "zero"})


def _renamed_target(old: Spec, new: Spec, target: str) -> Mapping[str, str]:
    """A layer that became a sum goes on under another name."""
    if isinstance(old.nodes[target], Merge):
        return {}
    moved = next(source for source in new.nodes[target].sources if source not in old.nodes)
    return {moved: target}


def _why_not(graph: Graph, source: str, target: str) -> str:
    if graph.spec.nodes[target].drawn_as not in ("layer", "merge"):
        return f"`{target}` is no layer and no sum"
    if source == target or source in nx.descendants(graph.digraph, target):
        return f"it would lead back: `{source}` reads `{target}`"
    return "an end of it just enters a sum: connect the sum"


@checked
@dataclass(frozen=True)
class RemoveEdge(SpecEdit):
    """Let a merge read one node less."""

    source: str
    target: str

    def edited(self, spec: Spec) -> Edited:
        """Something must be left to read."""
        target = reader_of(spec, self.source, self.target)
        left = tuple(source for source in target.sources if source != self.source)
        if not left:
            raise GraphError(
                f"`{self.target}` reads nothing else than `{self.source}`: take the node out instead"
            )
        return Edited(with_node(spec, self.target, target.model_copy(update={"sources": left})))


@checked
@dataclass(frozen=True)
class InsertBetween(SpecEdit):
    """A new node on an edge. A layer without `features` has those of the source, and begins as the identity."""

    source: str
    target: str
    name: str
    node: NodeLike

    def edited(self, spec: Spec) -> Edited:
        """The edge must be there."""
        check_free(spec, self.name)
        target = reader_of(spec, self.source, self.target)
        node = node_of(self.name, self._written(spec), document=EDIT)
        sources = tuple(self.name if source == self.source else source for source in target.sources)
        nodes = inserted(spec.nodes, self.name, node, after=self.source)
        nodes[self.target] = target.model_copy(update={"sources": sources})
        starts: Mapping[str, Start] = {self.name: "identity"}
        return Edited(replace(spec, nodes=nodes), starts=starts)

    def _written(self, spec: Spec) -> NodeLike:
        if isinstance(self.node, Node):
            return self.node.model_copy(update={"sources": (self.source,)})
        written = {**map_of(self.name, self.node), "from": self.source}
        kind = KINDS.get(str(written.get("kind")))
        takes_width = kind is not None and issubclass(kind, Layer) and not kind.reads_tokens
        if takes_width and "features" not in written:
            written["features"] = build_graph(spec).features(self.source)
        return written
