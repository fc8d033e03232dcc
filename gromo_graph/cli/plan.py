"""`gromo-graph plan`: what could grow now, and what it would bring and cost; nothing changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.messages import printable, reported
from gromo_graph.cli.options import AsJson, Compute, Device, Overrides, Seed
from gromo_graph.records import Candidate, Plan


@reported
def plan(
    target: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A YAML file, or a run folder.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|module:function", help="As for grow; else what the spec names or the run had."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .safetensors file for a SPEC; else first weights."),
    ] = None,
    seed: Seed = 0,
    device: Compute = Device.auto,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure all candidates for growth on the training data, and show them, best first."""
    from gromo_graph.run.planning import plan as measure

    found = measure(
        target, data=data, weights=weights, seed=seed, device=device.value, overrides=overrides or ()
    )
    if as_json:
        candidates = [candidate.to_dict() for candidate in found.candidates]
        typer.echo(json.dumps({"candidates": candidates}, ensure_ascii=False))
        return
    _show(found)


def _show(plan: Plan) -> None:
    from gromo_graph.cli.console import console, plain_table
    from gromo_graph.render.numbers import real

    able = [candidate for candidate in plan.candidates if candidate.reason is None]
    if able:
        columns = (
            "neurons",
            "slope",
            "predicted",
            "parameters",
            "multiply-adds",
            "slope per 1,000 parameters",
        )
        table = plain_table("", "widen", *columns, numbers=("", *columns))
        for place, each in enumerate(able, start=1):
            per_cost = None if each.slope is None else 1000 * each.slope / max(1, each.delta_parameters)
            table.add_row(
                str(place),
                printable(each.target),
                f"+{each.neurons}",
                real(each.slope),
                real(each.predicted),
                f"+{each.delta_parameters:,}",
                f"+{each.delta_madds:,}",
                real(per_cost),
            )
        console().print(table)
        typer.echo(
            "slope: measured decrease of the loss per unit of γ at γ = 0; predicted: what the statistics promise"
        )
    for each in plan.candidates:
        if each.reason is not None:
            typer.echo(_left_out(each))


def _left_out(candidate: Candidate) -> str:
    return f"left out: `{printable(candidate.target)}`: {printable(str(candidate.reason))}"
