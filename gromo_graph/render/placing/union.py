"""Fixed places: the union of several drawings is laid out once, and every drawing is drawn in its places.

A node's place is as large as the largest of its boxes, so that it also holds what the node becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, hypot

import graphviz

from gromo_graph.graph import Graph, build_graph
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Journal
from gromo_graph.render.drawing.dot import Drawing, Part, direction_of, to_dot
from gromo_graph.render.drawing.graphviz import draw_svg, reading
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.render.drawing.look import Look
from gromo_graph.render.placing.layout import INCH, Box, Layout, Wire, greatest, lay_out, size_of
from gromo_graph.render.placing.sketch import Key, Sketch, Stroke, sketch_of
from gromo_graph.render.placing.spline import Point, points_of, reaching, shortened_by, text_of
from gromo_graph.spec import parse_spec

_LAYOUT = ("rankdir", "nodesep", "ranksep")
_CORNER = {"shape": "point", "style": "invis", "width": "0.01", "height": "0.01", "fixedsize": "true"}


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


def drawings_of_steps(
    journal: Journal, direction: Direction | None = None, *, look: Look | None = None
) -> list[StepDrawing]:
    """A drawing of every step that was applied, the first one before any growth; common nodes keep their places.

    Args:
        journal: of the run.
        direction: where the data flow; by default what fits the last step. look: how all of them are drawn.

    Raises:
        SpecError: a spec in the journal is none (the journal is of a later version).
        RenderError: Graphviz refused.
    """
    steps = graphs_of_steps(journal)
    direction = direction or (look.direction if look else None) or direction_of(steps[-1][1])
    drawings = [to_dot(graph, event, direction=direction, look=look) for event, graph in steps]
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
    sizes = _sizes(sketches)
    heading = greatest(sizes[_heading(sketch)] for sketch in sketches)
    union = _Union(_layout(sketches, sizes), sizes, _arrow_lengths(sketches), heading)
    return [union.placed(drawing, sketch) for drawing, sketch in zip(drawings, sketches, strict=True)]


def _sketch(drawing: Drawing) -> Sketch:
    with reading(drawing.dot) as source:
        return sketch_of(drawing, source)


def _layout(sketches: Sequence[Sketch], sizes: Mapping[str, Point]) -> Layout:
    boxes: dict[Key, Box] = {}
    wires: dict[Key, Wire] = {}
    # The last drawing goes first: it has most of the parts, and their order is the one that Graphviz sees.
    for sketch in reversed(sketches):
        for key, stroke in sketch.nodes.items():
            width, height = sizes[_looks(stroke)]
            known = boxes.get(key, Box(0, 0, circle=True))
            circle = known.circle and stroke["shape"] == "circle"
            boxes[key] = Box(max(width, known.width), max(height, known.height), circle)
        for key, stroke in sketch.edges.items():
            width, height = sizes[stroke["label"]]
            assert stroke.ends is not None
            wire = wires.get(key, Wire(*stroke.ends))
            wires[key] = Wire(*stroke.ends, max(width, wire.width), max(height, wire.height))
    last = sketches[-1].graph
    return lay_out(boxes, wires, {name: last[name] for name in _LAYOUT if name in last})


def _sizes(sketches: Sequence[Sketch]) -> dict[str, Point]:
    """How large every box, every label of an edge and every heading is, measured by Graphviz in one go."""
    samples: dict[str, Mapping[str, str]] = {}
    for sketch in sketches:
        samples |= {_looks(stroke): _measured(stroke) for stroke in sketch.nodes.values()}
        labels = [stroke["label"] for stroke in sketch.edges.values()]
        plain = {"shape": "plain", "fontname": sketch.graph.get("fontname", "")}
        samples |= {label: plain | {"label": label} for label in (*labels, _heading(sketch)) if label}
    out = graphviz.Digraph()
    ids = {text: f"m{index}" for index, text in enumerate(samples)}
    for text, attributes in samples.items():
        out.node(ids[text], pos="0,0", **attributes)
    with reading(out.source, "nop") as found:
        nodes = {str(node): node.attr for node in found.nodes()}
        measured = {
            text: (float(nodes[known]["width"]) * INCH, float(nodes[known]["height"]) * INCH)
            for text, known in ids.items()
        }
    return measured | {"": (0.0, 0.0)}


def _looks(stroke: Stroke) -> str:
    """What tells one box from another of a different size."""
    return f"{stroke['shape']} {stroke['margin']} {stroke['label']}"


def _measured(stroke: Stroke) -> dict[str, str]:
    names = ("shape", "margin", "width", "height", "fixedsize", "fontname", "label")
    return {name: stroke[name] for name in names if stroke[name]}


def _heading(sketch: Sketch) -> str:
    return sketch.graph.get("label", "")


def _arrow_lengths(sketches: Sequence[Sketch]) -> dict[str, float]:
    """How long Graphviz makes an arrow for lines of each thickness: from the end of the line to the tip."""
    kinds = {_arrow(stroke): stroke for sketch in sketches for stroke in sketch.edges.values()}
    out = graphviz.Digraph(graph_attr={"rankdir": "LR"})
    for index, stroke in enumerate(kinds.values()):
        names = {name: stroke[name] for name in ("penwidth", "arrowsize") if stroke[name]}
        out.edge(f"a{index}", f"b{index}", id=f"e{index}", minlen="3", **names)
    with reading(out.source, "dot") as found:
        ways = {edge.attr["id"]: edge.attr["pos"].split() for edge in found.edges()}
    lengths = {}
    for index, kind in enumerate(kinds):
        tip, *points = ways[f"e{index}"]
        (x, y), (tip_x, tip_y) = points_of(points[-1])[0], points_of(tip.removeprefix("e,"))[0]
        lengths[kind] = hypot(x - tip_x, y - tip_y)
    return lengths


def _arrow(stroke: Stroke) -> str:
    return f"{stroke['penwidth']} {stroke['arrowsize']}"


@dataclass(frozen=True)
class _Union:
    """Writes positions into drawings.

    Attributes:
        layout: of all of them. sizes: of labels. arrows: lengths. heading: width and height of the largest one.
    """

    layout: Layout
    sizes: Mapping[str, Point]
    arrows: Mapping[str, float]
    heading: Point

    def placed(self, drawing: Drawing, sketch: Sketch) -> Drawing:
        """The drawing with all positions written into its DOT."""
        ids = self.layout.ids
        graph = {name: value for name, value in sketch.graph.items() if name not in _LAYOUT}
        out = graphviz.Digraph(graph_attr=graph | self.head(_heading(sketch)))
        for index, (x, y) in enumerate(self.layout.corners):  # every picture has the same size and origin
            out.node(f"corner{index}", label="", pos=f"{x:.2f},{y:.2f}", **_CORNER)
        for key, stroke in sketch.nodes.items():
            out.node(ids[key], **{**stroke.attributes, **self.place(key, stroke), "id": ids[key]})
        for key, stroke in sketch.edges.items():
            assert stroke.ends is not None
            tail, head = (ids[end] for end in stroke.ends)
            out.edge(tail, head, **{**stroke.attributes, **self.way(key, sketch), "id": ids[key]})
        parts: dict[str, Part] = {ids[key]: each.part for key, each in (sketch.nodes | sketch.edges).items()}
        return replace(drawing, dot=out.source, parts=parts, engine="nop2")

    def head(self, label: str) -> dict[str, str]:
        """The heading in the corner of a frame as large as the largest heading: the network keeps its place.

        The frame has a fixed size in whole points. Padding computed for each heading would be rounded for each,
        so that two pictures could differ by a point.
        """
        if not label:
            return {}
        width, height = (ceil(side) for side in self.heading)
        # Right of the heading and below it an empty cell takes the room that is left.
        rows = f"<TR><TD>{label[1:-1]}</TD><TD></TD></TR><TR><TD></TD></TR>"
        size = f'FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="{height}"'
        return {
            "label": f'<<TABLE {size} BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{rows}</TABLE>>'
        }

    def place(self, key: Key, stroke: Stroke) -> dict[str, str]:
        """Where a node is, and how large its box is now: a circle keeps its size, wherever it stands."""
        place = self.layout.nodes[key]
        size = {} if stroke["shape"] == "circle" else size_of(place.width, place.height)
        return {**size, "pos": f"{place.centre[0]:.2f},{place.centre[1]:.2f}"}

    def way(self, key: Key, sketch: Sketch) -> dict[str, str]:
        """Where an edge goes: as in the layout, but on to circles that stand in larger places."""
        stroke, route = sketch.edges[key], self.layout.edges[key]
        assert stroke.ends is not None
        sides = route.points[0], route.points[-1]
        start, end = (self.rim(node, sketch, side) for node, side in zip(stroke.ends, sides, strict=True))
        points = reaching(route.points, start, end)
        found = {"pos": text_of(shortened_by(points, self.arrows[_arrow(stroke)]), points[-1])}
        if route.label and stroke["label"]:
            found["lp"] = f"{route.label[0]:.2f},{route.label[1]:.2f}"
        return found

    def rim(self, node: Key, sketch: Sketch, side: Point) -> Point | None:
        """Where an edge from that side meets a circle; None where the edge ends at the node's place."""
        stroke = sketch.nodes[node]
        if stroke["shape"] != "circle":
            return None
        return self.layout.nodes[node].rim(float(stroke["width"]) * INCH, side)
