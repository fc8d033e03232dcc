"""HTML-like labels: rows of texts in a table, every cell as wide as its text needs in any font."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gromo_graph.render.drawing.style import INK, TEXT_SIZE
from gromo_graph.render.drawing.text import html_text, points

# Half the width of an arrowhead, in points.
_ARROWHEAD = 6

Direction = Literal["right", "down"]
"""The direction of the data in the picture."""


@dataclass(frozen=True)
class Text:
    """Text in one style; `size` in points. With a `fill` it stands in a box of this colour, whose line has `color`."""

    text: str
    size: float = TEXT_SIZE
    color: str = INK
    bold: bool = False
    fill: str = ""

    @property
    def width(self) -> int:
        """Points to keep free for it."""
        return points(self.text, self.size, bold=self.bold)

    @property
    def html(self) -> str:
        """The text as Graphviz reads it. Empty text would be a syntax error there, so it becomes a space."""
        content = html_text(self.text) or " "
        if self.bold:
            content = f"<B>{content}</B>"
        return f'<FONT POINT-SIZE="{self.size:g}" COLOR="{self.color}">{content}</FONT>'


@dataclass(frozen=True)
class Cell:
    """Texts side by side, each with its own room: two never touch, whatever font the viewer has."""

    texts: tuple[Text, ...]
    align: Literal["LEFT", "CENTER", "RIGHT"] = "LEFT"
    span: int = 1

    @property
    def html(self) -> str:
        """The cell with its least width."""
        span = f' COLSPAN="{self.span}"' if self.span > 1 else ""
        if len(self.texts) == 1:
            return self._cell(self.texts[0], span)
        width = sum(text.width for text in self.texts)
        height = round(1.35 * max(text.size for text in self.texts))
        # Of a fixed size, or Graphviz would spread the texts over a cell that is wider.
        fixed = f'FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="{height}" ALIGN="{self.align}" '
        inner = _table("".join(["<TR>", *(self._cell(text) for text in self.texts), "</TR>"]), 0, fixed)
        return f'<TD ALIGN="{self.align}"{span}>{inner[1:-1]}</TD>'

    def _cell(self, text: Text, span: str = "") -> str:
        box = f' BORDER="1" COLOR="{text.color}" BGCOLOR="{text.fill}"' if text.fill else ""
        return f'<TD ALIGN="{self.align}" VALIGN="BOTTOM" WIDTH="{text.width}"{span}{box}>{text.html}</TD>'


def table(rows: Sequence[Sequence[Cell] | int]) -> str:
    """A table without lines, as the value of a `label` attribute; a number is an empty row of so many points."""
    return _table(
        "".join(f"<TR>{_gap(row) if isinstance(row, int) else _cells(row)}</TR>" for row in rows), 1
    )


def _table(body: str, padding: int, fixed: str = "") -> str:
    return f'<<TABLE {fixed}BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">{body}</TABLE>>'


def _cells(row: Sequence[Cell]) -> str:
    return "".join(cell.html for cell in row)


def _gap(height: int) -> str:
    return f'<TD HEIGHT="{height}"></TD>'


def beside_line(texts: Sequence[Text], penwidth: float, direction: Direction) -> str:
    """The label of an edge: rows that keep clear of a line of `penwidth` points, below them or on their left."""
    gap = round(2 + 0.8 * penwidth)
    if direction == "right":  # the arrowhead is far from the middle of a line that is as long as its label
        return _table(
            "".join(f"<TR>{Cell((text,), 'CENTER').html}</TR>" for text in texts) + f"<TR>{_gap(gap)}</TR>", 0
        )
    gap += _ARROWHEAD  # on a short line downwards the label stands beside it
    return _table("".join(f'<TR><TD WIDTH="{gap}"></TD>{Cell((text,)).html}</TR>' for text in texts), 0)
