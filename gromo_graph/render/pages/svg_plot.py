"""A plot as plain SVG for a page without scripts: axes, curves named at their ends, growth steps marked.

The colours come from the style of the page by class, so that the plot follows its dark mode; curves also differ in
their dashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from gromo_graph.render.curves import Curve, GrowthMark, Plot
from gromo_graph.render.drawing.text import xml_text
from gromo_graph.render.numbers import count, real

WIDTH, HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 74, 16, 36
_NAME_HEIGHT = 13.0
# On a scale of powers the axis goes beyond its values by this factor, and has no more ticks than these.
_ROOM, _MOST_TICKS = 1.15, 6


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    powers: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (log10(each) if self.powers else each for each in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)


def svg_plot(plot: Plot, *, at: tuple[int, int] | None = None) -> str:
    """The plot as an `svg` element, empty if no curve has a point.

    Args:
        plot: with its curves.
        at: the place of its corner inside another `svg` element; None for one that stands by itself.
    """
    curves = [curve for curve in plot.curves if curve.points]
    if not curves:
        return ""
    epochs = [epoch for curve in curves for epoch, _ in curve.points] + [mark.epoch for mark in plot.marks]
    values = [value for curve in curves for _, value in curve.points]
    ticks = nice_ticks(min(0.0, *values) if plot.from_zero else min(values), max(values))
    x = _across(plot, epochs)
    y = _Scale(ticks[0], ticks[-1], HEIGHT - _BOTTOM, _TOP)
    title = plot.words
    place = "" if at is None else f' x="{at[0]}" y="{at[1]}" width="{WIDTH}" height="{HEIGHT}"'
    body = [
        f'<svg class="plot"{place} viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{xml_text(title)}">',
        f"<title>{xml_text(title)}</title>",
        *_axes(x, y, ticks, plot.across),
        *(_mark(mark, x) for mark in plot.marks),
        *(_curve(curve, x, y, plot.across) for curve in curves),
        *_names(curves, y),
    ]
    return "\n".join([*body, "</svg>"])


def _across(plot: Plot, places: Sequence[float]) -> _Scale:
    """The scale of the axis across."""
    low, high = min(places), max(places)
    if not plot.powers:
        return _Scale(min(0, low), max(1, high), _LEFT, WIDTH - _RIGHT)
    room = _ROOM if high > _ROOM * low else 2.0
    return _Scale(low / room, high * room, _LEFT, WIDTH - _RIGHT, powers=True)


def power_ticks(low: float, high: float) -> list[int]:
    """Round numbers on a scale of powers of 10: 1, 2 and 5 times a power, fewer of them in a long range.

    >>> power_ticks(90, 1100), power_ticks(1100, 1900), power_ticks(1, 10**5)
    ([100, 200, 500, 1000], [1200, 1400, 1600, 1800], [1, 10, 100, 1000, 10000, 100000])
    """
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10**power for power in powers if power >= 0 for factor in factors]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= _MOST_TICKS:
            break
    if len(inside) > 1:
        return inside
    return whole_ticks(low, high)


def nice_ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers that enclose the values.

    >>> nice_ticks(0, 2.3), nice_ticks(0.91, 0.97), nice_ticks(5, 5)
    ([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], [0.9, 0.92, 0.94, 0.96, 0.98], [4.0, 4.5, 5.0, 5.5, 6.0])
    """
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = low - (abs(low) or 1) / 5, high + (abs(high) or 1) / 5
    rough = (high - low) / 5
    unit = 10.0 ** floor(log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    digits = max(0, 1 - floor(log10(step)))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(index * step, digits) for index in range(first, last + 1)]


def whole_ticks(low: float, high: float) -> list[int]:
    """Three to eight whole numbers within the values, equally far from each other; fewer if there are fewer.

    >>> whole_ticks(0, 12), whole_ticks(0, 40), whole_ticks(0, 2)
    ([0, 5, 10], [0, 10, 20, 30, 40], [0, 1, 2])
    """
    rough = max(1.0, (high - low) / 5)
    unit = 10 ** floor(log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * 0.999)
    return [index * step for index in range(ceil(low / step), floor(high / step) + 1)]


def _tick(value: float) -> str:
    return count(int(value)) if abs(value) >= 1000 and value == int(value) else real(value, 4)


def _text(words: str, x: float, y: float, anchor: str) -> str:
    return f'<text class="tick" text-anchor="{anchor}" x="{x}" y="{y}">{words}</text>'


def _axes(x: _Scale, y: _Scale, ticks: Sequence[float], across: str) -> list[str]:
    lines = [
        f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick)}" y2="{y(tick)}"/>' for tick in ticks
    ]
    rows = [_text(_tick(tick), x.start - 6, y(tick) + 3.5, "end") for tick in ticks]
    places = power_ticks(x.low, x.high) if x.powers else whole_ticks(x.low, x.high)
    columns = [_text(_tick(tick), x(tick), y.start + 15, "middle") for tick in places]
    return [*lines, *rows, *columns, _text(across, (x.start + x.end) / 2, y.start + 30, "middle")]


def _mark(mark: GrowthMark, x: _Scale) -> str:
    at = x(mark.epoch)
    return (
        f'<g class="growth{" prune" if mark.is_pruning else ""}"><title>{xml_text(mark.words)}</title>'
        f'<line x1="{at}" x2="{at}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
        f'<path d="M{at},{_TOP - 1} l4.5,-9 h-9 z"/></g>'
    )


def _curve(curve: Curve, x: _Scale, y: _Scale, across: str) -> str:
    points = [(x(epoch), y(value)) for epoch, value in curve.points]
    path = f"M{points[0][0]},{points[0][1]}"
    for right, height in points[1:]:
        path += f" H{right} V{height}" if curve.stairs else f" L{right},{height}"
    said = f"{xml_text(curve.name)}, " if curve.name else ""
    # Circles, most of which cannot be seen, carry the values that are shown on hovering.
    dots = "".join(
        f'<circle{_marked(curve, epoch)} cx="{right}" cy="{height}" r="4"><title>'
        f"{said}{across} {_tick(epoch)}: {_tick(value)}</title></circle>"
        for (right, height), (epoch, value) in zip(points, curve.points, strict=True)
    )
    return f'<g class="curve {_class(curve)}{" dotted" if curve.dots else ""}"><path d="{path}"/>{dots}</g>'


def _class(curve: Curve) -> str:
    """The classes that decide the colour."""
    return f"{curve.role} {curve.role}-{curve.number}" if curve.number else curve.role


def _marked(curve: Curve, place: float) -> str:
    """The class of the circle of a value that is marked; circles of other curves cannot be seen."""
    if not curve.dots:
        return ""
    return ' class="settled"' if place in curve.settled else ' class="open"'


def _names(curves: Sequence[Curve], y: _Scale) -> list[str]:
    """The names at the ends of the curves: no two overlap, and all are between the top and the axis."""
    ends = sorted(((y(curve.points[-1][1]), curve) for curve in curves), key=lambda end: -end[0])
    heights: list[float] = []
    for height, _ in ends:
        heights.append(min(height + 4, heights[-1] - _NAME_HEIGHT if heights else y.start))
    down = max(0.0, _TOP + 4 - heights[-1])
    return [
        f'<text class="name {_class(curve)}" x="{WIDTH - _RIGHT + 6}" y="{round(at + down, 1)}">'
        f"{xml_text(curve.name)}</text>"
        for at, (_, curve) in zip(heights, ends, strict=True)
    ]
