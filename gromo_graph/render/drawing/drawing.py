"""A drawing before Graphviz lays it out: its DOT text, and its content in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gromo_graph.render.drawing.frames import Frame
from gromo_graph.render.drawing.labels import Direction


@dataclass(frozen=True)
class DrawnPart:
    """A node or edge of the drawing as other tools find it: its name and the words shown on hovering."""

    name: str
    tooltip: str


@dataclass(frozen=True)
class Drawing:
    """DOT source with what the picture says in words.

    Attributes:
        dot: the source.
        title, description: of the whole picture.
        direction: where the data flow.
        parts: by the id that nodes and edges have in the DOT (`n0`, `e0`, `o0`).
        frames: the blocks that are drawn as frames.
        engine: of Graphviz: `dot` lays the picture out, `nop2` takes the positions in the DOT.
    """

    dot: str
    title: str
    description: str
    direction: Direction
    parts: Mapping[str, DrawnPart]
    frames: tuple[Frame, ...] = ()
    engine: str = "dot"


@dataclass(frozen=True)
class Words:
    """The words of a drawing: its title and description for screen readers, and the label above the picture."""

    title: str
    description: str
    label: str
