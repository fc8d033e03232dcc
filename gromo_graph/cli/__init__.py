"""The command line. Each verb is a file; what computes is imported when a verb needs it."""

from __future__ import annotations

from typing import Annotated

import typer

from gromo_graph import __version__
from gromo_graph.cli.curve import curve
from gromo_graph.cli.diff import diff
from gromo_graph.cli.edit import edit
from gromo_graph.cli.evaluate import evaluate
from gromo_graph.cli.export import export
from gromo_graph.cli.grow import grow
from gromo_graph.cli.history import history
from gromo_graph.cli.import_ import import_
from gromo_graph.cli.inspect import inspect
from gromo_graph.cli.new import new
from gromo_graph.cli.pick import pick
from gromo_graph.cli.plan import plan
from gromo_graph.cli.predict import predict
from gromo_graph.cli.render import render
from gromo_graph.cli.replay import branch, replay
from gromo_graph.cli.resume import resume
from gromo_graph.cli.schema import schema
from gromo_graph.cli.show import show
from gromo_graph.cli.validate import validate

__all__ = ["app"]

app = typer.Typer(
    name="gromo-graph",
    help="Neural networks that grow: a YAML spec in, a trained network and its drawings out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than a drawing to be made
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"gromo-graph {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


_VERBS = (
    *(new, validate, render, show, edit, diff, schema),
    *(plan, grow, resume, history, curve, inspect, replay, branch, pick, evaluate, predict),
    *(import_, export),
)
for verb in _VERBS:
    app.command(verb.__name__.rstrip("_"))(verb)  # `import` is a word of Python
