"""`gromo-graph compare`: several runs side by side, as a table or as a page, without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gromo_graph.cli.messages import printable, reported, say
from gromo_graph.cli.options import AsJson
from gromo_graph.errors import RunError

if TYPE_CHECKING:
    from gromo_graph.run.comparison import Comparison, Row


@reported
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Two run folders or more, also of runs that go on.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The page to write, x.html, with all curves."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show several runs side by side: sizes, measures, growth steps, seconds, and where their specs differ."""
    from gromo_graph.run.comparison import check_several, compared

    if out is not None and out.suffix not in (".html", ".htm"):
        raise typer.BadParameter(f"--out {out}: expected x.html")
    try:
        check_several(runs)
    except RunError as error:
        raise typer.BadParameter(str(error)) from None
    found = compared(runs)
    if out is not None:
        _write(found, out)
    if as_json:
        typer.echo(_json(found))
    elif out is None:
        _show(found)


def _write(found: Comparison, out: Path) -> None:
    from gromo_graph.records.atomic_files import replace_file
    from gromo_graph.render.comparison import ComparedRun
    from gromo_graph.render.pages.comparison import comparison_html

    runs = [
        ComparedRun(label, journal, run.state == "finished")
        for label, journal, run in zip(found.labels, found.journals, found.runs, strict=True)
    ]
    page = comparison_html(runs, facts=found.facts, differences=_differences(found), notes=found.notes)
    replace_file(out, page)
    say(f"written: {out}")


def _json(found: Comparison) -> str:
    differences = [{"key": ".".join(key), "values": values} for key, values in found.differences.items()]
    runs = [run.to_dict() for run in found.runs]
    return json.dumps({"runs": runs, "notes": found.notes, "differences": differences}, ensure_ascii=False)


def _differences(found: Comparison) -> list[Row]:
    from gromo_graph.spec.text.write import flow_text

    return [
        (".".join(key), tuple("–" if value is None else flow_text(value) for value in values))
        for key, values in found.differences.items()
    ]


def _show(found: Comparison) -> None:
    _show_rows("", found.labels, found.facts)
    differences = _differences(found)
    typer.echo()
    if differences:
        _show_rows("differences of the specs", found.labels, differences)
    else:
        typer.echo("the specs are the same")
    for note in found.notes:
        typer.echo(f"\n{printable(note)}")


def _show_rows(title: str, labels: Sequence[str], rows: Sequence[Row]) -> None:
    from gromo_graph.cli.console import console, plain_table

    table = plain_table(title, *map(printable, labels))
    for label, texts in rows:
        table.add_row(printable(label), *map(printable, texts))
    console().print(table)
