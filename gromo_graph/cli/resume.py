"""`gromo-graph resume`: go on with a run that was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.followed_run import followed
from gromo_graph.cli.messages import reported
from gromo_graph.cli.options import AsJson, Device


@reported
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|module:function",
            help="The same data, where they have moved or came from code.",
        ),
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where to compute; by default as before.")] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Go on with a run that was broken off, as if nothing had happened; one that is over is shown."""
    from gromo_graph.run.resuming import resume as go_on

    where = None if device is None else device.value
    followed(run, run, lambda watch: go_on(run, data=data, device=where, on_progress=watch), as_json, quiet)
