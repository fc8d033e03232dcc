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
        log: a file for the lines of the run, or None.
        brief: whether a run among several tells no epochs off a terminal.
    """

    name: str
    out: Path
    as_json: bool
    tensorboard: Path | None = None
    log: Path | None = None
    brief: bool = False


def followed(telling: Telling, work: Callable[[Any], Run]) -> Run | None:
    """Do the work with its progress shown.

    Args:
        telling: what is said.
        work: makes the run; takes what is called after each epoch.

    Returns:
        The run; None in every process but the first one, which writes and speaks for all of them.
    """
    from gromo_graph.cli.log_file import logged
    from gromo_graph.cli.progress import Several, tensorboard, watching
    from gromo_graph.environment import process_rank
    from gromo_graph.run.folder.run_folder import holds_run

    silent = process_rank() > 0
    try:
        with (
            logged(None if silent else telling.log, f"{telling.name}, in {telling.out}") as log,
            watching(telling.name, silent=silent, brief=telling.brief) as shown,
            tensorboard(None if silent else telling.tensorboard) as board,
        ):
            watchers = [each for each in (shown, board, log) if each is not None]
            run = work(Several(watchers) if watchers else None)
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
    from gromo_graph.cli.summary import show_summary, summary_as_json

    if run is None:
        return
    if telling.as_json:
        typer.echo(json.dumps(summary_as_json(run.summary), ensure_ascii=False))
    else:
        show_summary(run.summary)
