"""`gromo-graph resume`: go on with a run that was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.followed_run import Telling, followed, tell
from gromo_graph.cli.messages import reported
from gromo_graph.cli.options import AsJson, Quiet, SameData, SameDevice, device_name


@reported
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    data: SameData = None,
    device: SameDevice = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a run that was broken off, as if nothing had happened; one that is over is shown."""
    from gromo_graph.run import resume as go_on

    telling = Telling(run.name, run, as_json, quiet)
    where = device_name(device)
    tell(telling, followed(telling, lambda watch: go_on(run, data=data, device=where, on_progress=watch)))
