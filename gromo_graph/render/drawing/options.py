"""The options of a drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from gromo_graph.errors import RenderError
from gromo_graph.render.drawing.labels import Direction

Theme = Literal["light", "dark"]
Colour = Literal["role", "kind", "slope"]


@dataclass(frozen=True)
class DrawingOptions:
    """The options of a drawing.

    Attributes:
        direction: of the data; None is to the right, and down in a graph so deep that it would be a ribbon.
        theme: dark is for dark pages and screens.
        colour: the meaning of the fill of boxes: their role, their kind, or the slope of their growth in the event.
        collapsed: blocks that are drawn as one box, `body` or `body.2`; `all` stands for all of them, and None leaves
            it to the size of the network.
        compact: a long network runs to the right in several rows, one below the other, without frames.
        dense: no words on edges, so that sizes stand in the boxes alone; None leaves it to the size of the network.

    Raises:
        RenderError: an unknown word, or options that exclude each other.
    """

    direction: Direction | None = None
    theme: Theme = "light"
    colour: Colour = "role"
    collapsed: tuple[str, ...] | None = None
    dense: bool | None = None
    compact: bool = False

    def __post_init__(self) -> None:
        for name, words in (("theme", Theme), ("colour", Colour)):
            found = getattr(self, name)
            if found not in get_args(words):
                raise RenderError(f"{name} {found!r}: expected one of {', '.join(get_args(words))}")
        if self.compact and self.direction == "down":
            raise RenderError("a compact drawing runs to the right in rows: leave out the direction")
