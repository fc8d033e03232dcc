"""HTML-like labels: rows of text runs in a table, every cell as wide as its text needs in any font."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gromo_graph.render.style import INK, TEXT_SIZE
from gromo_graph.render.text import html_text, points

Direction = Literal["right", "down"]
"""Where the data flow in the picture."""


@dataclass(frozen=True)
class Run:
    """Text in one style; `size` in points."""

    text: str
    size: float = TEXT_SIZE
    color: str = INK
    bold: bool = False

    @property
    def width(self) -> int:
        """Points to keep free for it."""
        return points(self.text, self.size, bold=self.bold)

    @property
    def html(self) -> str:
        """The run as Graphviz reads it. Empty text would be a syntax error there, so it becomes a space."""
        content = html_text(self.text) or " "
        if self.bold:
            content = f"<B>{content}</B>"
        return f'<FONT POINT-SIZE="{self.size:g}" COLOR="{self.color}">{content}</FONT>'


@dataclass(frozen=True)
class Cell:
    """Runs side by side."""

    runs: tuple[Run, ...]
    align: Literal["LEFT", "CENTER", "RIGHT"] = "LEFT"
    span: int = 1

    @property
    def html(self) -> str:
        """The cell with its least width."""
        width = sum(run.width for run in self.runs)
        span = f' COLSPAN="{self.span}"' if self.span > 1 else ""
        content = "".join(run.html for run in self.runs)
        return f'<TD ALIGN="{self.align}" WIDTH="{width}"{span}>{content}</TD>'


def table(rows: Sequence[Sequence[Cell] | int]) -> str:
    """A table without lines, as the value of a `label` attribute; a number is an empty row of so many points."""
    return _table(
        "".join(f"<TR>{_gap(row) if isinstance(row, int) else _cells(row)}</TR>" for row in rows), 1
    )


def _table(body: str, padding: int) -> str:
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">{body}</TABLE>>'


def _cells(row: Sequence[Cell]) -> str:
    return "".join(cell.html for cell in row)


def _gap(height: int) -> str:
    return f'<TD HEIGHT="{height}"></TD>'


def beside_line(runs: Sequence[Run], penwidth: float, direction: Direction) -> str:
    """The label of an edge: rows that keep clear of a line of `penwidth` points, below them or on their left."""
    gap = round(2 + penwidth / 2)
    if direction == "right":
        return _table(
            "".join(f"<TR>{Cell((run,), 'CENTER').html}</TR>" for run in runs) + f"<TR>{_gap(gap)}</TR>", 0
        )
    return _table("".join(f'<TR><TD WIDTH="{gap}"></TD>{Cell((run,)).html}</TR>' for run in runs), 0)
