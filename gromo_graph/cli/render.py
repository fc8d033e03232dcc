"""`gromo-graph render`: drawings of a spec or a run, without torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gromo_graph.cli.messages import reported, say
from gromo_graph.cli.watch import Watch, watched


class Filled(StrEnum):
    """The quantities that boxes may be filled by."""

    role = "role"
    kind = "kind"
    slope = "slope"


@reported
def render(
    target: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A YAML file, a run folder, or RUN@3.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE|DIR",
            help="x.svg, x.png, x.pdf, x.dot or x.mmd; x.gif or x.webp of a run's steps; else SVG on stdout. With "
            "--steps a folder.",
        ),
    ] = None,
    down: Annotated[
        bool | None, typer.Option("--down/--right", help="Where the data flow; by default what fits better.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For dark pages and screens.")] = False,
    colour: Annotated[
        Filled, typer.Option(help="Fill boxes by their role, their kind, or the slope of more features.")
    ] = Filled.role,
    collapse: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BLOCK|all|none",
            help="Draw a block such as body or body.2 as one box; may be repeated. By default all blocks of "
            "a network of more than 100 nodes.",
        ),
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Draw a long network in rows, one below the other.")
    ] = False,
    steps: Annotated[
        bool,
        typer.Option(
            "--steps", help="Every growth step of a run, each node in one place, into the folder -o."
        ),
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="svg, png, pdf, dot, mermaid, gif or webp; else by the name.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="That each step of an animation is shown.")] = 1.0,
    watch: Watch = False,
) -> None:
    """Draw a spec, or a run with its last growth step; RUN@3: after its third step; --steps: all of them."""
    if (watch or steps) and out is None:
        raise typer.BadParameter("--watch draws into a file, --steps into a folder: name it with -o")
    look = {
        "direction": None if down is None else "down" if down else "right",
        "theme": "dark" if dark else "light",
        "colour": colour.value,
        "collapsed": () if collapse == ["none"] else collapse,
        "compact": compact,
    }

    def drawn() -> None:
        if steps:
            _draw_steps(target, out, form, look)
        else:
            _draw(target, out, form, {**look, "seconds": seconds})

    if watch:
        file = Path(target) / "journal.jsonl" if Path(target).is_dir() else target
        watched(str(file), drawn)
    else:
        drawn()


def _draw(target: str, out: Path | None, form: str | None, look: dict[str, Any]) -> None:
    from gromo_graph.render import render as draw

    if out is None:
        typer.echo(draw(target, format=form, **look))
        return
    draw(target, out, format=form, **look)
    say(f"drawn: {out}")


def _draw_steps(target: str, out: Path | None, form: str | None, look: dict[str, Any]) -> None:
    from gromo_graph.render import render_steps

    assert out is not None
    paths = render_steps(target, out, format=form or "svg", **look)
    say(f"drawn: {paths[0]} to {paths[-1].name}")
