"""The summary of several runs of one spec, as a table or as JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import printable


def tell_repeated(
    path: Path, seeds: Sequence[int], summaries: Sequence[Mapping[str, Any]], *, json_wanted: bool
) -> None:
    """Write the summary of several runs beside them, and print it; of a process that has none, nothing.

    Args:
        path: of the folder with the runs. seeds: one a run. summaries: of each. json_wanted: whether JSON is printed.
    """
    from gromo_graph.run.repeated import repeated_summary, write_repeated

    if not summaries:
        return
    summary = repeated_summary(path, seeds, summaries)
    write_repeated(path, summary)
    if json_wanted:
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    from gromo_graph.cli.console import console, plain_table

    table = plain_table(
        "mean ± standard error", "train", "validation", "test", numbers=("train", "validation", "test")
    )
    parts = [summary[part] for part in ("train", "validation", "test")]
    for name in dict.fromkeys(name for part in parts for name in part):
        table.add_row(name.replace("_", " "), *(_words(name, part.get(name)) for part in parts))
    stdout = console()
    stdout.print(table)
    for name, title in (("parameters", "parameters"), ("steps", "growth steps")):
        stdout.print(f"{title}: {_words(name, summary[name])}")
    stdout.print(f"{amount(len(summary['runs']), 'run')} in {printable(summary['run'])}")


def _words(name: str, found: Mapping[str, Any] | None) -> str:
    """A mean and its standard error."""
    from gromo_graph.render.numbers import measure_text

    if found is None:
        return "–"
    error = found["standard_error"]
    return measure_text(name, found["mean"]) + ("" if error is None else f" ± {measure_text(name, error)}")
