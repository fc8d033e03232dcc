"""The dark theme: every colour of a drawing has a partner of the same meaning."""

from __future__ import annotations

import re

from gromo_graph.render.drawing import fills, style
from gromo_graph.render.drawing.options import Theme

DARK = {
    style.PAPER: "#14181d",
    style.INK: "#e8ecf1",
    style.QUIET: "#a9b3bf",
    style.LINE: "#626d79",
    style.WIRE: "#7d8894",
    style.DATA_FILL: "#262d36",
    style.OPERATION_FILL: "#1e232a",
    style.LAYER_WORD: "#84b8f4",
    style.GROWABLE_LINE: "#4f82bf",
    style.GROWN: "#4bcf9a",
    style.GROWN_FILL: "#133a2b",
    style.REMOVED: "#f3a266",
    style.REMOVED_FILL: "#3b2617",
    style.FRAME_LINE: "#353f4a",
    style.FRAME_FILL: "#191e25",
    **fills.DARK,
}

# Text of users stands in labels, where quotes are escaped: nothing of it can options like an attribute.
_COLOUR = re.compile(r'\b(color|fillcolor|bgcolor|fontcolor)="(#[0-9a-f]{6})"', re.IGNORECASE)


def themed(dot: str, theme: Theme) -> str:
    """DOT in the colours of a theme.

    >>> themed('a [color="#1b2430" fillcolor="#ffffff"]', "dark")
    'a [color="#e8ecf1" fillcolor="#14181d"]'
    """
    if theme == "light":
        return dot
    return _COLOUR.sub(lambda match: f'{match[1]}="{DARK[match[2]]}"', dot)
