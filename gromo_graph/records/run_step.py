"""`RUN@3`: a run as it was after a growth step, as users write it where the weights do not matter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_LONGEST = 15  # digits; no run has so many steps, and Python reads no number of thousands of digits


class RunStep(NamedTuple):
    """A run and a growth step of it: digits, 0 for before any."""

    run: Path
    step: str

    @property
    def number(self) -> int:
        """The step as a number; of one with too many digits the first ones, which is more than a run can have."""
        return int((self.step.lstrip("0") or "0")[:_LONGEST])


def run_step(address: str | os.PathLike[str]) -> RunStep | None:
    """The run and the step that an address names; None if it is anything else, such as a file of that name.

    >>> run_step("my.yaml"), run_step("no such folder@3")
    (None, None)
    """
    run, at, step = os.fspath(address).rpartition("@")
    named = at and step.isdecimal() and not os.path.lexists(address)
    return RunStep(Path(run), step) if named and os.path.isdir(run) else None  # noqa: PTH112 - False for a name that is too long, too


def steps_words(applied: int) -> str:
    """The growth steps that a run has.

    >>> steps_words(0), steps_words(1), steps_words(17)
    ('the run has no growth step', 'the run has step 1 alone', 'the run has steps 1 to 17')
    """
    if applied > 1:
        return f"the run has steps 1 to {applied}"
    return "the run has step 1 alone" if applied else "the run has no growth step"
