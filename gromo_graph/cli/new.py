"""`gromo-graph new`: a commented starter spec."""

from __future__ import annotations

from typing import Annotated

import typer

from gromo_graph.cli.messages import reported


@reported
def new(
    kind: Annotated[str, typer.Argument(metavar="[KIND]", help="Which starter.")] = "mlp",
) -> None:
    """Print a commented starter spec: gromo-graph new > my.yaml"""
    from gromo_graph.spec.starter import starter

    typer.echo(starter(kind), nl=False)
