"""The results of a run, as a table on stdout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gromo_graph.cli.console import console, plain_table
from gromo_graph.cli.messages import printable


def show_summary(summary: Mapping[str, Any]) -> None:
    """Print the summary of a run, and the paths of its pictures and its report."""
    table = Table.grid(padding=(0, 2))
    folder = Path(summary["run"])
    facts = {
        "growth steps": str(summary["steps"]),
        "growth ended": summary["reason"],
        "parameters": f"{summary['parameters']:,}",
        "run": str(folder),
        "drawings": str(folder / "steps"),
        "report": str(folder / "report.html"),
    }
    notes = [("note", note) for note in summary.get("notes", ())]
    for label, text in [*facts.items(), *notes]:
        table.add_row(Text(label, style="dim"), Text(printable(text), overflow="fold"))
    stdout = console()
    show_measures({part: summary[part] for part in ("train", "validation", "test")}, on=stdout)
    stdout.print(table)


def show_measures(measured: Mapping[str, Mapping[str, Any]], *, on: Console | None = None) -> None:
    """Print a row for each part of the data."""
    accurate = any(values["accuracy"] is not None for values in measured.values())
    numbers = ("loss", "accuracy") if accurate else ("loss",)
    table = plain_table("data", *numbers, numbers=numbers)
    for part, values in measured.items():
        row = [part, _number(values["loss"], "{:.4f}")]
        if accurate:
            row.append(_number(values["accuracy"], "{:.2%}").replace("%", " %"))
        table.add_row(*row)
    (on or console()).print(table)


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else form.format(value)
