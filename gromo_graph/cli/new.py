"""`gromo-graph new`: a commented starter spec."""

from __future__ import annotations

from typing import Annotated

import typer

from gromo_graph.cli.messages import reported, say

_TABLE = "table"


@reported
def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Which starter.")] = "mlp",
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Of a table: the file, .csv, .parquet or .xlsx.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Of a table: the column to predict; may be repeated."),
    ] = None,
) -> None:
    """Print a commented starter spec: gromo-graph new > my.yaml"""
    from difflib import get_close_matches

    from gromo_graph.spec.starter import STARTERS, starter

    known = (*STARTERS, _TABLE)
    if kind not in known:
        near = get_close_matches(kind, known, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise typer.BadParameter(
            f"there is no starter {kind!r}: {hint}Known: {', '.join(known)}.", param_hint="'KIND'"
        )
    if kind == _TABLE:
        if data is None or not target:
            raise typer.BadParameter("a table needs both: --data FILE --target COLUMN", param_hint="'KIND'")
        typer.echo(_for_table(data, target), nl=False)
        return
    if data is not None or target:
        raise typer.BadParameter("--data and --target are for a table: new table", param_hint="'KIND'")
    typer.echo(starter(kind), nl=False)


def _for_table(data: str, targets: list[str]) -> str:
    """The spec of a table; columns that are not read are told."""
    from gromo_graph.errors import RunError
    from gromo_graph.run.data.tables.sources import is_table
    from gromo_graph.run.data.tables.starter import table_starter
    from gromo_graph.spec.data_sections import TABLES

    if not is_table(data):
        raise RunError(f"{data}: this is no table: expected a file that ends in {', '.join(TABLES)}")
    found = table_starter(data, *targets)
    for note in found.notes:
        say(f"note: {note}")
    return found.text
