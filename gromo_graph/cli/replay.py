"""`gromo-graph replay` and `branch`: a run again up to a growth step, to look at or to go on in another way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gromo_graph.cli.followed_run import followed
from gromo_graph.cli.messages import reported
from gromo_graph.cli.options import AsJson, Device

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder; it stays as it is.")]
_Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The run folder to make.")]
_Force = Annotated[bool, typer.Option("--force", help="Replace the run that --out holds.")]
_Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME|FILE|module:function",
        help="The same data, where they have moved or came from code.",
    ),
]
_Device = Annotated[Device | None, typer.Option("--device", help="Where to compute; by default as before.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@reported
def replay(
    run: _Run,
    to: Annotated[int, typer.Option("--to", min=1, metavar="STEP", help="The growth step to end after.")],
    out: _Out,
    data: _Data = None,
    device: _Device = None,
    force: _Force = False,
    as_json: AsJson = False,
    quiet: _Quiet = False,
) -> None:
    """Run a run again up to right after a growth step: its network with the weights it had then."""
    from gromo_graph.run.replaying import replay as again

    options: dict[str, Any] = {"data": data, "device": _name(device), "force": force}
    followed(run, out, lambda watch: again(run, to=to, out=out, on_progress=watch, **options), as_json, quiet)


@reported
def branch(
    run: _Run,
    at: Annotated[
        int, typer.Option("--at", min=1, metavar="STEP", help="The growth step to leave the run after.")
    ],
    out: _Out,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="How it goes on: growth.select=slope, train.epochs=90."
        ),
    ] = None,
    data: _Data = None,
    device: _Device = None,
    force: _Force = False,
    as_json: AsJson = False,
    quiet: _Quiet = False,
) -> None:
    """Start a new run that is another one up to the epoch of a growth step, and goes on with other settings."""
    from gromo_graph.run.replaying import branch as again

    options: dict[str, Any] = {
        "data": data,
        "device": _name(device),
        "force": force,
        "overrides": overrides or (),
    }
    followed(run, out, lambda watch: again(run, at=at, out=out, on_progress=watch, **options), as_json, quiet)


def _name(device: Device | None) -> str | None:
    return None if device is None else device.value
