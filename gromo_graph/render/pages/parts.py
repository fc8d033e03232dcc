"""One state of a network as the inspector shows it: plain values of each node and edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gromo_graph.graph import Graph, obstacle
from gromo_graph.graph.diff import options_of
from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.node_words import details_of, growable, kind_words, mark_of, output_amount
from gromo_graph.render.drawing.text import clean, shortened
from gromo_graph.render.drawing.trunk import Trunk, trunk_of
from gromo_graph.render.numbers import shape
from gromo_graph.render.placing.parsed_drawing import PartKey

NAME_EMS = 17.0
"""The greatest length of a name in a drawing."""

Values = dict[str, Any]
"""The values of a node or edge in one state."""


@dataclass(frozen=True)
class Parts:
    """The nodes and edges of one state.

    Attributes:
        nodes, edges: their values. ends: of the edges. trunk: of the network.
    """

    nodes: Mapping[PartKey, Values]
    edges: Mapping[PartKey, Values]
    ends: Mapping[PartKey, tuple[PartKey, PartKey]]
    trunk: Trunk


def parts_of(graph: Graph) -> Parts:
    """The state of a graph."""
    ends: dict[PartKey, tuple[PartKey, PartKey]] = {}
    edges = dict(_edges(graph, ends))
    return Parts(dict(_nodes(graph)), edges, ends, trunk_of(graph))


def _nodes(graph: Graph) -> Iterable[tuple[PartKey, Values]]:
    limits = dict(growable(graph))
    groups = {name: group for group in graph.groups for name in group.producers}
    for name, node in graph.spec.nodes.items():
        state: Values = {
            "role": node.drawn_as,
            "kind": node.kind,
            "words": kind_words(graph, name),
            "shape": list(graph.shapes[name]),
            "parameters": graph.parameters(name),
            "madds": graph.madds(name),
            "options": options_of(node),
        }
        if node.symbol:
            state["symbol"] = node.symbol
        if name in limits:
            state["mark"] = mark_of(limits[name])
        if (group := groups.get(name)) is not None:
            state["group"] = list(group.producers)
            if name not in limits:
                state["fixed"] = obstacle(graph, group) or "it is as wide as its max"
        yield ("node", name), state
    for name in graph.spec.outputs:
        yield (
            ("output", name),
            {
                "role": "output",
                "kind": "output",
                "words": output_amount(graph, name),
                "shape": list(graph.shapes[name]),
                "parameters": 0,
                "madds": 0,
                "options": {},
                **({"named": True} if graph.spec.named_outputs else {}),
            },
        )


def _edges(graph: Graph, ends: dict[PartKey, tuple[PartKey, PartKey]]) -> Iterable[tuple[PartKey, Values]]:
    """The edges, those into the boxes of outputs too; `ends` learns what they lead from and to."""
    captions = {
        name: " · ".join((shortened(clean(name), NAME_EMS), *details_of(node)))
        for name, node in graph.spec.nodes.items()
        if node.drawn_as == "merge"
    }
    outputs = [(f"{name}->", name, ("output", name)) for name in graph.spec.outputs]
    inner = [(edge.id, edge.source, ("node", edge.target)) for edge in graph.edges]
    for name, source, target in (*inner, *outputs):
        ends["edge", name] = ("node", source), target
        state: Values = {
            "words": shape(graph.shapes[source]),
            "thick": style.thickness(graph.features(source)),
        }
        if caption := captions.pop(source, ""):  # a merge is too small for its name
            state["caption"] = caption
        yield ("edge", name), state
