"""`gromo-graph validate`: every problem of a spec at once."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from typing import Annotated

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import WRONG, printable, reported
from gromo_graph.cli.options import Overrides
from gromo_graph.cli.watch import Watch, watched
from gromo_graph.errors import Problem, SpecError


@reported
def validate(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="The YAML file.")],
    overrides: Overrides = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A list on stdout: file, line, column, path and message of each.")
    ] = False,
    watch: Watch = False,
) -> None:
    """Check a spec: all its problems, each with its line and what to do."""
    if watch:
        watched(spec, lambda: _sound(spec, overrides))
        return
    if not as_json:
        _sound(spec, overrides)
        return
    from gromo_graph.spec import check_spec

    problems = check_spec(spec, overrides=overrides or ()) or _unreachable(spec, overrides)
    typer.echo(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False))
    if problems:
        raise typer.Exit(WRONG)


def _sound(spec: str, overrides: Overrides) -> None:
    """Print the size of a sound spec, its parts that will not grow, and warn of what is seldom meant."""
    from gromo_graph.graph import build_graph, obstacle
    from gromo_graph.graph.doubts import doubts
    from gromo_graph.spec import load_spec

    loaded = load_spec(spec, overrides=overrides or ())
    if problems := _unreachable(spec, overrides):
        raise SpecError(problems)
    graph = build_graph(loaded)
    for doubt in doubts(graph):
        warnings.warn(printable(doubt), stacklevel=2)
    typer.echo(
        f"{printable(spec)}: sound: {printable(loaded.name)} has {amount(len(loaded.nodes), 'node')}, "
        f"{amount(graph.parameter_count, 'parameter')} and {amount(graph.multiply_adds, 'multiply-add')} "
        "before any growth"
    )
    for group in graph.groups:
        reason = obstacle(graph, group)
        if reason is not None and not set(group.producers) <= set(loaded.outputs):
            names = ", ".join(f"`{printable(name)}`" for name in group.producers)
            typer.echo(f"  {names} will not grow: {printable(reason)}")


def _unreachable(spec: str, overrides: Overrides) -> tuple[Problem, ...]:
    """The widths that growth should lead to and that cannot be reached, of a spec that is sound else."""
    from gromo_graph.graph import build_graph
    from gromo_graph.graph.growth_goals import goal_problems
    from gromo_graph.spec import load_spec

    graph = build_graph(load_spec(spec, overrides=overrides or ()))
    return tuple(Problem(spec, 0, 0, path, message) for path, message in goal_problems(graph))
