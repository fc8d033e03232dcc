"""`gromo-graph diff`: two networks beside each other, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.messages import FAILED, WRONG, EndedError, printable, reported, say
from gromo_graph.cli.options import AsJson
from gromo_graph.errors import RenderError, RunError

_WHAT = "A YAML file, a run folder, or RUN@3 for a run after its third step (RUN@0: before any)."


@reported
def diff(
    old: Annotated[str, typer.Argument(metavar="A", help=_WHAT)],
    new: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Draw both in one picture, x.svg or so."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what B adds to A, what it removes and what it changes; exit code 1 if they differ."""
    from gromo_graph.graph.diff import diff as compare
    from gromo_graph.render import render
    from gromo_graph.render.target import resolve

    try:
        before, after = (resolve(target, None)[0].spec for target in (old, new))
    except (RunError, RenderError) as error:
        raise EndedError(str(error), WRONG) from None  # 1 says that they differ
    found = compare(before, after)
    if out is not None:
        render(found, out)
        say(f"drawn: {out}")
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        typer.echo(printable(str(found)))
    if found:
        raise typer.Exit(FAILED)
