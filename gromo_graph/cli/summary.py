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
from gromo_graph.run.folder.own_files import REPORT, STEPS

_FORMS = {
    "loss": "{:.4f}",
    "accuracy": "{:.2%}",
    "majority_rate": "{:.2%}",
    "balanced_accuracy": "{:.2%}",
    "f1_macro": "{:.4f}",
    "log_loss": "{:.4f}",
    "roc_auc": "{:.4f}",
    "r2": "{:.4f}",
    "rmse": "{:.4g}",
    "mae": "{:.4g}",
}
_TITLES = {
    "majority_rate": "majority",
    "balanced_accuracy": "balanced",
    "f1_macro": "F1 macro",
    "log_loss": "log loss",
    "roc_auc": "AUC",
    "r2": "R²",
    "rmse": "RMSE, in units of the target",
    "mae": "MAE",
}


def show_summary(summary: Mapping[str, Any]) -> None:
    """Print the summary of a run, and the paths of its pictures and its report."""
    table = Table.grid(padding=(0, 2))
    folder = Path(summary["run"])
    facts = {
        "growth steps": str(summary["steps"]),
        "growth ended": summary["reason"],
        "parameters": f"{summary['parameters']:,}",
        "run": str(folder),
        "drawings": str(folder / STEPS),
        "report": str(folder / REPORT),
    }
    if "stopped" in summary:
        facts["training ended early"] = summary["stopped"]
    if "kept_epoch" in summary:
        facts["weights kept"] = f"those of epoch {summary['kept_epoch']}, the best one"
    if "threshold" in summary:
        facts["threshold, tuned"] = f"{summary['threshold']:.3g}"
    notes = [("note", note) for note in summary.get("notes", ())]
    for label, text in [*facts.items(), *notes]:
        table.add_row(Text(label, style="dim"), Text(printable(text), overflow="fold"))
    stdout = console()
    show_measures({part: summary[part] for part in ("train", "validation", "test")}, on=stdout)
    stdout.print(table)


def summary_as_json(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of a run, with the path of its report."""
    return {**summary, "report": str(Path(summary["run"]) / REPORT)}


def show_measures(measured: Mapping[str, Mapping[str, Any]], *, on: Console | None = None) -> None:
    """Print a row for each part of the data, and a column for each measure that any of them has."""
    every = dict.fromkeys(
        name for values in measured.values() for name, value in values.items() if value is not None
    )
    known = sorted((name for name in every if _measure(name) in _FORMS), key=_place)
    titles = [_title(name) for name in known]
    table = plain_table("data", *titles, numbers=tuple(titles))
    for part, values in measured.items():
        row = [_number(values.get(name), _FORMS[_measure(name)]).replace("%", " %") for name in known]
        table.add_row(part, *row)
    (on or console()).print(table)


def _measure(name: str) -> str:
    """The measure of a name; that of one of several outputs has the name of the output before it."""
    return name.rpartition(".")[2]


def _place(name: str) -> tuple[str, int]:
    """Sorts by output, then in the order of the table of forms; what all outputs share comes first."""
    return name.rpartition(".")[0], list(_FORMS).index(_measure(name))


def _title(name: str) -> str:
    output, _, measure = name.rpartition(".")
    return printable(f"{output} " if output else "") + _TITLES.get(measure, measure)


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else form.format(value)
