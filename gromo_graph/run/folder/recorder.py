"""Recorder: what a run leaves in its folder while it goes on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gromo_graph.errors import RenderError
from gromo_graph.graph import build_graph
from gromo_graph.modules.saving import Snapshot
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import GrowthEvent
from gromo_graph.records.atomic_files import remove_parts
from gromo_graph.records.journal import Epoch as ToldEpoch
from gromo_graph.records.journal import read_journal
from gromo_graph.render import render
from gromo_graph.render.drawing.dot import direction_of
from gromo_graph.render.drawing.labels import Direction
from gromo_graph.run.data.load_data import Data
from gromo_graph.run.data.samples import size_of
from gromo_graph.run.folder.checkpoint import Checkpoint, remove_checkpoints, write_checkpoint
from gromo_graph.run.folder.journal_writer import JournalWriter, finite
from gromo_graph.run.folder.lock import RunLock
from gromo_graph.run.folder.run_folder import (
    CHECKPOINTS,
    COMMAND,
    DATA,
    JOURNAL,
    REPORT,
    SPEC,
    STEPS,
    SUMMARY,
    WEIGHTS,
    RunFolder,
    as_json,
    create_folder,
)
from gromo_graph.run.folder.weights_file import weights_bytes
from gromo_graph.spec import dump_spec, parse_spec


@dataclass(frozen=True)
class Epoch:
    """What is told about an epoch, to the journal and to whoever watches.

    Attributes:
        epoch: how many are done.
        train, validation: loss and accuracy.
        parameters, madds: of the network now.
        lr: the learning rate at the end of it.
        seconds: it took.
    """

    epoch: int
    train: Mapping[str, Any]
    validation: Mapping[str, Any]
    parameters: int
    madds: int
    lr: float
    seconds: float

    def plain(self) -> ToldEpoch:
        """As the journal tells it; measures that there are not are left out."""
        train, validation = (
            {name: value for name, value in part.items() if value is not None}
            for part in (self.train, self.validation)
        )
        return ToldEpoch(self.epoch, train, validation, self.parameters, self.madds, self.lr)


class Recorder:
    """Keeps a run folder up to date; a context manager. What is in it can be loaded at every moment.

    Args:
        folder: of the run. network: as it stands.
        lock: of the folder, held until the end. lines: of the journal that is there, to go on behind.
    """

    def __init__(self, folder: RunFolder, network: GrowingNetwork, lock: RunLock, *, lines: int = 0) -> None:
        self.folder, self.network, self.lock = folder, network, lock
        self.direction = direction_of(network.graph)  # of all drawings: nothing turns between two steps
        self.journal = JournalWriter(folder.file(JOURNAL))
        self.journal.go_on_at(lines)

    @staticmethod
    def created(
        path: Path,
        network: GrowingNetwork,
        data: Data,
        *,
        seed: int,
        command: Mapping[str, Any],
        force: bool,
    ) -> Recorder:
        """A new run.

        Args:
            path: of the folder to make.
            network, data: before any growth.
            seed: of the run.
            command: the options of the run.
            force: may another run be replaced?

        Raises:
            RunError: the folder cannot be made or written to, or another process writes it.
        """
        lock = RunLock(path) if path.is_dir() else None
        text = dump_spec(network.spec)
        files: dict[str, bytes | str] = {
            COMMAND: as_json(command),
            DATA: as_json(data.preparation.to_dict()),
            WEIGHTS: weights_bytes(network),
            SPEC: text,
        }
        first = _drawing(network, None, direction_of(network.graph))
        if first is not None:
            files["steps/000.svg"] = first
        try:
            folder = create_folder(path, files, force=force)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        recorder = Recorder(folder, network, lock or RunLock(path))
        sizes = {name: size_of(part) for name, part in data.parts.items()}
        recorder.journal.header(
            name=network.spec.name, seed=seed, spec=text, data={"fingerprint": data.fingerprint, **sizes}
        )
        return recorder

    @staticmethod
    def reopened(path: Path, network: GrowingNetwork, *, lines: int) -> Recorder:
        """A run that goes on, behind so many lines of its journal.

        Raises:
            RunError: it cannot be written to, or another process writes it.
        """
        lock = RunLock(path)
        for folder in (path, path / STEPS, path / CHECKPOINTS):
            remove_parts(folder)
        recorder = Recorder(RunFolder(path), network, lock, lines=lines)
        first = read_journal(path).header.spec
        recorder.direction = direction_of(build_graph(parse_spec(first)))
        return recorder

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.journal.__exit__(kind, value, trace)
        self.lock.release()

    def step(self, event: GrowthEvent) -> None:
        """A growth step was tried: the journal tells it; where it was applied, the rest follows."""
        self.journal.step(event)
        if event.decision is None:
            return
        self.save()
        drawing = _drawing(self.network, event, self.direction)
        if drawing is not None:
            self.folder.write(str(self.folder.drawing(event.step).relative_to(self.folder.path)), drawing)

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is over."""
        self.journal.epoch(**{name: getattr(epoch, name) for name in Epoch.__dataclass_fields__})

    def setback(self, epoch: int, reason: str, *, again: bool) -> None:
        """A loss was not finite."""
        self.journal.setback(epoch, reason, again=again)

    def checkpoint(self, epoch: int, parts: Mapping[str, Snapshot]) -> None:
        """All that is needed to go on behind this epoch."""
        spec = dump_spec(self.network.spec)
        write_checkpoint(self.folder.path, Checkpoint(epoch, self.journal.lines, spec, parts))

    def save(self) -> None:
        """Weights and spec as the network now stands."""
        self.folder.write(WEIGHTS, weights_bytes(self.network))
        self.folder.write(SPEC, dump_spec(self.network.spec))

    def finish(self, results: Mapping[str, Any]) -> None:
        """The run is over: what came of it, and the report."""
        self.save()
        self.folder.write(SUMMARY, as_json(finite(results)))
        remove_checkpoints(self.folder.path)
        self.report(results)

    def report(self, results: Mapping[str, Any] | None) -> None:
        """The page that tells the run."""
        from gromo_graph.render.pages.report import report_html

        try:
            page = report_html(read_journal(self.folder.path), results=results)
        except RenderError as error:
            warnings.warn(f"no report: {error}", stacklevel=2)
        else:
            self.folder.write(REPORT, page)


def _drawing(network: GrowingNetwork, event: GrowthEvent | None, direction: Direction) -> str | None:
    """The SVG; a network that cannot be drawn is no reason to lose its training."""
    try:
        return render(network, event=event, direction=direction)
    except RenderError as error:
        warnings.warn(f"no drawing: {error}", stacklevel=2)
        return None
