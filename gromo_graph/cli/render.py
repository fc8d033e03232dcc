"""`gromo-graph render`: a drawing of a spec or a run, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.messages import reported, say


@reported
def render(
    target: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A YAML file, or a run folder.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="x.svg, x.png, x.pdf or x.dot; else SVG on stdout."),
    ] = None,
) -> None:
    """Draw a spec, or a run as it now stands with what grew last."""
    from gromo_graph.render import render as draw

    if out is None:
        typer.echo(draw(target))
        return
    draw(target, out)
    say(f"drawn: {out}")
