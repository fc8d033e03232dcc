"""A drawing's DOT read back, with its parts by identity, so that several drawings can be compared.

Every label of our drawings is HTML-like: Graphviz hands it back without its outer brackets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gromo_graph.render.drawing.dot import Drawing, DrawnPart

PartKey = tuple[str, str]
"""The identity of a node or edge across drawings: `node`, `output` or `edge`, and its name."""

_WHAT = {"n": "node", "g": "node", "o": "output"}


@dataclass(frozen=True)
class ParsedPart:
    """A node or an edge of a drawing: its attributes as DOT has them, and what it stands for."""

    attributes: Mapping[str, str]
    part: DrawnPart

    def __getitem__(self, attribute: str) -> str:
        return self.attributes.get(attribute, "")


@dataclass(frozen=True)
class ParsedEdge(ParsedPart):
    """An edge of a drawing with the nodes at its ends."""

    ends: tuple[PartKey, PartKey]


@dataclass(frozen=True)
class ParsedDrawing:
    """A drawing read back."""

    graph: Mapping[str, str]
    nodes: dict[PartKey, ParsedPart]
    edges: dict[PartKey, ParsedEdge]


def parsed(drawing: Drawing, source: Any) -> ParsedDrawing:
    """`source`: the drawing's DOT as a pygraphviz graph."""
    keys = {
        dot_id: (_WHAT[dot_id[0]], part.name)
        for dot_id, part in drawing.parts.items()
        if dot_id[0] in _WHAT and not dot_id.endswith("w")
    }
    defaults = {"node": _plain(source.node_attr), "edge": _plain(source.edge_attr)}
    nodes = {
        keys[str(node)]: ParsedPart(defaults["node"] | _plain(node.attr), drawing.parts[str(node)])
        for node in source.nodes()
    }
    edges: dict[PartKey, ParsedEdge] = {}
    for edge in source.edges():
        attributes = defaults["edge"] | _plain(edge.attr)
        part = drawing.parts[attributes["id"]]
        edges["edge", part.name] = ParsedEdge(attributes, part, (keys[str(edge[0])], keys[str(edge[1])]))
    return ParsedDrawing(_plain(source.graph_attr), nodes, edges)


def _plain(attributes: Any) -> dict[str, str]:
    found = {key: value for key, value in attributes.iteritems() if value}
    if "label" in found:
        found["label"] = f"<{found['label']}>"
    return found
