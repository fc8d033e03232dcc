"""Fixed places: the union of several drawings is laid out once, and every drawing takes its places from it.

The place of a node is as large as the largest of its boxes in any drawing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, hypot

import graphviz

from gromo_graph.graph import Graph, build_graph
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Journal
from gromo_graph.render.drawing.dot import Drawing, DrawnPart, direction_of, for_size, to_dot
from gromo_graph.render.drawing.frames import add_frames, every_frame, frames_of
from gromo_graph.render.drawing.graphviz import draw_svg, reading
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.render.drawing.options import DrawingOptions
from gromo_graph.render.placing.graphviz_layout import (
    INCH,
    EdgeSize,
    NodeSize,
    Placement,
    greatest,
    lay_out,
    size_of,
)
from gromo_graph.render.placing.parsed_drawing import ParsedDrawing, ParsedPart, PartKey, parsed
from gromo_graph.render.placing.rows import in_rows
from gromo_graph.render.placing.splines import Point, points_of, reaching, shortened_by, text_of
from gromo_graph.spec import Spec, parse_spec

_LAYOUT = ("rankdir", "nodesep", "ranksep")
_CORNER = {"shape": "point", "style": "invis", "width": "0.01", "height": "0.01", "fixedsize": "true"}


@dataclass(frozen=True)
class StepDrawing:
    """The drawing of a run before any growth (step 0), or after a growth step that was applied.

    Attributes:
        step, event: the number and the record of the step; step 0 has no event.
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
    journal: Journal,
    direction: Direction | None = None,
    *,
    options: DrawingOptions | None = None,
    parse: Callable[[str], Spec] = parse_spec,
) -> list[StepDrawing]:
    """A drawing of every step that was applied, the first one before any growth; common nodes keep their places.

    Args:
        journal: of the run.
        direction: of the data; by default the one that suits the last step. options: of all drawings.
        parse: gives the spec of a text of the journal; whoever wrote the journal knows its specs.

    Raises:
        SpecError: a spec in the journal is invalid (the journal is of a later version).
        RenderError: Graphviz refused.
    """
    steps = graphs_of_steps(journal, parse)
    options = options or DrawingOptions()
    # What fits the last and largest network is taken for all, so that nothing turns or unfolds between two steps.
    last = steps[-1][1]
    options = for_size(replace(options, direction=direction or options.direction), last)
    direction = options.direction or direction_of(last)
    drawings = [to_dot(graph, event, direction=direction, options=options) for event, graph in steps]
    return [
        StepDrawing(event.step if event else 0, event, graph, drawing)
        for (event, graph), drawing in zip(
            steps, at_fixed_places(drawings, compact=options.compact), strict=True
        )
    ]


def graphs_of_steps(
    journal: Journal, parse: Callable[[str], Spec] = parse_spec
) -> list[tuple[GrowthEvent | None, Graph]]:
    """The graph before any growth, with no event, and after each applied one."""
    first: list[tuple[GrowthEvent | None, str]] = [(None, journal.header.spec)]
    states = first + [(event, event.spec) for event in journal.applied]
    return [(event, build_graph(parse(text))) for event, text in states]


def at_fixed_places(drawings: Sequence[Drawing], *, compact: bool = False) -> list[Drawing]:
    """The drawings with positions in them, the same for what they have in common, and of one size.

    Args:
        drawings: of one direction. compact: in rows, for those that run to the right and have no frames.

    Raises:
        RenderError: Graphviz refused.
    """
    drawn = [_parsed(drawing) for drawing in drawings]
    sizes = _sizes(drawn)
    heading = greatest(sizes[_heading(parsed_drawing)] for parsed_drawing in drawn)
    layout = _layout(drawn, sizes, framed=any(drawing.frames for drawing in drawings))
    union = _Union(in_rows(layout) if compact else layout, sizes, _arrow_lengths(drawn), heading)
    return [
        union.placed(drawing, parsed_drawing) for drawing, parsed_drawing in zip(drawings, drawn, strict=True)
    ]


def _parsed(drawing: Drawing) -> ParsedDrawing:
    with reading(drawing.dot) as source:
        return parsed(drawing, source)


def _layout(drawn: Sequence[ParsedDrawing], sizes: Mapping[str, Point], *, framed: bool) -> Placement:
    boxes: dict[PartKey, NodeSize] = {}
    wires: dict[PartKey, EdgeSize] = {}
    # The last drawing comes first: it has most of the parts, and Graphviz keeps their order.
    for parsed_drawing in reversed(drawn):
        for key, part in parsed_drawing.nodes.items():
            width, height = sizes[_looks(part)]
            known = boxes.get(key, NodeSize(0, 0, circle=True))
            circle = known.circle and part["shape"] == "circle"
            on_trunk = known.on_trunk if key in boxes else bool(part["group"])
            boxes[key] = NodeSize(max(width, known.width), max(height, known.height), circle, on_trunk)
        for key, edge in parsed_drawing.edges.items():
            width, height = sizes[edge["label"]]
            wire = wires.get(key, EdgeSize(*edge.ends, weight=edge["weight"]))
            wires[key] = EdgeSize(
                *edge.ends, max(width, wire.width), max(height, wire.height), weight=wire.weight
            )
    last = drawn[-1].graph
    frames = frames_of([name for what, name in boxes if what == "node"]) if framed else ()
    return lay_out(boxes, wires, {name: last[name] for name in _LAYOUT if name in last}, frames)


def _sizes(drawn: Sequence[ParsedDrawing]) -> dict[str, Point]:
    """The sizes of all boxes, edge labels and headings, measured by Graphviz in one call."""
    samples: dict[str, Mapping[str, str]] = {}
    for parsed_drawing in drawn:
        samples |= {_looks(part): _measured(part) for part in parsed_drawing.nodes.values()}
        labels = [part["label"] for part in parsed_drawing.edges.values()]
        plain = {"shape": "plain", "fontname": parsed_drawing.graph.get("fontname", "")}
        samples |= {label: plain | {"label": label} for label in (*labels, _heading(parsed_drawing)) if label}
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


def _looks(part: ParsedPart) -> str:
    """The attributes that decide the size of a box, as one key."""
    return f"{part['shape']} {part['margin']} {part['label']}"


def _measured(part: ParsedPart) -> dict[str, str]:
    names = ("shape", "margin", "width", "height", "fixedsize", "fontname", "label")
    return {name: part[name] for name in names if part[name]}


def _heading(parsed_drawing: ParsedDrawing) -> str:
    return parsed_drawing.graph.get("label", "")


def _arrow_lengths(drawn: Sequence[ParsedDrawing]) -> dict[str, float]:
    """The length of Graphviz's arrow for lines of each thickness: from the end of the line to the tip."""
    kinds = {_arrow(part): part for parsed_drawing in drawn for part in parsed_drawing.edges.values()}
    out = graphviz.Digraph(graph_attr={"rankdir": "LR"})
    for index, part in enumerate(kinds.values()):
        names = {name: part[name] for name in ("penwidth", "arrowsize") if part[name]}
        out.edge(f"a{index}", f"b{index}", id=f"e{index}", minlen="3", **names)
    with reading(out.source, "dot") as found:
        ways = {edge.attr["id"]: edge.attr["pos"].split() for edge in found.edges()}
    lengths = {}
    for index, kind in enumerate(kinds):
        tip, *points = ways[f"e{index}"]
        (x, y), (tip_x, tip_y) = points_of(points[-1])[0], points_of(tip.removeprefix("e,"))[0]
        lengths[kind] = hypot(x - tip_x, y - tip_y)
    return lengths


def _arrow(part: ParsedPart) -> str:
    return f"{part['penwidth']} {part['arrowsize']}"


@dataclass(frozen=True)
class _Union:
    """Writes positions into drawings.

    Attributes:
        layout: of all of them. sizes: of labels. arrows: lengths. heading: width and height of the largest one.
    """

    layout: Placement
    sizes: Mapping[str, Point]
    arrows: Mapping[str, float]
    heading: Point

    def placed(self, drawing: Drawing, parsed_drawing: ParsedDrawing) -> Drawing:
        """The drawing with all positions written into its DOT."""
        ids = self.layout.ids
        graph = {name: value for name, value in parsed_drawing.graph.items() if name not in _LAYOUT}
        out = graphviz.Digraph(graph_attr=graph | self.head(_heading(parsed_drawing)))
        for index, (x, y) in enumerate(self.layout.corners):  # every picture has the same size and origin
            out.node(f"corner{index}", label="", pos=f"{x:.2f},{y:.2f}", **_CORNER)
        for key, part in parsed_drawing.nodes.items():
            out.node(ids[key], **{**part.attributes, **self.place(key, part), "id": ids[key]})
        for key, edge in parsed_drawing.edges.items():
            tail, head = (ids[end] for end in edge.ends)
            out.edge(tail, head, **{**edge.attributes, **self.way(key, parsed_drawing), "id": ids[key]})
        by_name = {name: known for (what, name), known in ids.items() if what == "node"}
        frames = {frame.name: frame for frame in every_frame(drawing.frames)}
        add_frames(out, drawing.frames, by_name, {name: self.frame(name) for name in frames})
        parts: dict[str, DrawnPart] = {
            ids[key]: each.part for key, each in (parsed_drawing.nodes | parsed_drawing.edges).items()
        }
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

    def frame(self, name: str) -> str:
        """The box (`bb`) of a frame: that of the layout, as all its nodes in any step need it."""
        (left, bottom), (right, top) = self.layout.frames[name]
        return f"{left:.2f},{bottom:.2f},{right:.2f},{top:.2f}"

    def place(self, key: PartKey, part: ParsedPart) -> dict[str, str]:
        """The place of a node and the size of its box; a circle keeps its size in any place."""
        place = self.layout.nodes[key]
        size = {} if part["shape"] == "circle" else size_of(place.width, place.height)
        return {**size, "pos": f"{place.centre[0]:.2f},{place.centre[1]:.2f}"}

    def way(self, key: PartKey, parsed_drawing: ParsedDrawing) -> dict[str, str]:
        """The course of an edge: as in the layout, extended to circles that stand in larger places."""
        edge, route = parsed_drawing.edges[key], self.layout.edges[key]
        sides = route.points[0], route.points[-1]
        start, end = (
            self.rim(node, parsed_drawing, side) for node, side in zip(edge.ends, sides, strict=True)
        )
        points = reaching(route.points, start, end)
        found = {"pos": text_of(shortened_by(points, self.arrows[_arrow(edge)]), points[-1])}
        if route.label and edge["label"]:
            found["lp"] = f"{route.label[0]:.2f},{route.label[1]:.2f}"
        return found

    def rim(self, node: PartKey, parsed_drawing: ParsedDrawing, side: Point) -> Point | None:
        """The point at which an edge from that side meets a circle; None if the edge ends at the node's place."""
        part = parsed_drawing.nodes[node]
        if part["shape"] != "circle":
            return None
        return self.layout.nodes[node].rim(float(part["width"]) * INCH, side)
