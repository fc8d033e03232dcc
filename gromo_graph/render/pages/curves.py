"""Curves over the epochs as plain SVG: axes, lines named where they end, growth steps marked.

Colours come from the page's style by class, so that the curves follow its dark mode; lines also differ in their dashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from gromo_graph.render.drawing.text import xml_text
from gromo_graph.render.numbers import count, real

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 74, 14, 34
_LABEL_GAP = 13.0


@dataclass(frozen=True)
class Line:
    """One curve: `points` are (epoch, value); `role` is its CSS class."""

    name: str
    role: str
    points: tuple[tuple[int, float], ...]
    stairs: bool = False


@dataclass(frozen=True)
class Mark:
    """A growth step: where it stands and the words shown on hovering."""

    epoch: int
    words: str


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def plot(title: str, lines: Sequence[Line], marks: Sequence[Mark], *, from_zero: bool, id: str) -> str:
    """The plot, or an empty text where no line has a point.

    >>> plot("loss", [Line("train", "train", ())], [], from_zero=True, id="loss")
    ''
    """
    drawn = [Line(line.name, line.role, _finite(line.points), line.stairs) for line in lines]
    drawn = [line for line in drawn if line.points]
    if not drawn:
        return ""
    epochs = [epoch for line in drawn for epoch, _ in line.points] + [mark.epoch for mark in marks]
    values = [value for line in drawn for _, value in line.points]
    ticks = nice_ticks(0.0 if from_zero else min(values), max(values))
    x = _Scale(min(0, *epochs), max(1, *epochs), _LEFT, _WIDTH - _RIGHT)
    y = _Scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    body = [*_axes(x, y, ticks), *(_mark(mark, x) for mark in marks)]
    body += [_curve(line, x, y) for line in drawn]
    body += _names(drawn, y)
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="plot-{id}">\n'
        f'<title id="plot-{id}">{xml_text(title)} over the epochs</title>\n' + "\n".join(body) + "\n</svg>"
    )


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


def _finite(points: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    return tuple((epoch, value) for epoch, value in points if isfinite(value))


def _tick(value: float) -> str:
    return count(int(value)) if abs(value) >= 1000 and value == int(value) else real(value, 4)


def _axes(x: _Scale, y: _Scale, ticks: Sequence[float]) -> list[str]:
    rows = [
        f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick)}" y2="{y(tick)}"/>'
        f'<text class="tick" text-anchor="end" x="{x.start - 6}" y="{y(tick) + 3.5}">{_tick(tick)}</text>'
        for tick in ticks
    ]
    whole = sorted({round(tick) for tick in nice_ticks(x.low, x.high) if x.low <= tick <= x.high})
    columns = [
        f'<text class="tick" text-anchor="middle" x="{x(tick)}" y="{y.start + 15}">{tick}</text>'
        for tick in whole
    ]
    middle = (x.start + x.end) / 2
    return [
        *rows,
        *columns,
        f'<text class="tick" text-anchor="middle" x="{middle}" y="{y.start + 29}">epoch</text>',
    ]


def _mark(mark: Mark, x: _Scale) -> str:
    at = x(mark.epoch)
    return (
        f'<g class="step"><title>{xml_text(mark.words)}</title>'
        f'<line x1="{at}" x2="{at}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        f'<path d="M{at},{_TOP - 8} l4.5,8 h-9 z"/></g>'
    )


def _curve(line: Line, x: _Scale, y: _Scale) -> str:
    points = [(x(epoch), y(value)) for epoch, value in line.points]
    path = f"M{points[0][0]},{points[0][1]}"
    for right, height in points[1:]:
        path += f" H{right} V{height}" if line.stairs else f" L{right},{height}"
    dots = "".join(
        f'<circle cx="{right}" cy="{height}" r="4"><title>{xml_text(line.name)}, epoch {epoch}: '
        f"{_tick(value)}</title></circle>"
        for (right, height), (epoch, value) in zip(points, line.points, strict=True)
    )
    return f'<g class="curve {line.role}"><path d="{path}"/>{dots}</g>'


def _names(lines: Sequence[Line], y: _Scale) -> list[str]:
    """The names at the ends of the lines: no two touch, and all are between top and axis."""
    ends = sorted(((y(line.points[-1][1]), line) for line in lines), key=lambda end: -end[0])
    heights: list[float] = []
    for height, _ in ends:
        heights.append(min(height + 4, heights[-1] - _LABEL_GAP if heights else y.start))
    down = max(0.0, _TOP + 4 - heights[-1])
    return [
        f'<text class="name {line.role}" x="{_WIDTH - _RIGHT + 6}" y="{round(at + down, 1)}">'
        f"{xml_text(line.name)}</text>"
        for at, (_, line) in zip(heights, ends, strict=True)
    ]
