"""Options that several verbs have, each described once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Device(StrEnum):
    """Where to compute."""

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
