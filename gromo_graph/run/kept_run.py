"""KeptRun: a run as its folder keeps it, from which another one begins."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gromo_graph.errors import RunError
from gromo_graph.growth.effort.latency import MILLISECONDS
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Journal
from gromo_graph.records.run_step import steps_words
from gromo_graph.run.branch_point import BranchPoint
from gromo_graph.run.data.image_sets.torchvision_sets import is_torchvision
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.sources import Source
from gromo_graph.run.folder.command import Command
from gromo_graph.run.folder.run_folder import RunFolder
from gromo_graph.run.folder.weights_file import first_preparation
from gromo_graph.spec import Spec


@dataclass(frozen=True)
class KeptRun:
    """A run as its folder keeps it, read once.

    Attributes:
        folder: of the run. journal: all of it. command: its options. spec: before any growth.
    """

    folder: RunFolder
    journal: Journal
    command: Command
    spec: Spec

    @staticmethod
    def read(folder: RunFolder) -> KeptRun:
        """
        Raises:
            RunError: a file is missing or damaged.
        """
        journal = folder.journal()
        command = folder.command().model_copy(update={"seed": journal.header.seed})
        return KeptRun(folder, journal, command, folder.parsed(journal.header.spec))

    def data(self, given: Source) -> Data:
        """The data that the run was trained on.

        Args:
            given: where they are; None for where the run found them.

        Raises:
            RunError: they are others, cannot be read, or have to be given.
        """
        path, named = self.folder.path, self.command.data
        if given is None and named is None:
            raise RunError(f"{path}: the data of the run came from Python: give them with --data")
        is_code = ":" in str(named) and not is_torchvision(named)
        if given is None and is_code and not Path(str(named)).exists():
            raise RunError(
                f"{path}: the data of the run came from code, `{named}`: give them with --data again"
            )
        held_out = self.command.validation
        loaded = load_data(
            named if given is None else given,
            self.spec,
            trusted=given is not None,
            validation=None if held_out is None else Path(held_out),
            known=first_preparation(self.command.weights),
        )
        expected = self.journal.header.data.get("fingerprint")
        if loaded.fingerprint != expected:
            raise RunError(
                f"{path}: these are not the data that the run was trained on (fingerprint "
                f"{loaded.fingerprint}, expected {expected})"
            )
        return loaded

    def steps_of_growth(self, *, until: int | None = None) -> int:
        """The last recorded step that ended in time, up to one: pruning back to a budget goes by no time."""
        back = self.spec.growth.beyond > 1.0
        steps = (
            event.step
            for event in self.journal.applied
            if (until is None or event.step <= until)
            and not (back and event.decision is not None and event.decision.kind == "prune")
        )
        return max(steps, default=0)

    def milliseconds(self, *, until: int | None = None) -> dict[int, float]:
        """The recorded times of forward passes by growth step, which count again when the steps are made again.

        Args:
            until: the last step that is made again; None for all.
        """
        applied = [event for event in self.journal.applied if until is None or event.step <= until]
        found = {event.step: event.time.get(MILLISECONDS) for event in applied}
        begun = {0: 0.0} if found else {}  # the network was fast enough at first
        return begun | {step: time for step, time in found.items() if isinstance(time, float)}

    def check_step(self, point: BranchPoint) -> None:
        """
        Raises:
            RunError: the run has no such step, or the settings of a branch do not reach it.
        """
        path, applied = self.folder.path, self.journal.applied
        if not 1 <= point.at <= len(applied):
            raise RunError(f"{path}: there is no step {point.at}: {steps_words(len(applied))}")
        epoch = applied[point.at - 1].epoch or 0
        if point.spec_of(self.spec).train.epochs < epoch:
            raise RunError(
                f"{path}: step {point.at} is in epoch {epoch}: expected train.epochs of at least {epoch}, or an "
                "earlier step"
            )

    def warn_if_other(self, events: Sequence[GrowthEvent], at: int) -> None:
        """Warn if the steps up to one are not those of the run, as on another machine or with another torch."""
        applied = (event for event in events if event.decision is not None)
        for old, new in zip(self.journal.applied, applied, strict=False):
            known, found = ((each.decision, each.gamma, each.loss_after) for each in (old, new))
            if old.step <= at and known != found:
                warnings.warn(
                    f"step {old.step} is not to the bit what it was: another machine or version computes otherwise",
                    stacklevel=4,
                )
                return
