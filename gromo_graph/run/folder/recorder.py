"""Recorder: what a run leaves in its folder while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from gromo_graph.graph import build_graph
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import Epoch, GrowthEvent
from gromo_graph.records.atomic_files import remove_parts
from gromo_graph.records.histograms import Histograms
from gromo_graph.records.journal import JOURNAL
from gromo_graph.render.drawing.dot import direction_of
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.samples import size_of
from gromo_graph.run.folder.checkpoint import Checkpoint, remove_checkpoints, write_checkpoint
from gromo_graph.run.folder.command import Command
from gromo_graph.run.folder.completion import complete_drawings, drawn, write_drawing, write_report
from gromo_graph.run.folder.journal_writer import JournalWriter, finite
from gromo_graph.run.folder.own_files import CHECKPOINTS, COMMAND, DATA, SPEC, STEPS, SUMMARY, WEIGHTS
from gromo_graph.run.folder.run_folder import RunFolder, as_json, create_folder
from gromo_graph.run.folder.weights_file import weights_bytes
from gromo_graph.spec import Spec, dump_spec
from gromo_graph.statistics.saved_statistics import Snapshot


class Unrecorded:
    """Records nothing: of a run in memory, and in all processes but the first. A context manager.

    Attributes:
        path: of the run folder, or None.
    """

    path: Path | None = None

    @property
    def lines(self) -> int:
        """Lines of the journal so far."""
        return 0

    def go_back(self, lines: int) -> None:
        """Keep so many lines of the journal: what the others tell is done again."""

    def __enter__(self) -> Unrecorded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to close."""

    def step(self, network: GrowingNetwork, event: GrowthEvent, histograms: Callable[[], Histograms]) -> None:
        """A growth step was tried; the network is as it left it, and `histograms` gives those of now."""

    def epoch(self, told: Epoch, *, seconds: float) -> None:
        """An epoch is over, which took so many seconds."""

    def setback(self, epoch: int, reason: str, *, again: bool) -> None:
        """A loss was not finite."""

    def checkpoint(
        self, network: GrowingNetwork, epoch: int, parts: Callable[[], Mapping[str, Snapshot]]
    ) -> None:
        """Keep all that is needed to go on behind this epoch; `parts` gives it."""

    def save(self, network: GrowingNetwork) -> None:
        """Keep weights and spec as the network now stands."""

    def break_off(self, network: GrowingNetwork) -> None:
        """The run is interrupted and may be resumed."""

    def finish(
        self, network: GrowingNetwork, results: Mapping[str, Any], histograms: Callable[[], Histograms]
    ) -> None:
        """The run is over: this came of it, and `histograms` gives those of the end."""


UNRECORDED = Unrecorded()


class Recorder(Unrecorded):
    """Keeps a run folder up to date. What is in it can be loaded at every moment. The folder has to be locked.

    Args:
        folder: of the run.
        first: the spec before any growth.
        lines: of the journal that are kept, to go on behind them.
    """

    def __init__(self, folder: RunFolder, first: Spec, *, lines: int = 0) -> None:
        self.folder, self.path = folder, folder.path
        self.direction = direction_of(build_graph(first))  # of all drawings: nothing turns between two steps
        self._specs = {dump_spec(first): first}  # by their texts, which are never parsed again here
        self.journal = JournalWriter(folder.file(JOURNAL))
        self.journal.go_on_at(lines)

    @staticmethod
    def created(
        path: Path, network: GrowingNetwork, data: Data, command: Command, *, force: bool = False
    ) -> Recorder:
        """A new run.

        Args:
            path: of the folder to make.
            network, data: before any growth.
            command: the options of the run.
            force: may another run be replaced?

        Raises:
            RunError: the folder cannot be made or written to.
        """
        text = dump_spec(network.spec)
        unset = {name for name in ("course", "ended") if getattr(command, name) is None}
        options = command.model_dump(mode="json", exclude=unset)
        files: dict[str, bytes | str] = {
            COMMAND: as_json(options),
            DATA: as_json(data.preparation.to_dict()),
            WEIGHTS: weights_bytes(network, spec=text),
            SPEC: text,
        }
        first = drawn(network, None, direction_of(network.graph))
        if first is not None:
            files[f"{STEPS}/000.svg"] = first
        recorder = Recorder(create_folder(path, files, force=force), network.spec)
        sizes = {name: size_of(part) for name, part in data.parts.items()}
        recorder.journal.header(
            name=network.spec.name,
            seed=command.seed,
            spec=text,
            data={"fingerprint": data.fingerprint, **sizes},
        )
        return recorder

    @staticmethod
    def reopened(folder: RunFolder, first: Spec, now: Spec, *, lines: int) -> Recorder:
        """A run that goes on.

        Args:
            folder: of the run.
            first: the spec before any growth.
            now: the spec at the end of the lines that are kept.
            lines: of the journal that are kept.

        Raises:
            RunError: it cannot be written to.
        """
        for each in (folder.path, folder.path / STEPS, folder.path / CHECKPOINTS):
            remove_parts(each)
        recorder = Recorder(folder, first, lines=lines)
        recorder._specs[dump_spec(now)] = now
        complete_drawings(folder, folder.journal(), recorder.spec_of)
        return recorder

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.journal.__exit__(kind, value, trace)

    def spec_of(self, text: str) -> Spec:
        """The spec of a text of the journal, which is parsed only if another process wrote it."""
        if text not in self._specs:
            self._specs[text] = self.folder.parsed(text)
        return self._specs[text]

    def step(self, network: GrowingNetwork, event: GrowthEvent, histograms: Callable[[], Histograms]) -> None:
        """A growth step was tried: the journal tells it; if it was applied, the rest follows."""
        if event.decision is None:
            self.journal.step(event, {})
            return
        self.journal.step(event, histograms())
        self._specs[event.spec] = network.spec
        self.save(network)
        write_drawing(self.folder, event.step, network, event, self.direction)

    @property
    def lines(self) -> int:
        """Lines of the journal so far."""
        return self.journal.lines

    def go_back(self, lines: int) -> None:
        """Keep so many lines of the journal."""
        self.journal.go_on_at(lines)

    def epoch(self, told: Epoch, *, seconds: float) -> None:
        """An epoch is over."""
        self.journal.epoch(**vars(told), seconds=seconds)

    def setback(self, epoch: int, reason: str, *, again: bool) -> None:
        """A loss was not finite."""
        self.journal.setback(epoch, reason, again=again)

    def checkpoint(
        self, network: GrowingNetwork, epoch: int, parts: Callable[[], Mapping[str, Snapshot]]
    ) -> None:
        """All that is needed to go on behind this epoch."""
        spec = dump_spec(network.spec)
        write_checkpoint(self.folder.path, Checkpoint(epoch, self.journal.lines, spec, parts()))

    def save(self, network: GrowingNetwork) -> None:
        """Weights and spec as the network now stands."""
        text = dump_spec(network.spec)
        self.folder.write(WEIGHTS, weights_bytes(network, spec=text))
        self.folder.write(SPEC, text)

    def break_off(self, network: GrowingNetwork) -> None:
        """The network and the report as far as the run has come."""
        self.save(network)
        write_report(self.folder, self.folder.journal(), None, self.spec_of)

    def finish(
        self, network: GrowingNetwork, results: Mapping[str, Any], histograms: Callable[[], Histograms]
    ) -> None:
        """The network, the report, and last of all the summary: a run that has one is complete."""
        self.save(network)
        kept = finite(results)
        write_report(self.folder, self.folder.journal(), kept, self.spec_of)
        self.folder.write(SUMMARY, as_json({**kept, "histograms": finite(histograms())}))
        remove_checkpoints(self.folder.path)
