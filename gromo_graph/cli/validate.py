"""`gromo-graph validate`: every problem of a spec at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from gromo_graph.cli.messages import WRONG, printable, reported, show_problems
from gromo_graph.cli.options import AsJson, Overrides


@reported
def validate(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="The YAML file.")],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check a spec: all its problems, each with its line and what to do."""
    from gromo_graph.errors import SpecError
    from gromo_graph.graph import build_graph, obstacle
    from gromo_graph.spec import load_spec

    try:
        loaded = load_spec(spec, overrides=overrides or ())
    except SpecError as error:
        if as_json:
            problems = [asdict(problem) for problem in error.problems]
            typer.echo(json.dumps({"valid": False, "problems": problems}, ensure_ascii=False))
        else:
            show_problems(error.problems)
        raise typer.Exit(WRONG) from None
    graph = build_graph(loaded)
    sizes = {
        "name": loaded.name,
        "nodes": len(loaded.nodes),
        "parameters": graph.parameter_count,
        "madds": graph.multiply_adds,
    }
    if as_json:
        typer.echo(json.dumps({"valid": True, "problems": [], **sizes}, ensure_ascii=False))
        return
    typer.echo(
        f"{printable(spec)}: sound: {printable(loaded.name)} has {len(loaded.nodes)} nodes, "
        f"{graph.parameter_count:,} parameters and {graph.multiply_adds:,} multiply-adds before any growth"
    )
    for group in graph.groups:
        reason = obstacle(graph, group)
        if reason is not None and not set(group.producers) <= set(loaded.outputs):
            names = ", ".join(f"`{printable(name)}`" for name in group.producers)
            typer.echo(f"  {names} will not grow: {printable(reason)}")
