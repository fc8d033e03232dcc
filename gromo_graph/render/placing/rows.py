"""A long layout folded into rows, as text is: for networks that would otherwise be a ribbon.

The layout runs to the right. It is cut between nodes, the pieces are stacked, and an edge that crosses a cut goes on
through the space between the rows to the beginning of the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt

from gromo_graph.render.placing.graphviz_layout import Placement, Route, corners_of
from gromo_graph.render.placing.parsed_drawing import PartKey
from gromo_graph.render.placing.splines import Point, bent, cut_at, joined, moved

_WIDE = 1.7
"""Width of the folded picture by its height."""

_LEAST_ROW = 700.0
"""Points that a row is long at least."""

_SPACE = 22.0
"""Points between a row and the edges below it, and between these and the next row."""

_LANE = 9.0
"""Points between two edges that lead to the next row."""

_BEFORE_NODE = 14.0
"""Points between a cut and the nodes after it: the labels of the edges stay in the row before."""

_CROSSING = 0.3
"""The cost of an edge that crosses a cut, as a share of a row by which the cut might be elsewhere."""


@dataclass(frozen=True)
class _Row:
    """A piece of the layout, which ends at `right`: how far it is moved, and the height of its top then."""

    right: float
    by: Point
    top: float


@dataclass(frozen=True)
class _Lane:
    """The place of an edge among those across a cut: how many are below it there, and how many above."""

    below: int
    above: int


def in_rows(layout: Placement) -> Placement:
    """The layout in as many rows as make it about as wide as a screen; itself if it is short already."""
    (left, low), (right, high) = layout.corners
    number = min(sqrt((right - left) / (_WIDE * (high - low + 2 * _SPACE))), (right - left) / _LEAST_ROW)
    cuts = _cuts(layout, round(number))
    if not cuts:
        return layout
    lanes = [_lanes(layout, cut) for cut in cuts]
    rows = _stacked(layout, cuts, [len(edges) for edges in lanes])
    edges = {
        key: _folded(route, rows, [lane.get(key) for lane in lanes]) for key, route in layout.edges.items()
    }
    nodes = {
        key: replace(place, centre=moved([place.centre], _row_at(rows, place.centre[0]).by)[0])
        for key, place in layout.nodes.items()
    }
    return replace(layout, corners=corners_of(nodes, edges), nodes=nodes, edges=edges)


def _cuts(layout: Placement, number: int) -> list[float]:
    """The places of the cuts, from left to right: near equal rows, between nodes, across few edges."""
    (left, _), (right, _) = layout.corners
    length = (right - left) / max(1, number)
    found: list[float] = []
    for wanted in range(1, number):
        free = [x for x in _gaps(layout) if x > (found[-1] if found else left) + length / 2]

        def cost(x: float, target: float = left + wanted * length) -> float:
            edges = sum(_spans(route, x) for route in layout.edges.values())
            return abs(x - target) / length + _CROSSING * edges

        if free and min(map(cost, free)) < number:
            found.append(min(free, key=cost))
    return found


def _gaps(layout: Placement) -> list[float]:
    """A place before each node at which no other node is."""
    sides = sorted(
        (place.centre[0] - place.width / 2, place.centre[0] + place.width / 2)
        for place in layout.nodes.values()
    )
    gaps, end = [], sides[0][1]
    for left, right in sides:
        if left - end > _BEFORE_NODE:
            gaps.append(left - _BEFORE_NODE)
        end = max(end, right)
    return gaps


def _spans(route: Route, x: float) -> bool:
    return route.points[0][0] < x < route.points[-1][0]


def _lanes(layout: Placement, cut: float) -> dict[PartKey, _Lane]:
    """The edges across a cut, from the lowest to the highest one."""
    edges = [key for key, route in layout.edges.items() if _spans(route, cut)]
    edges.sort(key=lambda key: cut_at(layout.edges[key].points, cut)[0][-1][1])
    return {key: _Lane(index, len(edges) - 1 - index) for index, key in enumerate(edges)}


def _stacked(layout: Placement, cuts: Sequence[float], crossing: Sequence[int]) -> list[_Row]:
    """The rows one below the other, each as high as its nodes and edges need, with room for the edges between them."""
    (start, _), (end, _) = layout.corners
    rows: list[_Row] = []
    top = 0.0
    for (left, right), edges in zip(pairwise([start, *cuts, end]), (*crossing, 0), strict=True):
        heights = [
            y
            for place in layout.nodes.values()
            if left <= place.centre[0] < right
            for y in (place.centre[1] - place.height / 2, place.centre[1] + place.height / 2)
        ]
        points = [point for route in layout.edges.values() for point in (*route.points, *_label(route))]
        heights += [y for x, y in points if left <= x < right]
        rows.append(_Row(right, (start - left, top - max(heights)), top))
        top -= max(heights) - min(heights) + 2 * _SPACE + _LANE * edges
    return rows


def _label(route: Route) -> list[Point]:
    """The upper and the lower side of a label, roughly: it is one or two lines high."""
    return [] if route.label is None else [(route.label[0], route.label[1] + side) for side in (-14, 14)]


def _row_at(rows: Sequence[_Row], x: float) -> _Row:
    return next((row for row in rows if x < row.right), rows[-1])


def _folded(route: Route, rows: Sequence[_Row], lanes: Sequence[_Lane | None]) -> Route:
    """An edge with its pieces in their rows, and the joints between them; `lanes`: one for each cut that it crosses."""
    label = None if route.label is None else moved([route.label], _row_at(rows, route.label[0]).by)[0]
    rest = route.points
    done: tuple[Point, ...] = ()
    for (row, following), lane in zip(pairwise(rows), lanes, strict=True):
        if lane is None:
            continue
        piece, rest = cut_at(rest, row.right)
        here, there = moved(piece, row.by), moved(rest[:1], following.by)[0]
        done = joined(joined(done, here), _between_rows(here[-1], there, following.top + _SPACE, lane))
    last = moved(rest, _row_at(rows, rest[-1][0]).by)
    return Route(joined(done, last), label)


def _between_rows(start: Point, end: Point, height: float, lane: _Lane) -> tuple[Point, ...]:
    """From the end of a row to the beginning of the next one, through the space between them.

    The highest edge goes farthest to the right, and comes back lowest and nearest: so no two of them cross.
    """
    out, back = start[0] + 10 + _LANE * lane.below, end[0] - 10 - _LANE * lane.above
    level = height + _LANE * lane.above
    return bent([start, (out, start[1]), (out, level), (back, level), (back, end[1]), end])
