"""`gromo-graph render`: a drawing of a spec or a run, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.messages import reported, say
from gromo_graph.cli.watch import Watch, watched


@reported
def render(
    target: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A YAML file, or a run folder.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="x.svg, x.png, x.pdf or x.dot; else SVG on stdout."),
    ] = None,
    watch: Watch = False,
) -> None:
    """Draw a spec, or a run as it now stands with what grew last."""
    if watch and out is None:
        raise typer.BadParameter("--watch draws into a file: name it with -o")
    if watch:
        file = Path(target) / "journal.jsonl" if Path(target).is_dir() else target
        watched(str(file), lambda: _draw(target, out))
    else:
        _draw(target, out)


def _draw(target: str, out: Path | None) -> None:
    from gromo_graph.render import render as draw

    if out is None:
        typer.echo(draw(target))
        return
    draw(target, out)
    say(f"drawn: {out}")
