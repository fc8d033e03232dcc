"""A run that a verb makes: its progress is shown, its summary told, and an interruption says how to go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gromo_graph.cli.messages import INTERRUPTED, EndedError

if TYPE_CHECKING:
    from gromo_graph.run import Run


@dataclass(frozen=True)
class Telling:
    """The lines that are printed about a run.

    Attributes:
        name: of the run, beside its progress.
        out: the folder that is written.
        as_json: whether the summary is a JSON object.
        tensorboard: a folder for event files, or None.
    """

    name: str
    out: Path
    as_json: bool
    tensorboard: Path | None = None


def followed(telling: Telling, work: Callable[[Any], Run]) -> Run | None:
    """Do the work with its progress shown.

    Args:
        telling: what is said.
        work: makes the run; takes what is called after each epoch.

    Returns:
        The run; None in every process but the first one, which writes and speaks for all of them.
    """
    from gromo_graph.cli.progress import logging, watching
    from gromo_graph.environment import process_rank
    from gromo_graph.run.folder.run_folder import holds_run

    silent = process_rank() > 0
    try:
        with (
            watching(telling.name, silent=silent) as watch,
            logging(None if silent else telling.tensorboard, watch) as on_progress,
        ):
            run = work(on_progress)
    except KeyboardInterrupt:
        if silent:
            raise typer.Exit(INTERRUPTED) from None
        out = telling.out
        kept = f"what was there is saved in {out}; go on with gromo-graph resume {out}"
        raise EndedError(
            f"interrupted: {kept if holds_run(out) else 'nothing was written'}", INTERRUPTED
        ) from None
    return None if silent else run


def tell(telling: Telling, run: Run | None) -> None:
    """Print the summary of a run on stdout."""
    from gromo_graph.cli.summary import show_summary

    if run is None:
        return
    if telling.as_json:
        typer.echo(json.dumps(run.summary, ensure_ascii=False))
    else:
        show_summary(run.summary)
