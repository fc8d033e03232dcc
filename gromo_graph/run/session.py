"""The road from the options of a run to its loop: connect, lock, read, compile, restore, train.

Every way to begin a run (`entry_points.py`) says three things: the options (`Command`), the place that is written
(`InMemory`, `NewFolder` or `SameFolder`), and how its beginning is read (a function that gives a `Start`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from gromo_graph.amounts import amount
from gromo_graph.errors import RunError
from gromo_graph.graph.growth_goals import over_budget
from gromo_graph.growth.process_sums import ALONE, Processes, lost_peers
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.optimizers import Untrained
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.samples import size_of
from gromo_graph.run.data.stream import dead_workers_told
from gromo_graph.run.epoch_progress import OnProgress
from gromo_graph.run.folder.checkpoint import read_checkpoint
from gromo_graph.run.folder.command import Command
from gromo_graph.run.folder.lock import locked, locked_new
from gromo_graph.run.folder.recorder import UNRECORDED, Recorder, Unrecorded
from gromo_graph.run.folder.run_folder import RunFolder
from gromo_graph.run.folder.weights_file import load_first_weights
from gromo_graph.run.interrupt import Interruption
from gromo_graph.run.process_group import joined
from gromo_graph.run.resources import check_memory, compiled, seeded
from gromo_graph.run.run import Run
from gromo_graph.run.threads import kept_threads
from gromo_graph.run.training_loop import Loop
from gromo_graph.spec import Spec, parse_spec


@dataclass(frozen=True)
class Past:
    """The past of a run that goes on.

    Attributes:
        folder: of the run.
        checkpoints: of it, the newest first.
    """

    folder: RunFolder
    checkpoints: Sequence[Path]


@dataclass(frozen=True)
class Start:
    """The spec, the data and the past that a run begins with.

    Attributes:
        spec: before any growth.
        data: split and prepared.
        past: of a run that goes on; None for one that begins.
        weights: that a run in memory begins with; None for those of its options.
        milliseconds: recorded times of forward passes, by growth step.
        steps: that are recorded; however long they take now, they are made again.
    """

    spec: Spec
    data: Data
    past: Past | None = None
    weights: Mapping[str, Tensor] | None = None
    milliseconds: Mapping[int, float] = field(default_factory=dict)
    steps: int = 0


class Place(Protocol):
    """The place that a run is written to."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes away while this is entered."""

    def recorder(self, command: Command, start: Start, loop: Loop) -> Unrecorded:
        """The recorder of the run; it may rely on the place being held."""


@dataclass(frozen=True)
class InMemory:
    """A run that is written nowhere."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """There is nothing to hold."""
        yield

    def recorder(self, command: Command, start: Start, loop: Loop) -> Unrecorded:
        """Nothing is recorded."""
        return UNRECORDED


@dataclass(frozen=True)
class NewFolder:
    """A folder to make.

    Attributes:
        path: of the folder.
        force: whether a run that is there may be replaced.
    """

    path: Path
    force: bool = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and lock it; one that stays empty is taken away again."""
        with locked_new(self.path, force=self.force):
            yield

    def recorder(self, command: Command, start: Start, loop: Loop) -> Unrecorded:
        """The recorder of a folder with its first files."""
        return Recorder.created(self.path, loop.network, start.data, command, force=self.force)


@dataclass(frozen=True)
class SameFolder:
    """The folder of a run that goes on."""

    folder: RunFolder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder and check what is in it."""
        with locked(self.folder.path):
            yield

    def recorder(self, command: Command, start: Start, loop: Loop) -> Unrecorded:
        """The recorder that goes on behind the checkpoint."""
        return Recorder.reopened(self.folder, start.spec, loop.network.spec, lines=loop.lines)


def carried_out(
    command: Command,
    place: Place,
    start: Callable[[], Start],
    *,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> Run:
    """A whole run, by all processes that the launcher has started.

    Args:
        command: the options.
        place: where the first process writes; it is held before anything is read.
        start: reads spec and data; called in every process.
        device: where to compute.
        on_progress: called after each epoch, in the first process.

    Raises:
        RunError: the data, the folder, the memory or the training; another process has ended.
        KeyboardInterrupt: Ctrl-C; what is there has been saved.
    """
    with dead_workers_told(), lost_peers(), joined(device) as processes, ExitStack() as stack:
        with processes.together():
            if processes.is_first:
                stack.enter_context(place.held())

        def told() -> Start:
            begun = start()
            if processes.is_first:
                for note in begun.data.notes:
                    warnings.warn(note, stacklevel=2)
            return begun

        return _run(command, place, told, device=device, on_progress=on_progress, processes=processes)


def in_memory(
    command: Command, start: Start, *, device: torch.device, on_progress: OnProgress | None = None
) -> Run:
    """A run of this process alone that is written nowhere; notes about the data are in its summary alone."""
    return _run(command, InMemory(), lambda: start, device=device, on_progress=on_progress, processes=ALONE)


def _run(
    command: Command,
    place: Place,
    start: Callable[[], Start],
    *,
    device: torch.device,
    on_progress: OnProgress | None,
    processes: Processes,
) -> Run:
    with seeded(command.seed, device), kept_threads():
        with processes.together():
            begun = start()
            loop = _prepared(begun, command, device, processes)
        with processes.together():  # every process has read what is there before the first one writes
            recorder = place.recorder(command, begun, loop) if processes.is_first else UNRECORDED
        with recorder, Interruption() as interruption:
            return loop.run(recorder, interruption, on_progress if processes.is_first else None)


def _prepared(start: Start, command: Command, device: torch.device, processes: Processes) -> Loop:
    """The loop at the newest checkpoint that can be read, or at the beginning."""

    def begun(spec: Spec) -> Loop:
        network = compiled(spec, command.seed, device)
        new: tuple[str, ...] = ()
        if start.weights is not None:
            network.load_state_dict(dict(start.weights))
        elif command.weights is not None:
            new = load_first_weights(command.weights, network)
        elif spec.growth.freeze is not None:
            raise RunError(
                "`growth.freeze: old` keeps weights that have been trained, and this run begins with random ones: give "
                "the weights of another run (`--weights RUN`), or leave `freeze` out"
            )
        return looped(network, new)

    def looped(network: GrowingNetwork, new: Untrained) -> Loop:
        loop = Loop(network, start.data, command, processes, new)
        loop.scheduler.latency.record, loop.scheduler.recorded_steps = start.milliseconds, start.steps
        return loop

    check_shares(start.spec, start.data, processes)
    if start.past is None:
        loop = begun(start.spec)
        check_memory(loop.network, command.max_memory)
        # A scheduler that counts epochs knows its budgets at its first step alone.
        never = loop.scheduler.reason or over_budget(loop.network.graph, loop.scheduler.policy)
        if never is not None and processes.is_first:
            warnings.warn(f"nothing will grow: {never}", stacklevel=2)
        return loop
    for path in start.past.checkpoints:
        try:
            checkpoint = read_checkpoint(path)
            parse = partial(parse_spec, defaults=start.past.folder.defaults)
            network = compiled(checkpoint.spec_of(path, parse), command.seed, device)
            # What is old the checkpoint says.
            loop = looped(network, [network])
            loop.go_on(checkpoint, start.past.folder.journal(first=checkpoint.lines), path)
        except RunError as error:
            warnings.warn(f"{error}; going on from the one before", stacklevel=2)
        else:
            return loop
    return begun(start.spec)


def check_shares(spec: Spec, data: Data, processes: Processes) -> None:
    """Refuse data of which some process would see nothing.

    Raises:
        RunError: batches, or a part of the data, with fewer samples than there are processes.
    """
    if spec.train.batch_size < processes.count:
        raise RunError(
            f"train.batch_size is {spec.train.batch_size} for {processes.count} processes: expected at least one "
            "sample of each batch for each process"
        )
    for name, part in data.parts.items():
        samples = size_of(part)
        if samples is not None and samples < processes.count:
            raise RunError(
                f"the {name} part has {amount(samples, 'sample')} for {processes.count} processes: start fewer"
            )
