"""`gromo-graph resume`: go on with a run that was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gromo_graph.cli.followed_run import Telling, followed, tell
from gromo_graph.cli.messages import reported, say
from gromo_graph.cli.options import AsJson, Log, SameData, SameDevice, device_name
from gromo_graph.errors import GromoGraphError


@reported
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    data: SameData = None,
    device: SameDevice = None,
    log: Log = None,
    as_json: AsJson = False,
) -> None:
    """Continue an interrupted run as if nothing had happened; a finished run is only shown."""
    from gromo_graph.run import resume as go_on

    telling = Telling(run.name, run, as_json, log=log)
    where = device_name(device)
    tell(telling, followed(telling, lambda watch: go_on(run, data=data, device=where, on_progress=watch)))
    _remind(run)


def _remind(run: Path) -> None:
    """Say that the run was to be written back into the author's file, if it was not."""
    from gromo_graph.cli.edit import with_sizes_of
    from gromo_graph.run.folder.run_folder import open_folder
    from gromo_graph.spec import load_spec

    file = open_folder(run).command().write_back
    if file is None:
        return
    try:
        author = load_spec(file)
        if with_sizes_of(str(run), author) == author:
            return
    except GromoGraphError:
        say(f"note: this run was to be written back into {file}, which is missing or of another network now")
        return
    say(f"note: this run is not written back into {file} yet: gromo-graph edit {file} take {run}")
