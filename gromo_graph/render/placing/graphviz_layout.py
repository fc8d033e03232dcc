"""Places for boxes and the lines between them: one layout by Graphviz, from sizes alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import graphviz

from gromo_graph.render.drawing.frames import Frame, add_frames, cluster_name
from gromo_graph.render.drawing.graphviz import reading
from gromo_graph.render.placing.parsed_drawing import PartKey
from gromo_graph.render.placing.splines import Point, points_of, towards

INCH = 72.0


@dataclass(frozen=True)
class NodeSize:
    """The room that a node needs, in points; a circle is as wide as high. Nodes on the trunk form a straight line."""

    width: float
    height: float
    circle: bool = False
    on_trunk: bool = False


@dataclass(frozen=True)
class EdgeSize:
    """The room that an edge needs: its ends, and the size of its label, in points; a greater weight is straighter."""

    tail: PartKey
    head: PartKey
    width: float = 0.0
    height: float = 0.0
    weight: str = ""


@dataclass(frozen=True)
class NodePlace:
    """The place of a node: its centre, and its box, in points; y grows upwards."""

    centre: Point
    width: float
    height: float

    def rim(self, diameter: float, side: Point) -> Point | None:
        """The point at which a line from that side meets a circle in this place; None if the circle fills it."""
        if max(self.width, self.height) < diameter + 1:
            return None
        return towards(self.centre, side, diameter / 2)


@dataclass(frozen=True)
class Route:
    """The course of an edge: its spline from the tail's place to the head's, and the centre of its label."""

    points: tuple[Point, ...]
    label: Point | None


@dataclass(frozen=True)
class Placement:
    """The places of everything.

    Attributes:
        corners: the least and the greatest x and y of anything, in points; handles of splines count.
        ids: of nodes and edges, for DOT and SVG.
        frames: the least and the greatest x and y of each frame, by its name.
    """

    corners: tuple[Point, Point]
    nodes: Mapping[PartKey, NodePlace]
    edges: Mapping[PartKey, Route]
    ids: Mapping[PartKey, str]
    frames: Mapping[str, tuple[Point, Point]]


def lay_out(
    boxes: Mapping[PartKey, NodeSize],
    wires: Mapping[PartKey, EdgeSize],
    attributes: Mapping[str, str],
    frames: Sequence[Frame] = (),
) -> Placement:
    """The layout; Graphviz puts nodes that come first before others if nothing else decides.

    Args:
        boxes, wires: by what they stand for. attributes: of the graph (`rankdir`, `nodesep`, `ranksep`).
        frames: that keep other nodes out.

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
        group = {"group": "trunk"} if box.on_trunk else {}
        out.node(ids[key], label="", shape=shape, **size_of(box.width, box.height), **group)
    for key, wire in wires.items():
        weight = {"weight": wire.weight} if wire.weight else {}
        out.edge(ids[wire.tail], ids[wire.head], id=ids[key], arrowhead="none", **_label(wire), **weight)
    by_name = {name: ids[what, name] for what, name in boxes if what == "node"}
    add_frames(out, frames, by_name)
    with reading(out.source, "dot") as found:
        left, bottom, right, top = (float(value) for value in found.graph_attr["bb"].split(","))
        points = {str(node): points_of(node.attr["pos"])[0] for node in found.nodes()}
        routes = {edge.attr["id"]: _route(edge.attr) for edge in found.edges()}
        framed = dict(_corners_of_frames(found, frames, by_name))
    nodes = {key: NodePlace(points[ids[key]], box.width, box.height) for key, box in boxes.items()}
    edges = {key: routes[ids[key]] for key in wires}
    corners = corners_of(nodes, edges)
    outermost = [(left, bottom), (right, top), *corners]
    return Placement((_least(outermost), greatest(outermost)), nodes, edges, ids, framed)


def corners_of(nodes: Mapping[PartKey, NodePlace], edges: Mapping[PartKey, Route]) -> tuple[Point, Point]:
    """The least and the greatest x and y of nodes and edges; handles of splines count."""
    points = [point for route in edges.values() for point in route.points]
    for place in nodes.values():
        x, y = place.centre
        points += [(x - place.width / 2, y - place.height / 2), (x + place.width / 2, y + place.height / 2)]
    return _least(points), greatest(points)


def _corners_of_frames(
    graph: Any, frames: Sequence[Frame], ids: Mapping[str, str]
) -> Iterator[tuple[str, tuple[Point, Point]]]:
    """The frames with their least and greatest x and y, read from the laid-out graph."""
    for frame in frames:
        cluster = graph.get_subgraph(cluster_name(frame, ids))
        left, bottom, right, top = (float(value) for value in cluster.graph_attr["bb"].split(","))
        yield frame.name, ((left, bottom), (right, top))
        yield from _corners_of_frames(cluster, frame.inner, ids)


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
