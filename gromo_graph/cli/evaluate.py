"""`gromo-graph evaluate`: how good a run's network is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.messages import reported
from gromo_graph.cli.options import AsJson


@reported
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|module:function", help="Data with targets; else the run's own, part by part."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the loss of a run's network and its accuracy, or R² and RMSE in units of the target."""
    from gromo_graph.run import load_run

    measured = load_run(run).measure(data)
    if as_json:
        whole = measured["test"] if "test" in measured else measured["all"]
        own = measured if "test" in measured else {}
        typer.echo(json.dumps({"run": str(run), **whole, **own}, ensure_ascii=False))
        return

    from gromo_graph.cli.summary import show_measures

    show_measures(measured)
