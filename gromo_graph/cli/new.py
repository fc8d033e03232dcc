"""`gromo-graph new`: a commented starter spec."""

from __future__ import annotations

from typing import Annotated

import typer

from gromo_graph.cli.messages import reported


@reported
def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Which starter.")] = "mlp",
) -> None:
    """Print a commented starter spec: gromo-graph new > my.yaml"""
    from difflib import get_close_matches

    from gromo_graph.spec.starter import STARTERS, starter

    if kind not in STARTERS:
        near = get_close_matches(kind, STARTERS, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise typer.BadParameter(
            f"there is no starter {kind!r}: {hint}Known: {', '.join(STARTERS)}.", param_hint="'KIND'"
        )
    typer.echo(starter(kind), nl=False)
