"""`gromo-graph render`: a drawing of a spec or a run, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.messages import reported, say
from gromo_graph.cli.watch import Watch, watched
from gromo_graph.render.labels import Direction


@reported
def render(
    target: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A YAML file, a run folder, or RUN@3.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="x.svg, x.png, x.pdf, x.dot or x.mmd; else SVG on stdout."
        ),
    ] = None,
    down: Annotated[
        bool | None, typer.Option("--down/--right", help="Where the data flow; by default what fits better.")
    ] = None,
    watch: Watch = False,
) -> None:
    """Draw a spec, or a run as it now stands with what grew last; RUN@3: after its third step."""
    direction: Direction | None = None if down is None else "down" if down else "right"
    if watch and out is None:
        raise typer.BadParameter("--watch draws into a file: name it with -o")
    if watch:
        file = Path(target) / "journal.jsonl" if Path(target).is_dir() else target
        watched(str(file), lambda: _draw(target, out, direction))
    else:
        _draw(target, out, direction)


def _draw(target: str, out: Path | None, direction: Direction | None) -> None:
    from gromo_graph.render import render as draw

    if out is None:
        typer.echo(draw(target, direction=direction))
        return
    draw(target, out, direction=direction)
    say(f"drawn: {out}")
