"""HTML-like labels: rows of text runs in a table, every cell as wide as its text needs in any font."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gromo_graph.render.style import INK, TEXT_SIZE
from gromo_graph.render.text import html_text, points


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
    align: str = "LEFT"
    span: int = 1

    @property
    def html(self) -> str:
        """The cell with its least width."""
        width = sum(run.width for run in self.runs)
        span = f' COLSPAN="{self.span}"' if self.span > 1 else ""
        content = "".join(run.html for run in self.runs)
        return f'<TD ALIGN="{self.align}" WIDTH="{width}"{span}>{content}</TD>'


def table(rows: Sequence[Sequence[Cell]], *, spacing: int = 0, padding: int = 1) -> str:
    """A table without lines, as the value of a `label` attribute."""
    body = "".join("<TR>" + "".join(cell.html for cell in row) + "</TR>" for row in rows)
    return (
        f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="{padding}">{body}</TABLE>>'
    )
