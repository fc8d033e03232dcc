"""Graphviz's splines, which are chains of cubic Bézier curves: reading, writing, cutting and extending them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import hypot

Point = tuple[float, float]

_HALVINGS = 30
_BEND = 7.0
"""Points from a corner at which its round bend begins."""


def points_of(text: str) -> tuple[Point, ...]:
    """The points of an edge's `pos` that has no arrow: 1 + 3 n of them, from tail to head.

    >>> points_of("0,0 1,0 2,0 3,0")
    ((0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0))
    """
    pairs = (pair.split(",") for pair in text.split())
    return tuple((float(x), float(y)) for x, y in pairs)


def text_of(points: Sequence[Point], tip: Point) -> str:
    """The `pos` of an edge whose arrow ends at `tip`.

    >>> text_of([(0, 0), (1, 0), (2, 0), (3, 0)], (8, 0))
    'e,8,0 0,0 1,0 2,0 3,0'
    """
    return f"e,{_pair(tip)} {' '.join(map(_pair, points))}"


def _pair(point: Point) -> str:
    return f"{round(point[0], 2):g},{round(point[1], 2):g}"


def reaching(points: Sequence[Point], start: Point | None, end: Point | None) -> tuple[Point, ...]:
    """The curve extended by straight pieces to nodes that are smaller than their places.

    >>> reaching([(0, 0), (1, 0), (2, 0), (3, 0)], None, (6, 0))[-4:]
    ((3, 0), (4.0, 0.0), (5.0, 0.0), (6, 0))
    """
    found = tuple(points)
    if start is not None:
        found = (*_straight(start, found[0])[:-1], *found)
    if end is not None:
        found = (*found, *_straight(found[-1], end)[1:])
    return found


def _straight(start: Point, end: Point) -> tuple[Point, Point, Point, Point]:
    return start, _between(start, end, 1 / 3), _between(start, end, 2 / 3), end


def moved(points: Sequence[Point], by: Point) -> tuple[Point, ...]:
    """The points, each moved by as much.

    >>> moved([(1, 2)], (10, 20))
    ((11, 22),)
    """
    return tuple((x + by[0], y + by[1]) for x, y in points)


def joined(first: Sequence[Point], second: Sequence[Point]) -> tuple[Point, ...]:
    """Two curves as one; the second begins where the first one ends, which may be empty."""
    return (*first[:-1], *second)


def bent(corners: Sequence[Point]) -> tuple[Point, ...]:
    """Straight lines from corner to corner as a curve with round bends.

    >>> bent([(0, 0), (30, 0)])
    ((0, 0), (10.0, 0.0), (20.0, 0.0), (30, 0))
    """
    found: tuple[Point, ...] = ()
    start = corners[0]
    for corner, following in pairwise(corners[1:]):
        before, after = towards(corner, start, _BEND), towards(corner, following, _BEND)
        bend = (before, _between(before, corner, 0.6), _between(after, corner, 0.6), after)
        found = joined(found, joined(_straight(start, before), bend))
        start = after
    return joined(found, _straight(start, corners[-1]))


def cut_at(points: Sequence[Point], x: float) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """The curve up to the place where it first reaches `x`, and the rest of it.

    >>> before, after = cut_at([(0, 0), (1, 0), (2, 0), (3, 0)], 1.5)
    >>> round(before[-1][0], 6), len(before), len(after)
    (1.5, 4, 4)
    """
    first = next(index for index in range(3, len(points), 3) if points[index][0] >= x)
    curve = points[first - 3 : first + 1]
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _first_part(curve, middle)[-1][0] < x:
            low = middle
        else:
            high = middle
    before = _first_part(curve, low)
    after = _first_part(curve[::-1], 1 - low)[::-1]
    return (*points[: first - 3], *before), (*after, *points[first + 1 :])


def shortened_by(points: Sequence[Point], length: float) -> tuple[Point, ...]:
    """The curve without its last `length` points, which the arrow covers.

    >>> [round(x, 3) for x, _ in shortened_by([(0, 0), (1, 0), (2, 0), (3, 0)], 1)]
    [0, 0.667, 1.333, 2.0]
    """
    kept, end = list(points), points[-1]
    while len(kept) > 4 and _distance(kept[-4], end) <= length:
        del kept[-3:]
    curve = kept[-4:]
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _distance(_first_part(curve, middle)[-1], end) > length:
            low = middle
        else:
            high = middle
    # Of a curve that is shorter than its arrow a little stays, for its direction.
    return (*kept[:-4], *_first_part(curve, max(low, 0.05)))


def _first_part(curve: Sequence[Point], share: float) -> tuple[Point, Point, Point, Point]:
    """De Casteljau's cut."""
    a, b, c, d = curve
    ab, bc, cd = (_between(p, q, share) for p, q in ((a, b), (b, c), (c, d)))
    abc, bcd = _between(ab, bc, share), _between(bc, cd, share)
    return a, ab, abc, _between(abc, bcd, share)


def towards(centre: Point, other: Point, radius: float) -> Point:
    """The point of a circle that is nearest to another point.

    >>> towards((0, 0), (9, 0), 2)
    (2.0, 0.0)
    """
    share = radius / (_distance(centre, other) or 1.0)
    return _between(centre, other, share)


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _distance(a: Point, b: Point) -> float:
    return hypot(a[0] - b[0], a[1] - b[1])
