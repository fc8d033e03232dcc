"""`gromo-graph replay` and `branch`: a run again up to a growth step, to look at or to go on in another way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gromo_graph.cli.followed_run import Telling, followed, tell
from gromo_graph.cli.messages import reported
from gromo_graph.cli.options import AsJson, Force, Log, NewRun, SameData, SameDevice, device_name

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder; it stays as it is.")]


@reported
def replay(
    run: _Run,
    to: Annotated[int, typer.Option("--to", min=1, metavar="STEP", help="The growth step to end after.")],
    out: NewRun,
    data: SameData = None,
    device: SameDevice = None,
    force: Force = False,
    log: Log = None,
    as_json: AsJson = False,
) -> None:
    """Repeat a run up to a growth step: its network with the weights it had right after that step."""
    from gromo_graph.run import replay as again

    telling = Telling(run.name, out, as_json, log=log)
    options: dict[str, Any] = {"out": out, "data": data, "device": device_name(device), "force": force}
    tell(telling, followed(telling, lambda watch: again(run, to=to, on_progress=watch, **options)))


@reported
def branch(
    run: _Run,
    at: Annotated[
        int, typer.Option("--at", min=1, metavar="STEP", help="The growth step to leave the run after.")
    ],
    out: NewRun,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="How it goes on: growth.select=slope, train.epochs=90."
        ),
    ] = None,
    data: SameData = None,
    device: SameDevice = None,
    force: Force = False,
    log: Log = None,
    as_json: AsJson = False,
) -> None:
    """Start a new run that is another one up to the epoch of a growth step, and goes on with other settings."""
    from gromo_graph.run import branch as again

    telling = Telling(run.name, out, as_json, log=log)
    options: dict[str, Any] = {"out": out, "data": data, "device": device_name(device), "force": force}
    options["overrides"] = overrides or ()
    tell(telling, followed(telling, lambda watch: again(run, at=at, on_progress=watch, **options)))
