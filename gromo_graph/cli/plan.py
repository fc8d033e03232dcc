"""`gromo-graph plan`: what could grow now, and what it would bring and cost; nothing changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import printable, reported
from gromo_graph.cli.options import AsJson, Compute, Device, Overrides, Seed
from gromo_graph.memory_sizes import size
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
        typer.Option(
            metavar="FILE|RUN", help="A .safetensors file or a run, for a SPEC; else first weights."
        ),
    ] = None,
    seed: Seed = 0,
    device: Compute = Device.auto,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure all candidates for growth on the training data, and list them in the order of trial."""
    from gromo_graph.run.measured_plan import plan as measure

    with _status() as on_batch:
        found = measure(
            target,
            data=data,
            weights=weights,
            seed=seed,
            device=device.value,
            overrides=overrides or (),
            on_batch=on_batch,
        )
    if as_json:
        candidates = [candidate.to_dict() for candidate in found.candidates]
        told = {"candidates": candidates, "samples": found.samples, "memory": found.memory}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    _show(found)


@contextmanager
def _status() -> Iterator[Callable[[str], None] | None]:
    """Shows the progress of the measuring on a terminal; gives None elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    with console.status("reading the data") as status:
        yield status.update


def _show(plan: Plan) -> None:
    able = [candidate for candidate in plan.candidates if candidate.reason is None]
    if not plan.candidates:
        typer.echo("nothing can be done: `growth.actions` is empty, or the graph has no layer")
    if able:
        if plan.order:
            typer.echo(f"in the order of trying, by growth.select = {plan.order}")
        _print_table(able)
        typer.echo(
            "slope: measured decrease of the loss per unit of γ at γ = 0; predicted: what the statistics promise"
        )
    for why in dict.fromkeys(each.inexact for each in able if each.inexact):
        typer.echo(f"≈: the slope may be off: {printable(why)}")
    if plan.samples:
        typer.echo(f"statistics of {amount(plan.samples, 'sample')} in {size(plan.memory)}")
    for each in plan.candidates:
        if each.reason is not None:
            typer.echo(_left_out(each))


def _print_table(able: Sequence[Candidate]) -> None:
    """A row for each candidate that can be tried."""
    from gromo_graph.cli.console import console, plain_table
    from gromo_graph.render.numbers import real, signed

    columns = ("neurons", "slope", "predicted", "parameters", "multiply-adds", "slope per 1,000 parameters")
    table = plain_table("", "kind", "candidate", *columns, numbers=("", *columns))
    for place, each in enumerate(able, start=1):
        paid = each.delta_parameters > 0 and each.slope is not None
        table.add_row(
            str(place),
            each.kind.replace("_", " "),
            printable(each.target),
            _neurons(each),
            ("≈ " if each.inexact else "") + real(each.slope),
            real(each.predicted),
            signed(each.delta_parameters),
            signed(each.delta_madds),
            real(1000 * (each.slope or 0.0) / each.delta_parameters if paid else None),
        )
    console().print(table)


def _neurons(candidate: Candidate) -> str:
    if candidate.kind == "new_edge":
        return ""
    return f"−{candidate.neurons}" if candidate.kind == "prune" else f"+{candidate.neurons}"


def _left_out(candidate: Candidate) -> str:
    kind = "" if candidate.kind == "widen" else f"{candidate.kind.replace('_', ' ')} "
    return f"left out: {kind}`{printable(candidate.target)}`: {printable(str(candidate.reason))}"
