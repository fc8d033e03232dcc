"""A run that goes on: its progress, what came of it, and how to go on where it is interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gromo_graph.cli.messages import INTERRUPTED, failure

if TYPE_CHECKING:
    from gromo_graph.run import Run


def followed(run: Path, out: Path, work: Callable[[Any], Run], as_json: bool, quiet: bool) -> None:
    """Do the work with its progress shown, and tell the summary.

    Args:
        run: which run it is. out: the folder that is written. work: takes what is called after each epoch.
    """
    from gromo_graph.cli.progress import watching
    from gromo_graph.cli.summary import show_summary
    from gromo_graph.environment import process_rank

    silent = process_rank() > 0  # of several processes the first one writes and speaks
    try:
        with watching(run.name, quiet=quiet or silent) as on_progress:
            found = work(on_progress)
    except KeyboardInterrupt:
        if not silent:
            failure(f"interrupted: go on with gromo-graph resume {out}")
        raise typer.Exit(INTERRUPTED) from None
    if silent:
        return
    if as_json:
        typer.echo(json.dumps(found.summary, ensure_ascii=False))
    else:
        show_summary(found.summary)
