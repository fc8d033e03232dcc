"""`gromo-graph runs`: a row for each run below a folder, from the files of the runs, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gromo_graph.cli.messages import printable, reported
from gromo_graph.cli.options import AsJson

_FACTS = ("run", "name", "data", "state", "parameters", "steps", "seconds")
_SHOWN = ("loss", "accuracy", "r2", "test_loss", "test_accuracy", "test_r2")
"""The measures that have a column; the others are there with `--json`, and if they are sorted by."""


@reported
def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder with runs in it, at any depth.")
    ] = Path("runs"),
    sort: Annotated[
        str,
        typer.Option(
            metavar="KEY",
            help=f"{', '.join(_FACTS)}; or a measure: loss, test_loss, accuracy, test_f1_macro, .... From the least.",
        ),
    ] = "run",
    as_json: AsJson = False,
) -> None:
    """List the runs below a folder: data, state, size, growth steps, held-out and test measures, seconds."""
    from gromo_graph.run.folder.overview import overviews_below

    rows = [row.to_dict() for row in overviews_below(folder)]
    known = dict.fromkeys([*_FACTS, "loss", *(key for row in rows for key in _values(row))])
    if sort not in known:
        raise typer.BadParameter(f"--sort {sort}: expected one of {', '.join(known)}")
    rows.sort(key=lambda row: _place(_values(row).get(sort)))
    if as_json:
        typer.echo(json.dumps({"runs": rows}, ensure_ascii=False))
        return
    readable = [_values(row) for row in rows if "name" in row]
    if readable:
        _show(readable, sort)
    else:
        typer.echo(f"{printable(str(folder))}: there is no run in it that can be read")
    _show_notes([row for row in rows if row["notes"]])


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a row by their names; those of test data have a prefix."""
    tested = {f"test_{name}": value for name, value in row.get("test", {}).items()}
    return {**row.get("validation", {}), **tested, **{name: row.get(name) for name in _FACTS}}


def _place(value: Any) -> tuple[bool, Any]:
    """A key that puts rows without a value last."""
    from gromo_graph.run.folder.overview import natural

    return (value is None, 0 if value is None else natural(value) if isinstance(value, str) else value)


def _show(rows: Sequence[Mapping[str, Any]], sorted_by: str) -> None:
    from gromo_graph.cli.console import console, plain_table

    found = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in found if name in (sorted_by, *_SHOWN) and name not in _FACTS]
    measures = sorted(names, key=lambda name: name.startswith("test_"))
    columns = [*_FACTS[:-1], *measures, "seconds"]
    numbers = ("parameters", "steps", *measures, "seconds")
    titles = {name: _title(name) if name in measures else name for name in columns}
    table = plain_table(*titles.values(), numbers=tuple(titles[name] for name in numbers))
    for row in rows:
        table.add_row(*(_cell(name, row.get(name)) for name in columns))
    console().print(table)


def _show_notes(rows: Sequence[Mapping[str, Any]]) -> None:
    """Folders that cannot be read as runs, and what else there is to say: sentences need a table of their own."""
    from gromo_graph.cli.console import console, plain_table

    if rows:
        table = plain_table("folder", "state", "note")
        for row in rows:
            table.add_row(printable(row["run"]), row["state"], printable("; ".join(row["notes"])))
        typer.echo()
        console().print(table)


def _title(measure: str) -> str:
    words = measure.replace("_", " ")
    return words if measure.startswith("test_") else f"held-out {words}"


def _cell(name: str, value: Any) -> str:
    from gromo_graph.render.numbers import measure_text

    match name, value:
        case _, None:
            return "–"
        case "parameters" | "steps", int():
            return f"{value:,}"
        case "seconds", _:
            return f"{value:,.1f}"
        case "data", str():
            return printable(Path(value).name)
        case _, str():
            return printable(value)
        case _:
            return measure_text(name.removeprefix("test_"), value)
