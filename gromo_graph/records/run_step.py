"""`RUN@3`: a run as it was after a growth step, as users write it where the weights do not matter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class RunStep(NamedTuple):
    """A run and a growth step of it: digits, 0 for before any."""

    run: Path
    step: str


def run_step(address: str | os.PathLike[str]) -> RunStep | None:
    """The run and the step that an address names; None if it is anything else, such as a file of that name.

    >>> run_step("my.yaml"), run_step("no such folder@3")
    (None, None)
    """
    run, at, step = os.fspath(address).rpartition("@")
    named = at and step.isdecimal() and not os.path.lexists(address)
    return RunStep(Path(run), step) if named and os.path.isdir(run) else None  # noqa: PTH112 - False for a name that is too long, too


def no_weights(address: str | os.PathLike[str]) -> str | None:
    """Says why an address of a step cannot be taken where weights are needed; None if it is no such address."""
    found = run_step(address)
    return found and (
        f"a run keeps the weights of its end alone: make those of step {found.step} again with "
        f"`gromo-graph replay {found.run} --to {found.step} -o DIR`, and give DIR"
    )
