"""Colours and sizes of the drawings, in one place.

The colours are distinct for the common kinds of colour blindness and differ in lightness, so that they survive a grey
print; and nothing depends on colour alone (growth also has a thicker line and its +k).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

FONTS = "Helvetica,Arial,DejaVu Sans,sans-serif"
"""A viewer takes the first font that it has; Graphviz measures with the font of this machine."""

INK = "#1b2430"
QUIET = "#616a77"
LINE = "#9aa5b1"
WIRE = "#8793a1"
DATA_FILL = "#eef1f6"
OPERATION_FILL = "#f6f6f4"
LAYER_WORD = "#1f63b5"
GROWABLE_LINE = "#5b8fd0"
GROWN = "#00734d"
GROWN_FILL = "#dcf4e8"
REMOVED = "#a34700"
REMOVED_FILL = "#fbf1ea"
PAPER = "#ffffff"
FRAME_LINE = "#d3dae3"
FRAME_FILL = "#f9fafc"

TITLE_SIZE = 17
NAME_SIZE = 13
TEXT_SIZE = 10.5
SMALL_SIZE = 9


@dataclass(frozen=True)
class BoxStyle:
    """The style of a node's box: colours, line width in points, Graphviz's `style`."""

    line: str
    fill: str
    penwidth: float
    style: str


def ink_of_change(*, narrower: bool) -> str:
    """The colour of a change: that of growth, or that of what is taken out."""
    return REMOVED if narrower else GROWN


def box_style(role: str, *, growable: bool, grown: bool, narrower: bool = False) -> BoxStyle:
    """The box of a node: data with corners, what computes rounded, growth with a thick line, losses dashed."""
    style = "filled" if role in ("input", "output") else "rounded,filled"
    if narrower:
        return BoxStyle(REMOVED, REMOVED_FILL, 1.6, f"{style},dashed")
    if grown:
        return BoxStyle(GROWN, GROWN_FILL, 2.2, style)
    if role in ("input", "output"):
        return BoxStyle(LINE, DATA_FILL, 1.0, style)
    if role == "operation":
        return BoxStyle(LINE, OPERATION_FILL, 1.0, style)
    return BoxStyle(GROWABLE_LINE if growable else LINE, PAPER, 1.2 if growable else 1.0, style)


def thickness(features: int) -> float:
    """Points of an edge that carries `features`: a little more for each doubling.

    >>> thickness(1), thickness(64), thickness(10**6)
    (1.0, 4.3, 7.0)
    """
    return min(7.0, round(1.0 + 0.55 * log2(features), 2))
