"""`gromo-graph history`: what a run has done, from its journal alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gromo_graph.amounts import amount
from gromo_graph.cli.messages import printable, reported
from gromo_graph.cli.options import AsJson
from gromo_graph.memory_sizes import size
from gromo_graph.records.journal import Journal

if TYPE_CHECKING:
    from gromo_graph.spec import Spec

_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 60


@reported
def history(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder, also of a run that goes on.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every line against its checksum, and tell no more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the growth steps of a run, failed attempts too, and the course of loss and size."""
    from gromo_graph.records.journal import read_journal

    journal = read_journal(run)
    if verify:
        torn = "; the last line was cut off while it was written, and is left out" if journal.torn else ""
        lines = 1 + len(journal.epochs) + len(journal.events) + len(journal.setbacks)
        typer.echo(f"{printable(str(run))}: {amount(lines, 'line')} are as they were written{torn}")
    elif as_json:
        events = [event.to_dict() for event in journal.events]
        epochs, setbacks = ([asdict(each) for each in lines] for lines in (journal.epochs, journal.setbacks))
        typer.echo(json.dumps({"epochs": epochs, "events": events, "setbacks": setbacks}, ensure_ascii=False))
    else:
        _show(journal)


def _show(journal: Journal) -> None:
    from gromo_graph.cli.console import console, plain_table
    from gromo_graph.render.highlights import decision_words
    from gromo_graph.render.numbers import change, real

    stdout = console()
    # A budget in multiply-adds is shown beside what it allows.
    costs = ("parameters", "multiply-adds") if _begun(journal).growth.stop.madds else ("parameters",)
    numbers = ("step", "epoch", "slope", "γ", "held-out loss", *costs)
    table = plain_table("step", "epoch", "what", *numbers[2:], "why", numbers=numbers)
    for event in journal.events:
        done = event.decision is not None
        solved = event.decision is not None and not event.decision.is_random
        table.add_row(
            str(event.step) if done else "",
            str(event.epoch),
            printable(decision_words(event.decision)) if event.decision is not None else "nothing",
            real(event.slope) if solved else "random" if done else "",
            real(event.gamma) if solved else "",
            change(event.loss_before, event.loss_after) if done else real(event.loss_before),
            *(f"{cost:,}" for cost in (event.parameters, event.madds)[: len(costs)]),
            printable(event.reason),
        )
    if journal.events:
        stdout.print(table)
    for name, values in _curves(journal).items():
        first, last = (f"{values[end]:,.4g}" for end in (0, -1))
        typer.echo(f"{name:15s} {sparkline(values)}  {first} → {last}")
    memory = max((event.memory for event in journal.events), default=0)
    if memory:
        typer.echo(f"the statistics of a growth step took up to {size(memory)}")
    for setback in journal.setbacks:
        then = "it was done again at half the learning rate" if setback.again else "the run ended there"
        typer.echo(f"epoch {setback.epoch}: {printable(setback.reason)}: {then}")
    typer.echo(
        f"{amount(len(journal.epochs), 'epoch')}, {len(journal.applied)} growth steps applied of "
        f"{len(journal.events)} tried"
    )


def _curves(journal: Journal) -> dict[str, list[float]]:
    found: dict[str, list[float | None]] = {
        "validation loss": [epoch.validation.get("loss") for epoch in journal.epochs],
        "parameters": [_at_first(journal), *(float(epoch.parameters) for epoch in journal.epochs)],
    }
    known = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {name: values for name, values in known.items() if values}


def _at_first(journal: Journal) -> float:
    """Parameters before any growth."""
    from gromo_graph.graph import build_graph

    return float(build_graph(_begun(journal)).parameter_count)


def _begun(journal: Journal) -> Spec:
    """The spec that the run began with."""
    from gromo_graph.spec import parse_spec

    return parse_spec(journal.header.spec)


def sparkline(values: Sequence[float], width: int = _WIDEST) -> str:
    """Values as a row of bars from the least to the greatest; of very many some are left out.

    >>> sparkline([4.0, 2.0, 1.0, 0.5])
    '█▄▂▁'
    """
    step = max(1, -(-len(values) // width))
    shown = values[::step]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in shown)
