"""Where boxes and the lines between them go: one layout by Graphviz, of sizes alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import graphviz

from gromo_graph.render.drawing.graphviz import reading
from gromo_graph.render.placing.parsed_drawing import PartKey
from gromo_graph.render.placing.splines import Point, points_of, towards

INCH = 72.0


@dataclass(frozen=True)
class NodeSize:
    """What a node needs, in points; a circle as wide as high."""

    width: float
    height: float
    circle: bool = False


@dataclass(frozen=True)
class EdgeSize:
    """What an edge needs: its ends, and room for its label, in points."""

    tail: PartKey
    head: PartKey
    width: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class NodePlace:
    """Where a node is: its centre, and its box, in points; y grows upwards."""

    centre: Point
    width: float
    height: float

    def rim(self, diameter: float, side: Point) -> Point | None:
        """Where a line from that side meets a circle in this place; None where the circle fills it."""
        if max(self.width, self.height) < diameter + 1:
            return None
        return towards(self.centre, side, diameter / 2)


@dataclass(frozen=True)
class Route:
    """How an edge goes: its spline from the tail's place to the head's, and the centre of its label."""

    points: tuple[Point, ...]
    label: Point | None


@dataclass(frozen=True)
class Placement:
    """Where everything is.

    Attributes:
        corners: the least and the greatest x and y of anything, in points; handles of splines count.
        ids: of nodes and edges, for DOT and SVG.
    """

    corners: tuple[Point, Point]
    nodes: Mapping[PartKey, NodePlace]
    edges: Mapping[PartKey, Route]
    ids: Mapping[PartKey, str]


def lay_out(
    boxes: Mapping[PartKey, NodeSize], wires: Mapping[PartKey, EdgeSize], attributes: Mapping[str, str]
) -> Placement:
    """The layout; nodes that come first are first where it is a matter of taste.

    Args:
        boxes, wires: by what they stand for. attributes: of the graph (`rankdir`, `nodesep`, `ranksep`).

    Raises:
        RenderError: Graphviz refused.

    >>> boxes = {("node", "a"): NodeSize(40, 20), ("node", "b"): NodeSize(30, 20)}
    >>> wires = {("edge", "a->b"): EdgeSize(("node", "a"), ("node", "b"))}
    >>> found = lay_out(boxes, wires, {"rankdir": "LR"})
    >>> found.ids["edge", "a->b"], found.nodes["node", "a"].centre[0]
    ('e0', 20.0)
    """
    ids = {key: f"{key[0][0]}{index}" for index, key in enumerate(boxes)}
    ids |= {key: f"e{index}" for index, key in enumerate(wires)}
    out = graphviz.Digraph(graph_attr=dict(attributes))
    for key, box in boxes.items():
        shape = "circle" if box.circle else "box"
        out.node(ids[key], label="", shape=shape, **size_of(box.width, box.height))
    for key, wire in wires.items():
        out.edge(ids[wire.tail], ids[wire.head], id=ids[key], arrowhead="none", **_label(wire))
    with reading(out.source, "dot") as found:
        left, bottom, right, top = (float(value) for value in found.graph_attr["bb"].split(","))
        points = {str(node): points_of(node.attr["pos"])[0] for node in found.nodes()}
        routes = {edge.attr["id"]: _route(edge.attr) for edge in found.edges()}
    nodes = {key: NodePlace(points[ids[key]], box.width, box.height) for key, box in boxes.items()}
    edges = {key: routes[ids[key]] for key in wires}
    handles = [point for route in routes.values() for point in route.points]
    outermost = [(left, bottom), (right, top), *handles]
    return Placement((_least(outermost), greatest(outermost)), nodes, edges, ids)


def size_of(width: float, height: float) -> dict[str, str]:
    """The attributes of a node of this size, in points."""
    return {"fixedsize": "true", "width": f"{width / INCH:.5f}", "height": f"{height / INCH:.5f}"}


def greatest(points: Iterable[Point]) -> Point:
    """The greatest x and the greatest y."""
    x, y = zip(*points, strict=True)
    return max(x), max(y)


def _least(points: Iterable[Point]) -> Point:
    x, y = zip(*points, strict=True)
    return min(x), min(y)


def _label(wire: EdgeSize) -> dict[str, str]:
    """A label that only keeps its place."""
    if not wire.width:
        return {}
    size = f'FIXEDSIZE="TRUE" WIDTH="{round(wire.width + 0.5)}" HEIGHT="{round(wire.height + 0.5)}"'
    table = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"'
    return {"label": f"<<TABLE {table}><TR><TD {size}></TD></TR></TABLE>>"}


def _route(attributes: Any) -> Route:
    label = attributes["lp"]
    return Route(points_of(attributes["pos"]), points_of(label)[0] if label else None)
