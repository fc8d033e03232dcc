"""`gromo-graph curve`: the held-out loss of a run at every size of its network, from its journal, without torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gromo_graph.cli.messages import printable, reported, say
from gromo_graph.cli.options import AsJson
from gromo_graph.errors import RunError
from gromo_graph.records.sizes import Size

Sizes = Mapping[str, Sequence[Size]]


class Format(StrEnum):
    """The forms of a curve."""

    text = "text"
    json = "json"
    csv = "csv"
    svg = "svg"


@reported
def curve(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders, also of runs that go on.")],
    form: Annotated[
        Format | None, typer.Option("--format", help="By default as -o says by its name, else text.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="x.svg, x.csv, x.json or x.txt; else stdout."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the held-out loss at every size that the network of a run had: against parameters and multiply-adds."""
    if as_json and form not in (None, Format.json):
        raise typer.BadParameter(f"--json and --format {form}: keep one of the two")
    chosen = Format.json if as_json else form or _by_name(out)
    sizes = {str(path): _sizes(path) for path in runs}
    if out is None and chosen is Format.text:
        _show(sizes)
        return
    text = _WRITTEN[chosen](sizes)
    if out is None:
        typer.echo(text, nl=False)
        return
    from gromo_graph.records.atomic_files import replace_file

    replace_file(out, text)
    say(f"written: {out}")


def _by_name(out: Path | None) -> Format:
    """The format that the name of a file says."""
    if out is None or out.suffix in ("", ".txt"):
        return Format.text
    try:
        return Format(out.suffix.removeprefix("."))
    except ValueError:
        expected = "x.svg, x.csv, x.json or x.txt, or give --format"
        raise typer.BadParameter(f"--out {out}: expected {expected}") from None


def _sizes(run: Path) -> Sequence[Size]:
    """
    Raises:
        RunError: there is no run, its journal is damaged, or nothing has been measured in it.
    """
    from gromo_graph.records import read_journal, sizes_of
    from gromo_graph.run.folder.run_folder import open_folder

    folder = open_folder(run)
    journal = read_journal(folder.path)
    sizes = sizes_of(journal.epochs, journal.events, is_over=folder.is_over)
    if not sizes:
        raise RunError(f"{run}: nothing is measured yet: the first epoch is not over")
    return sizes


def _rows(sizes: Sizes) -> list[dict[str, Any]]:
    return [{"run": run, **size.to_dict()} for run, rows in sizes.items() for size in rows]


def _json(sizes: Sizes) -> str:
    return json.dumps({"sizes": _rows(sizes)}, ensure_ascii=False) + "\n"


def _csv(sizes: Sizes) -> str:
    rows = _rows(sizes)
    written = io.StringIO()
    table = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def _svg(sizes: Sizes) -> str:
    from gromo_graph.render.size_curve import size_curve_svg

    return size_curve_svg(sizes)


def _text(sizes: Sizes) -> str:
    """The table as it is printed."""
    from rich.console import Console

    written = io.StringIO()
    _show(sizes, Console(file=written, width=120, highlight=False))
    return written.getvalue()


_WRITTEN = {Format.json: _json, Format.csv: _csv, Format.svg: _svg, Format.text: _text}


def _show(sizes: Sizes, on: Any = None) -> None:
    from gromo_graph.cli.console import console, plain_table
    from gromo_graph.render.numbers import real

    several = len(sizes) > 1
    accurate = any(size.accuracy is not None for rows in sizes.values() for size in rows)
    measures = ("held-out loss", "accuracy") if accurate else ("held-out loss",)
    numbers = ("step", "epoch", "parameters", "multiply-adds", *measures)
    table = plain_table(*(("run",) if several else ()), *numbers, "trained", numbers=numbers)
    for run, rows in sizes.items():
        for size in rows:
            accuracy = "–" if size.accuracy is None else f"{size.accuracy:.2%}".replace("%", " %")
            table.add_row(
                *([printable(run)] if several else []),
                *(str(size.step), str(size.epoch), f"{size.parameters:,}", f"{size.madds:,}"),
                *(real(size.loss, 4), *([accuracy] if accurate else [])),
                "to the end" if size.to_the_end else "so far" if size is rows[-1] else "until the next step",
            )
    (on or console()).print(table)
