"""`pick`: the smallest network that a run had on its way and that is good enough once it is trained to the end.

The loss of a network that grew on says little about what it would be worth: its training was not over. So networks are
compared after whole trainings. A training with growth ended after a step is the run again up to that step.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gromo_graph.arguments import checked
from gromo_graph.environment import process_count
from gromo_graph.errors import RunError
from gromo_graph.graph import build_graph
from gromo_graph.records.sizes import Size, sizes_of
from gromo_graph.run.branch_point import BranchPoint
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.sources import Source
from gromo_graph.run.epoch_progress import OnProgress
from gromo_graph.run.folder.command import Command, Leaves
from gromo_graph.run.folder.run_folder import check_free, open_folder
from gromo_graph.run.kept_run import KeptRun
from gromo_graph.run.resources import choose_device
from gromo_graph.run.run import Run
from gromo_graph.run.session import NewFolder, Start, carried_out, in_memory
from gromo_graph.run.training.growth_policy import policy_for
from gromo_graph.spec import Spec


@dataclass(frozen=True)
class Trained:
    """A network of a run that was trained to the end.

    Attributes:
        step: the growth step after which it did not grow any more; 0 is before any.
        parameters, madds: its size. loss: held-out, at the end.
    """

    step: int
    parameters: int
    madds: int
    loss: float


@dataclass(frozen=True)
class Picked:
    """The result of a search for the smallest network that is good enough.

    Attributes:
        run: with the network that was picked, trained to the end.
        picked: that network. best: of those that were trained to the end the one with the lowest held-out loss.
        tried: all that were trained to the end, from the smallest to the network of the whole run.
        within: share of the best loss by which that of the picked one may be higher.
    """

    run: Run
    picked: Trained
    best: Trained
    tried: tuple[Trained, ...]
    within: float


@checked
def pick(
    path: str | os.PathLike[str],
    *,
    within: float,
    out: str | os.PathLike[str],
    data: Source = None,
    device: str | None = None,
    force: bool = False,
    on_try: Callable[[Size], None] | None = None,
    on_progress: OnProgress | None = None,
) -> Picked:
    """Write the smallest network of a run that is good enough once it is trained to the end, as a run of its own.

    By halving: if the network of the step in the middle is good enough after the whole training, the smaller ones are
    looked at next, else the larger ones. It takes about log2(sizes) whole trainings, and one more to write the run.

    Args:
        path: of the run folder, which stays as it is.
        within: how much higher the held-out loss may be than the best, as a share of it: 0.005.
        out, force: the run folder to make.
        data, device, on_progress: as for `resume`.
        on_try: called with a size before the network of that size is trained to the end.

    Raises:
        RunError: there is no such run, it has not come to its end, a file of it is damaged, or its data are others.

    >>> picked = pick("runs/one", within=0.005, out="runs/small")  # doctest: +SKIP
    """
    if not (math.isfinite(within) and within >= 0.0):
        raise RunError(f"within={within!r}: expected a share such as 0.005, 0 or more")
    if process_count() > 1:
        raise RunError("a network is picked by one process: leave torchrun out")
    place = NewFolder(Path(out), force)
    kept = KeptRun.read(open_folder(Path(path)))
    sizes = _sizes(kept)
    check_free(place.path, force=force)
    where = choose_device(kept.command.device if device is None else device)
    again = _Again(kept, kept.data(data), where, on_progress)

    def trained(number: int) -> Trained:
        size = sizes[number]
        if on_try is not None:
            on_try(size)
        return _trained(size, again.in_memory(size.step))

    last = sizes[-1]
    assert last.loss is not None  # of a run that is over it is known
    whole = Trained(last.step, last.parameters, last.madds, last.loss)
    tried = _halving(len(sizes) - 1, whole, trained, within)
    best = min(tried, key=lambda each: each.loss)
    picked = next(each for each in tried if each.loss <= _limit(best, within))
    run = again.written(picked.step, place, _why_ended(picked, last, within))
    return Picked(run, picked, best, tuple(tried), within)


def _halving(
    last: int, whole: Trained, trained: Callable[[int], Trained], within: float
) -> Sequence[Trained]:
    """The networks that were trained to the end on the way to the smallest good one, the smallest first."""
    tried = {last: whole}
    low, high = 0, last  # the one at `high` is good enough
    while low < high:
        middle = (low + high) // 2
        tried[middle] = trained(middle)
        best = min(tried.values(), key=lambda each: each.loss)
        if tried[middle].loss <= _limit(best, within):
            high = middle
        else:
            low = middle + 1
    return [tried[number] for number in sorted(tried)]


def _why_ended(picked: Trained, last: Size, within: float) -> str | None:
    """Say why growth ended in the picked run; None if it is the whole run again, which has its own reason."""
    if picked.step == last.step:
        return None
    return (
        f"picked: after step {picked.step} of {last.step} this is the smallest network whose held-out loss is within "
        f"{100.0 * within:.3g} % of the lowest"
    )


def _limit(best: Trained, within: float) -> float:
    """The highest loss that is good enough."""
    return best.loss * (1.0 + within)


def _sizes(kept: KeptRun) -> list[Size]:
    """The sizes that the network was trained at, in their order.

    Raises:
        RunError: the run is not over, or it ended before its training did.
    """
    path, journal = kept.folder.path, kept.journal
    if not kept.folder.is_over:
        raise RunError(f"{path}: the run is not over: go on with it first (gromo-graph resume {path})")
    sizes = list(sizes_of(journal.epochs, journal.events, is_over=True))
    if not sizes or not sizes[-1].to_the_end or sizes[-1].loss is None:
        raise RunError(
            f"{path}: the last network of this run was not trained to the end, as that of a replay: pick from the run "
            "that it follows"
        )
    if kept.spec.growth.beyond > 1.0:  # what is larger than the last network did not keep within the budget
        sizes = [*(size for size in sizes[:-1] if size.parameters < sizes[-1].parameters), sizes[-1]]
    return sizes


def _trained(size: Size, run: Run) -> Trained:
    loss = run.epochs[-1].validation["loss"]
    graph = run.network.graph
    return Trained(size.step, graph.parameter_count, graph.multiply_adds, loss)


@dataclass(frozen=True)
class _Again:
    """A run again, in which growth ends after a step, from the same data."""

    kept: KeptRun
    data: Data
    device: torch.device
    on_progress: OnProgress | None

    def in_memory(self, step: int) -> Run:
        command, start = self._beginning(step)
        run = in_memory(command, start, device=self.device, on_progress=self.on_progress)
        self.kept.warn_if_other(run.events, step)
        return run

    def written(self, step: int, place: NewFolder, ended: str | None) -> Run:
        command, start = self._beginning(step)
        command = command.model_copy(update={"ended": ended})
        return carried_out(command, place, lambda: start, device=self.device, on_progress=self.on_progress)

    def _beginning(self, step: int) -> tuple[Command, Start]:
        """Options and spec of the run, but that growth ends after a step.

        A branch leaves the run that it follows as before, or right at that step.
        """
        first = self.kept.spec
        spec = BranchPoint(step, self._ended(step, first)).spec_of(first)
        course = self.kept.command.course
        if course is not None:
            then = BranchPoint(step, tuple(course.set or ())).spec_of(first)
            course = Leaves(at=min(course.at, step), set=(*(course.set or ()), *self._ended(step, then)))
        command = self.kept.command.model_copy(update={"write_back": None, "course": course})
        return command, Start(spec, self.data)

    def _ended(self, step: int, spec: Spec) -> tuple[str, ...]:
        """The settings with which growth goes on as it would, and ends after a step."""
        allowed = policy_for(build_graph(spec), self.data.train).stop.parameters_per_sample
        rule = "none" if allowed == "auto" else allowed  # which a number of steps would put out of force
        return f"growth.stop.steps={step}", f"growth.stop.parameters_per_sample={rule}"
