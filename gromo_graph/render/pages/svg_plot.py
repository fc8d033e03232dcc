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

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 74, 16, 36
_NAME_HEIGHT = 13.0


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def svg_plot(plot: Plot) -> str:
    """The plot as an `svg` element, empty if no curve has a point."""
    curves = [curve for curve in plot.curves if curve.points]
    if not curves:
        return ""
    epochs = [epoch for curve in curves for epoch, _ in curve.points] + [mark.epoch for mark in plot.marks]
    values = [value for curve in curves for _, value in curve.points]
    ticks = nice_ticks(min(0.0, *values) if plot.from_zero else min(values), max(values))
    x = _Scale(min(0, *epochs), max(1, *epochs), _LEFT, _WIDTH - _RIGHT)
    y = _Scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    title = f"{plot.title} over the epochs"
    body = [
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{xml_text(title)}">',
        f"<title>{xml_text(title)}</title>",
        *_axes(x, y, ticks),
        *(_mark(mark, x) for mark in plot.marks),
        *(_curve(curve, x, y) for curve in curves),
        *_names(curves, y),
    ]
    return "\n".join([*body, "</svg>"])


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


def _tick(value: float) -> str:
    return count(int(value)) if abs(value) >= 1000 and value == int(value) else real(value, 4)


def _text(words: str, x: float, y: float, anchor: str) -> str:
    return f'<text class="tick" text-anchor="{anchor}" x="{x}" y="{y}">{words}</text>'


def _axes(x: _Scale, y: _Scale, ticks: Sequence[float]) -> list[str]:
    lines = [
        f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick)}" y2="{y(tick)}"/>' for tick in ticks
    ]
    rows = [_text(_tick(tick), x.start - 6, y(tick) + 3.5, "end") for tick in ticks]
    whole = sorted({round(tick) for tick in nice_ticks(x.low, x.high) if x.low <= tick <= x.high})
    columns = [_text(str(tick), x(tick), y.start + 15, "middle") for tick in whole]
    return [*lines, *rows, *columns, _text("epoch", (x.start + x.end) / 2, y.start + 30, "middle")]


def _mark(mark: GrowthMark, x: _Scale) -> str:
    at = x(mark.epoch)
    return (
        f'<g class="growth"><title>{xml_text(mark.words)}</title>'
        f'<line x1="{at}" x2="{at}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<path d="M{at},{_TOP - 1} l4.5,-9 h-9 z"/></g>'
    )


def _curve(curve: Curve, x: _Scale, y: _Scale) -> str:
    points = [(x(epoch), y(value)) for epoch, value in curve.points]
    path = f"M{points[0][0]},{points[0][1]}"
    for right, height in points[1:]:
        path += f" H{right} V{height}" if curve.stairs else f" L{right},{height}"
    # Circles that cannot be seen carry the values that are shown on hovering.
    dots = "".join(
        f'<circle cx="{right}" cy="{height}" r="4"><title>{xml_text(curve.name)}, epoch {epoch}: '
        f"{_tick(value)}</title></circle>"
        for (right, height), (epoch, value) in zip(points, curve.points, strict=True)
    )
    return f'<g class="curve {curve.role}"><path d="{path}"/>{dots}</g>'


def _names(curves: Sequence[Curve], y: _Scale) -> list[str]:
    """The names at the ends of the curves: no two overlap, and all are between the top and the axis."""
    ends = sorted(((y(curve.points[-1][1]), curve) for curve in curves), key=lambda end: -end[0])
    heights: list[float] = []
    for height, _ in ends:
        heights.append(min(height + 4, heights[-1] - _NAME_HEIGHT if heights else y.start))
    down = max(0.0, _TOP + 4 - heights[-1])
    return [
        f'<text class="name {curve.role}" x="{_WIDTH - _RIGHT + 6}" y="{round(at + down, 1)}">'
        f"{xml_text(curve.name)}</text>"
        for at, (_, curve) in zip(heights, ends, strict=True)
    ]
