"""Options that several verbs have, each described once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """The device to compute on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Compute = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Replace a value of the spec: train.epochs=3."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of weights, data order and dropout.")]

SameData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME|FILE|module:function",
        help="The same data, if they have moved or came from code.",
    ),
]
SameDevice = Annotated[
    Device | None, typer.Option("--device", help="Where to compute; by default as before.")
]
Log = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Append every epoch, growth step and warning to FILE, with the time."),
]
NewRun = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The run folder to make.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the run that --out holds.")]


def device_name(device: Device | None) -> str | None:
    """The name of a device that was given."""
    return None if device is None else device.value
