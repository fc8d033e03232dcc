"""Fixed places: the union of several drawings is laid out once, and every drawing is drawn in its places.

A node's place is as large as the largest of its boxes, so that it also holds what the node becomes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Any

import graphviz

from gromo_graph.graph import Graph, build_graph
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Journal
from gromo_graph.render.dot import Drawing, Part, direction_of, to_dot
from gromo_graph.render.draw import draw_svg, reading
from gromo_graph.render.labels import Direction
from gromo_graph.render.sketch import Key, Sketch, Stroke, sketch_of
from gromo_graph.render.spline import Point, points_of, reaching, shortened_by, text_of, towards
from gromo_graph.spec import parse_spec

_INCH = 72.0
_LAYOUT = ("rankdir", "nodesep", "ranksep")
_CORNERS = {"shape": "point", "style": "invis", "width": "0.01", "height": "0.01", "fixedsize": "true"}


@dataclass(frozen=True)
class StepDrawing:
    """The drawing of a run before any growth (step 0), or after a growth step that was applied.

    Attributes:
        step, event: which; no event of step 0.
        graph: the network then.
        drawing: for `draw` and `draw_svg`, with all positions in it. An id stands for the same node in every step.
    """

    step: int
    event: GrowthEvent | None
    graph: Graph
    drawing: Drawing

    def svg(self, *, prefix: str = "") -> str:
        """The picture as SVG text; `prefix` stands before every id in it."""
        return draw_svg(self.drawing, prefix=prefix)


@dataclass(frozen=True)
class Place:
    """Where a node is: its centre, and a box as large as it ever is, in points; y grows upwards."""

    centre: Point
    width: float
    height: float


@dataclass(frozen=True)
class Route:
    """How an edge goes: its spline from the tail's place to the head's, and the centre of its label."""

    points: tuple[Point, ...]
    label: Point | None


@dataclass(frozen=True)
class Layout:
    """Where everything is that any of the drawings has.

    Attributes:
        corners: the least and the greatest x and y of anything, in points; handles of splines count.
        headings: the width and height of each heading, by its label; heading: of the largest.
        ids: of the nodes and edges in DOT and SVG.
    """

    corners: tuple[Point, Point]
    headings: Mapping[str, Point]
    heading: Point
    nodes: Mapping[Key, Place]
    edges: Mapping[Key, Route]
    ids: Mapping[Key, str]


def drawings_of_steps(journal: Journal, direction: Direction | None = None) -> list[StepDrawing]:
    """A drawing of every step that was applied, the first one before any growth; common nodes keep their places.

    Args:
        journal: of the run.
        direction: where the data flow; by default what fits the last step.

    Raises:
        SpecError: a spec in the journal is none (the journal is of a later version).
        RenderError: Graphviz refused.
    """
    steps = graphs_of_steps(journal)
    direction = direction or direction_of(steps[-1][1])
    drawings = [to_dot(graph, event, direction=direction) for event, graph in steps]
    return [
        StepDrawing(event.step if event else 0, event, graph, drawing)
        for (event, graph), drawing in zip(steps, at_fixed_places(drawings), strict=True)
    ]


def graphs_of_steps(journal: Journal) -> list[tuple[GrowthEvent | None, Graph]]:
    """The graph before any growth, with no event, and after each applied one."""
    first: list[tuple[GrowthEvent | None, str]] = [(None, journal.header.spec)]
    states = first + [(event, event.spec) for event in journal.applied]
    return [(event, build_graph(parse_spec(text))) for event, text in states]


def at_fixed_places(drawings: Sequence[Drawing]) -> list[Drawing]:
    """The drawings with positions in them, the same for what they have in common, and of one size.

    Raises:
        RenderError: Graphviz refused.
    """
    sketches = [_sketch(drawing) for drawing in drawings]
    layout = layout_of(sketches)
    arrows = _arrow_lengths(sketches)
    return [
        _placed(drawing, sketch, layout, arrows) for drawing, sketch in zip(drawings, sketches, strict=True)
    ]


def _sketch(drawing: Drawing) -> Sketch:
    with reading(drawing.dot) as source:
        return sketch_of(drawing, source)


def layout_of(sketches: Sequence[Sketch]) -> Layout:
    """The union of all, laid out once."""
    sizes = _sizes(sketches)
    # The last drawing goes first: it has most of the parts, and their order is the one that Graphviz sees.
    nodes = _largest([*sketches[::-1]], "nodes", sizes)
    edges = _largest([*sketches[::-1]], "edges", sizes)
    ids = {key: f"{key[0][0]}{index}" for index, key in enumerate(nodes)}
    ids |= {key: f"e{index}" for index, key in enumerate(edges)}
    last = sketches[-1].graph
    headings = {label: sizes[label] for each in sketches for label in [each.graph.get("label", "")]}
    out = graphviz.Digraph(graph_attr={name: last[name] for name in _LAYOUT if name in last})
    for key, (_, width, height) in nodes.items():
        circle = all(each.nodes[key]["shape"] == "circle" for each in sketches if key in each.nodes)
        out.node(ids[key], label="", shape="circle" if circle else "box", **_box(width, height))
    for key, (stroke, width, height) in edges.items():
        assert stroke.ends is not None
        tail, head = (ids[end] for end in stroke.ends)
        out.edge(tail, head, id=ids[key], arrowhead="none", **_empty(width, height))
    with reading(out.source, "dot") as found:
        left, bottom, right, top = (float(value) for value in found.graph_attr["bb"].split(","))
        box = [(left, bottom), (right, top)]
        places = {str(node): node.attr for node in found.nodes()}
        routes = {edge.attr["id"]: edge.attr for edge in found.edges()}
        found_nodes = {
            key: Place(points_of(places[ids[key]]["pos"])[0], width, height)
            for key, (_, width, height) in nodes.items()
        }
        found_edges = {key: _route(routes[ids[key]]) for key in edges}
    points = [*box, *(point for route in found_edges.values() for point in route.points)]
    corners = _least(points), _greatest(points)
    return Layout(corners, headings, _greatest(headings.values()), found_nodes, found_edges, ids)


def _route(attributes: Any) -> Route:
    label = attributes["lp"]
    return Route(points_of(attributes["pos"]), points_of(label)[0] if label else None)


def _largest(
    sketches: Sequence[Sketch], what: str, sizes: Mapping[str, Point]
) -> dict[Key, tuple[Stroke, float, float]]:
    """Each node or edge of any drawing, with the largest width and height it has (of an edge: its label)."""
    found: dict[Key, tuple[Stroke, float, float]] = {}
    for sketch in sketches:
        strokes: Mapping[Key, Stroke] = getattr(sketch, what)
        for key, stroke in strokes.items():
            width, height = sizes[_drawn(stroke)]
            first, *known = found.get(key, (stroke, 0.0, 0.0))
            found[key] = (first, max(width, known[0]), max(height, known[1]))
    return found


def _sizes(sketches: Sequence[Sketch]) -> dict[str, Point]:
    """How large every box, every label of an edge and every heading is, measured by Graphviz in one go."""
    samples: dict[str, dict[str, str]] = {"": {"shape": "point", "width": "0", "height": "0"}}
    for sketch in sketches:
        samples |= {_drawn(stroke): _measured(stroke) for stroke in sketch.nodes.values()}
        labels = [stroke["label"] for stroke in sketch.edges.values()]
        for label in (*labels, sketch.graph.get("label", "")):
            if label:
                samples[label] = {
                    "shape": "plain",
                    "label": label,
                    "fontname": sketch.graph.get("fontname", ""),
                }
    out = graphviz.Digraph()
    ids = {text: f"m{index}" for index, text in enumerate(samples)}
    for text, attributes in samples.items():
        out.node(ids[text], pos="0,0", **attributes)
    with reading(out.source, "nop") as found:
        nodes = {str(node): node.attr for node in found.nodes()}
        return {
            text: (float(nodes[ids[text]]["width"]) * _INCH, float(nodes[ids[text]]["height"]) * _INCH)
            if text
            else (0.0, 0.0)
            for text in samples
        }


def _drawn(stroke: Stroke) -> str:
    """What tells one box or label from another of a different size."""
    return stroke["label"] if stroke.ends else f"{stroke['shape']} {stroke['margin']} {stroke['label']}"


def _measured(stroke: Stroke) -> dict[str, str]:
    names = ("shape", "margin", "width", "height", "fixedsize", "fontname", "label")
    return {name: stroke[name] for name in names if stroke[name]}


def _least(points: Iterable[Point]) -> Point:
    x, y = zip(*points, strict=True)
    return min(x), min(y)


def _greatest(points: Iterable[Point]) -> Point:
    x, y = zip(*points, strict=True)
    return max(x), max(y)


def _box(width: float, height: float) -> dict[str, str]:
    return {"fixedsize": "true", "width": f"{width / _INCH:.5f}", "height": f"{height / _INCH:.5f}"}


def _empty(width: float, height: float) -> dict[str, str]:
    """A label of an edge that only keeps its place."""
    if not width:
        return {}
    cell = f'<TD FIXEDSIZE="TRUE" WIDTH="{round(width + 0.5)}" HEIGHT="{round(height + 0.5)}"></TD>'
    return {
        "label": f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR>{cell}</TR></TABLE>>'
    }


def _arrow_lengths(sketches: Sequence[Sketch]) -> dict[str, float]:
    """How long Graphviz makes an arrow for lines of each thickness: from the end of the line to the tip."""
    kinds = {_arrow(stroke): stroke for sketch in sketches for stroke in sketch.edges.values()}
    out = graphviz.Digraph(graph_attr={"rankdir": "LR"})
    for index, stroke in enumerate(kinds.values()):
        names = {name: stroke[name] for name in ("penwidth", "arrowsize") if stroke[name]}
        out.edge(f"a{index}", f"b{index}", id=f"e{index}", minlen="3", **names)
    with reading(out.source, "dot") as found:
        lengths = {}
        for edge in found.edges():
            tip, *points = edge.attr["pos"].split()
            (x, y), (tip_x, tip_y) = points_of(points[-1])[0], points_of(tip.removeprefix("e,"))[0]
            lengths[edge.attr["id"]] = hypot(x - tip_x, y - tip_y)
    return {kind: lengths[f"e{index}"] for index, kind in enumerate(kinds)}


def _arrow(stroke: Stroke) -> str:
    return f"{stroke['penwidth']} {stroke['arrowsize']}"


def _placed(drawing: Drawing, sketch: Sketch, layout: Layout, arrows: Mapping[str, float]) -> Drawing:
    """The drawing with all positions written into its DOT."""
    graph = {name: value for name, value in sketch.graph.items() if name not in _LAYOUT}
    if label := graph.get("label"):
        graph["label"] = _heading(label, layout.headings[label], layout.heading)
    out = graphviz.Digraph(graph_attr=graph)
    for index, (x, y) in enumerate(layout.corners):  # so that every picture has the same size and origin
        out.node(f"corner{index}", label="", pos=f"{x:.2f},{y:.2f}", **_CORNERS)
    parts: dict[str, Part] = {}
    for key, stroke in sketch.nodes.items():
        place, known = layout.nodes[key], layout.ids[key]
        x, y = place.centre
        size = {} if stroke["shape"] == "circle" else _box(place.width, place.height)
        out.node(known, **{**stroke.attributes, **size, "id": known, "pos": f"{x:.2f},{y:.2f}"})
        parts[known] = stroke.part
    for key, stroke in sketch.edges.items():
        known = layout.ids[key]
        assert stroke.ends is not None
        tail, head = (layout.ids[end] for end in stroke.ends)
        out.edge(
            tail, head, **{**stroke.attributes, "id": known, **_way(sketch, stroke, key, layout, arrows)}
        )
        parts[known] = stroke.part
    return replace(drawing, dot=out.source, parts=parts, engine="nop2")


def _way(
    sketch: Sketch, stroke: Stroke, key: Key, layout: Layout, arrows: Mapping[str, float]
) -> dict[str, str]:
    """Where an edge of one drawing goes: as in the layout, but to the circles that stand in larger places."""
    assert stroke.ends is not None
    route = layout.edges[key]
    start, end = (
        _rim(sketch.nodes[node], layout.nodes[node], route.points[at])
        for node, at in zip(stroke.ends, (0, -1), strict=True)
    )
    points = reaching(route.points, start, end)
    found = {"pos": text_of(shortened_by(points, arrows[_arrow(stroke)]), points[-1])}
    if route.label and stroke["label"]:
        found["lp"] = f"{route.label[0]:.2f},{route.label[1]:.2f}"
    return found


def _rim(stroke: Stroke, place: Place, touched: Point) -> Point | None:
    """Where an edge meets a circle that is smaller than its place; None where it already does."""
    if stroke["shape"] != "circle":
        return None
    radius = float(stroke["width"]) * _INCH / 2
    if max(place.width, place.height) < 2 * radius + 1:
        return None
    return towards(place.centre, touched, radius)


def _heading(label: str, size: Point, room: Point) -> str:
    """The heading with empty cells about it, as large as the largest one: the network below keeps its place."""
    beside = f'<TD WIDTH="{max(0, round(room[0] - size[0]))}"></TD>'
    below = f'<TR><TD HEIGHT="{max(0, round(room[1] - size[1]))}"></TD></TR>'
    return (
        '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">'
        f"<TR><TD>{label[1:-1]}</TD>{beside}</TR>{below}</TABLE>>"
    )
