"""The command line. Each verb is a file; what computes is imported when a verb needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from gromo_graph import __version__
from gromo_graph.cli.compare import compare
from gromo_graph.cli.curve import curve
from gromo_graph.cli.diff import diff
from gromo_graph.cli.doctor import doctor
from gromo_graph.cli.edit import edit
from gromo_graph.cli.evaluate import evaluate
from gromo_graph.cli.examples import examples_of
from gromo_graph.cli.export import export
from gromo_graph.cli.grow import grow
from gromo_graph.cli.help_group import VerbGroup
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
from gromo_graph.cli.runs import runs
from gromo_graph.cli.schema import schema
from gromo_graph.cli.show import show
from gromo_graph.cli.validate import validate

__all__ = ["app"]

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="gromo-graph",
    cls=VerbGroup,
    context_settings=_HELP,
    help="Neural networks that grow: a YAML spec in, a trained network and its drawings out.",
    no_args_is_help=True,
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


_GROUPS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "Start": (new, import_, validate, schema, doctor, grow, resume),
    "Use": (evaluate, predict, pick, export),
    "Analyse": (show, render, plan, history, runs, curve, compare, inspect, diff, replay),
    "Edit": (edit, branch),
}
for group, verbs in _GROUPS.items():
    for verb in verbs:
        name = verb.__name__.rstrip("_")  # `import` is a word of Python
        app.command(name, rich_help_panel=group, epilog=examples_of(name), context_settings=_HELP)(verb)
