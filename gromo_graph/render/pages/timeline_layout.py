"""The places of the nodes and edges of a timeline: the union of all states, laid out once for the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from math import hypot
from typing import Any

from gromo_graph.render.drawing import style
from gromo_graph.render.drawing.collapse import LARGE
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.render.drawing.text import clean, points, shortened
from gromo_graph.render.drawing.trunk import STRAIGHT
from gromo_graph.render.pages.parts import NAME_EMS
from gromo_graph.render.pages.timeline import State, States, Timeline
from gromo_graph.render.placing.graphviz_layout import EdgeSize, NodeSize, Placement, lay_out
from gromo_graph.render.placing.parsed_drawing import PartKey
from gromo_graph.render.placing.splines import Point, reaching, shortened_by

_CIRCLE = 26.0
_PADDING = 9.0
_TITLE_ROW, _ROW, _MARGIN = 18.0, 14.0, 6.0
_LABEL_ROW = 13.0
_ARROW, _ARROW_HALF = 9.0, 4.6


def laid_out(timeline: Timeline, direction: Direction) -> dict[str, Any]:
    """The union of all states, laid out, as plain values for the page; y grows downwards in it.

    Raises:
        RenderError: Graphviz refused.
    """
    layout = _layout(timeline, direction)
    (left, low), (right, high) = layout.corners
    index = {key: place for place, key in enumerate(layout.nodes)}
    return {
        "direction": direction,
        "box": [_round(left), _round(-high), _round(right - left), _round(high - low)],
        "nodes": [
            {
                "what": key[0],
                "name": key[1],
                "title": _title(key),
                "place": [
                    _round(place.centre[0]),
                    _round(-place.centre[1]),
                    _round(place.width),
                    _round(place.height),
                ],
                "states": timeline.nodes[key],
            }
            for key, place in layout.nodes.items()
        ],
        "edges": [_edge(timeline, key, layout, index) for key in layout.edges],
        "options": timeline.options.values,
        "groups": timeline.groups.values,
    }


def _layout(timeline: Timeline, direction: Direction) -> Placement:
    trunk = timeline.trunk
    boxes = {
        key: replace(_box(key, states), on_trunk=key[0] == "node" and key[1] in trunk.nodes)
        for key, states in timeline.nodes.items()
    }
    # Nodes of the last state come first: Graphviz keeps their order.
    last = sorted(boxes, key=lambda key: timeline.nodes[key][-1][1] is None)
    labelled = (
        len(boxes) <= LARGE
    )  # labels are most of the cost of a layout; without them the boxes say the sizes
    wires = {}
    for key, states in timeline.edges.items():
        tail, head = timeline.ends[key]
        size = _label_size(states) if labelled else (0.0, 0.0)
        wires[key] = EdgeSize(tail, head, *size, weight=STRAIGHT if (tail[1], head[1]) in trunk.edges else "")
    attributes = {
        "rankdir": "LR" if direction == "right" else "TB",
        "nodesep": "0.28",
        "ranksep": "0.42" if direction == "right" else "0.3",
    }
    return lay_out({key: boxes[key] for key in last}, wires, attributes)


def _edge(
    timeline: Timeline, key: PartKey, layout: Placement, index: Mapping[PartKey, int]
) -> dict[str, Any]:
    """An edge with its courses: it may have to be extended to a circle that stands in a larger place."""
    route, ends = layout.edges[key], timeline.ends[key]
    sides = route.points[0], route.points[-1]
    ways: list[list[str]] = []
    states: list[tuple[int, State | None]] = []
    for at, then in _with_ends(timeline, key):
        if then is None:
            if states and states[-1][1] is not None:
                states.append((at, None))
            continue
        rims = [
            layout.nodes[end].rim(_CIRCLE, side) if _is_circle(_at(timeline.nodes[end], at)) else None
            for end, side in zip(ends, sides, strict=True)
        ]
        way = _drawn(reaching(route.points, *rims))
        if way not in ways:
            ways.append(way)
        then = then | {"way": ways.index(way)}
        if not states or states[-1][1] != then:
            states.append((at, then))
    return {
        "name": key[1],
        "ends": [index[end] for end in ends],
        "label": None if route.label is None else [_round(route.label[0]), _round(-route.label[1])],
        "ways": ways,
        "states": states,
    }


def _with_ends(timeline: Timeline, key: PartKey) -> Iterable[tuple[int, State | None]]:
    """The states of an edge, and those in which one of its ends has become something else."""
    own = timeline.edges[key]
    times = {at for at, _ in own} | {at for end in timeline.ends[key] for at, _ in timeline.nodes[end]}
    first = own[0][0]
    return [(at, _at(own, at)) for at in sorted(times) if at >= first]


def _at(states: States, at: int) -> State | None:
    return next((then for since, then in reversed(states) if since <= at), None)


def _title(key: PartKey) -> str:
    return shortened(clean(key[1]), NAME_EMS)


def _is_circle(state: State | None) -> bool:
    return state is not None and state["role"] == "merge"


def _box(key: PartKey, states: States) -> NodeSize:
    """Room for the node in all of its states, and for a row of changes if there are any."""
    known = [state for _, state in states if state is not None]
    if all(map(_is_circle, known)):
        return NodeSize(_CIRCLE, _CIRCLE, circle=True)
    title = _title(key)
    changes = _differs(states)
    is_block = any(state["kind"].startswith("block") for state in known)
    badge = "+00 000 parameters" if is_block else "+000 features"
    width = float(points(badge, style.TEXT_SIZE, bold=True)) if changes else 0.0
    for state in known:
        first = points(title, style.NAME_SIZE, bold=True)
        if mark := state.get("mark"):
            first += 8 + points(mark, style.SMALL_SIZE)
        second = points(f"{state['kind']} {state['words']}", style.TEXT_SIZE)
        width = max(width, first, second)
    rows = _TITLE_ROW + _ROW * (2 if changes else 1)
    return NodeSize(width + 2 * _PADDING, rows + 2 * _MARGIN)


def _differs(states: States) -> bool:
    """True if the node ever differs from one state to the next, so that its box needs a row for that."""
    if states[0][0] > 0:
        return True
    told = [state and [state[key] for key in ("kind", "shape", "options")] for _, state in states]
    return any(one != other for one, other in pairwise(told))


def _label_size(states: States) -> Point:
    known = [state for _, state in states if state is not None]
    width = max(
        max(points(state["words"], style.TEXT_SIZE), points(state.get("caption", ""), style.SMALL_SIZE))
        for state in known
    )
    rows = 2 if any("caption" in state for state in known) else 1
    thick = max(state["thick"] for state in known)
    return width + 8 + thick, rows * _LABEL_ROW + 4 + thick


def _drawn(spline: tuple[Point, ...]) -> list[str]:
    """The path of a line and its arrowhead, as SVG has them."""
    tip = spline[-1]
    line = shortened_by(spline, _ARROW)
    x, y = line[-1]
    length = hypot(tip[0] - x, tip[1] - y) or 1.0
    along = ((tip[0] - x) / length, (tip[1] - y) / length)
    across = (-along[1] * _ARROW_HALF, along[0] * _ARROW_HALF)
    corners = (tip, (x + across[0], y + across[1]), (x - across[0], y - across[1]))
    path = f"M{_svg(line[0])}C{' '.join(map(_svg, line[1:]))}"
    return [path, " ".join(map(_svg, corners))]


def _svg(point: Point) -> str:
    return f"{_round(point[0]):g},{_round(-point[1]):g}"


def _round(value: float) -> float:
    return round(value, 1) + 0.0
