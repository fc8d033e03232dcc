"""The console for tables: stdout, as wide as the terminal, or wide enough for a pipe."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

_PIPED_WIDTH = 160


def console() -> Console:
    """A console that colours nothing of its own: brackets in names and messages are text."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(highlight=False, markup=False, width=width)


def plain_table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """A table without lines. `numbers` are the columns that stand to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        right = name in numbers
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table
