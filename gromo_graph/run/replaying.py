"""`replay` and `branch`: a run again up to a growth step, to look at it or to go on in another way."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gromo_graph.environment import process_count
from gromo_graph.errors import RunError
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Journal, read_journal
from gromo_graph.run.branch_point import Course
from gromo_graph.run.data.sources import Source
from gromo_graph.run.entry_points import choose_device, compiled, looped
from gromo_graph.run.folder.recorder import Recorder
from gromo_graph.run.folder.run_folder import COMMAND, check_free, open_folder
from gromo_graph.run.resuming import asked, data_again
from gromo_graph.run.run import Run
from gromo_graph.run.training_loop import Progress
from gromo_graph.spec import parse_spec


def replay(
    path: str | os.PathLike[str],
    *,
    to: int,
    out: str | os.PathLike[str],
    data: Source = None,
    device: str | None = None,
    force: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """The run again, up to right after a growth step: its network with the weights it had then.

    Args:
        path: of the run folder, which stays as it is. to: the growth step.
        out: the run folder to make. force: replace a run that is there.
        data, device, on_progress: as for `resume`.

    Raises:
        RunError: there is no such run or step, or its data are others.
    """
    return _again(path, Course(to), out, data=data, device=device, force=force, on_progress=on_progress)


def branch(
    path: str | os.PathLike[str],
    *,
    at: int,
    overrides: Sequence[str],
    out: str | os.PathLike[str],
    data: Source = None,
    device: str | None = None,
    force: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """A new run that is the other up to the epoch of a growth step, and goes on with other settings.

    Args:
        path: of the run folder, which stays as it is. at: the growth step.
        overrides: of `growth` and `train`: `["growth.select=slope"]`.
        out, force: the run folder to make.
        data, device, on_progress: as for `resume`.

    Raises:
        RunError: there is no such run or step, the settings are wrong, or its data are others.
    """
    course = Course(at, tuple(overrides))
    return _again(path, course, out, data=data, device=device, force=force, on_progress=on_progress)


def _again(
    path: str | os.PathLike[str],
    course: Course,
    out: str | os.PathLike[str],
    *,
    data: Source,
    device: str | None,
    force: bool,
    on_progress: Callable[[Progress], None] | None,
) -> Run:
    if process_count() > 1:
        raise RunError("a replay or a branch is made by one process: leave torchrun out")
    folder = open_folder(Path(path))
    journal = read_journal(folder.path)
    if not 1 <= course.at <= len(journal.applied):
        raise RunError(f"{folder.path}: there is no step {course.at}: the run has {len(journal.applied)}")
    spec = parse_spec(journal.header.spec, file=str(folder.path))
    epoch = journal.applied[course.at - 1].epoch
    if course.spec_of(spec).train.epochs < epoch:
        raise RunError(
            f"{folder.path}: step {course.at} is in epoch {epoch}: expected train.epochs of at least {epoch}, or an "
            "earlier step"
        )
    command = folder.read_json(COMMAND)
    check_free(Path(out), force=force)
    loaded = data_again(folder, journal, spec, data, command.get("data"))
    chosen = choose_device(str(command.get("device", "auto")) if device is None else device)
    seed = journal.header.seed
    network = compiled(spec, seed, chosen)
    told: dict[str, Any] = {**command, "course": course.to_dict()}
    recorder = Recorder.created(Path(out), network, loaded, seed=seed, command=told, force=force)
    run = looped(
        network,
        loaded,
        seed=seed,
        device=chosen,
        recorder=recorder,
        on_progress=on_progress,
        course=course,
        **asked(command),
    )
    _compare(journal, run.events, course.at)
    return run


def _compare(journal: Journal, events: Sequence[GrowthEvent], at: int) -> None:
    """Say so where the steps were others, as on another machine or with another release of torch."""
    for old, new in zip(journal.applied, (e for e in events if e.decision is not None), strict=False):
        if old.step <= at and (old.decision, old.gamma, old.loss_after) != (
            new.decision,
            new.gamma,
            new.loss_after,
        ):
            warnings.warn(
                f"step {old.step} is not to the bit what it was: another machine or version computes otherwise",
                stacklevel=3,
            )
            return
