"""The loop of a run: train, grow, measure and record, epoch after epoch."""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gromo_graph.amounts import amount
from gromo_graph.errors import NotFiniteError, RunError
from gromo_graph.growth import GrowthScheduler
from gromo_graph.growth.observe import is_sized
from gromo_graph.growth.out_of_memory import out_of_memory
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.optimizers import Untrained
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Epoch, Journal
from gromo_graph.run.branch_point import BranchPoint
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.samples import Stream, size_of
from gromo_graph.run.epoch_progress import BudgetWatcher, OnProgress, Progress, Watcher
from gromo_graph.run.folder.checkpoint import (
    Checkpoint,
)
from gromo_graph.run.folder.command import Command
from gromo_graph.run.folder.recorder import UNRECORDED, Unrecorded
from gromo_graph.run.interrupt import Interruption
from gromo_graph.run.judging.measures import Measures
from gromo_graph.run.judging.run_measures import RunMeasures
from gromo_graph.run.process_group import wrapped
from gromo_graph.run.run import Run
from gromo_graph.run.run_batches import RunBatches
from gromo_graph.run.speed import SpeedOfEpochs
from gromo_graph.run.threads import choose_threads
from gromo_graph.run.trainer import (
    Means,
    not_finite,
    train_epoch,
)
from gromo_graph.run.training.epoch_watch import EpochWatch
from gromo_graph.run.training.growth_policy import budget_words, policy_for
from gromo_graph.run.training.objective import prepared_objective
from gromo_graph.run.training.optimizers import make_optimizers
from gromo_graph.run.training_state import TrainingState
from gromo_graph.spec import Spec
from gromo_graph.spec.settings import Growth
from gromo_graph.spec.train_settings import Train

_BETWEEN_CHECKPOINTS = 10.0  # seconds; epochs with growth have one anyway
_BETWEEN_AGREEMENTS = 20  # batches after which several processes ask each other whether to stop


class EndOfReplay(Exception):  # noqa: N818 - it is what was asked for
    """The step that was asked for has been applied."""


class Loop:
    """A run at some moment, and how it goes on from there.

    Args:
        network: as it stands. data: that it is trained on.
        command: the options of the run.
        processes: that make the run together.
        new: nodes and parameters that `growth.freeze: old` does not keep as they are.

    Attributes:
        lines: of the journal, that lead to this moment.
    """

    def __init__(
        self,
        network: GrowingNetwork,
        data: Data,
        command: Command,
        processes: Processes,
        new: Untrained = (),
    ) -> None:
        self.network, self.data, self.processes = network, data, processes
        self.seed, self.amp = command.seed, command.amp
        self.ended = command.ended
        self.recorder: Unrecorded = UNRECORDED
        self.interruption = Interruption()
        self.loss = prepared_objective(self.train, data.preparation, weighted=data.train.weighted)
        self.source = RunBatches(network, data, self.seed, processes)
        self.trained = self.source.training()
        self.measures = RunMeasures(network, self.loss, data, self.source.measured(), processes)
        self.events: list[GrowthEvent] = []
        self.told: list[Epoch] = []
        self.begin, self.lines = 0, 1  # the header
        self.kept = time.monotonic()
        self.threads = torch.get_num_threads()
        optimizers = make_optimizers(network, self.train.optimizer)
        self.scheduler = GrowthScheduler(
            network,
            self.loss,
            policy=policy_for(network.graph, data.train),
            optimizer=optimizers,
            on_event=self._on_event,
            on_batch=self._doing,
            generator=torch.Generator().manual_seed(self.seed),
            undoable=False,  # a folder can be replayed up to any step
            max_memory=command.max_memory,
            new=new,
            processes=processes,
            epochs=network.spec.train.epochs,
            training_steps=self.source.steps(self.trained),
            statistics=None if isinstance(data.train, Stream) else self.source.of_tick,
        )
        watch = EpochWatch(self.train)
        self.state = TrainingState(network, optimizers, self.scheduler, watch, command.branch_point)
        self.batches = self.begun = 0  # training batches so far, and those before this epoch
        self.speed = SpeedOfEpochs(size_of(data.train))
        self.watcher: Watcher | None = None
        self.specs: list[Spec] = []  # the network after each event of this epoch

    @property
    def train(self) -> Train:
        """The section of the spec."""
        return self.network.spec.train

    def go_on(self, checkpoint: Checkpoint, journal: Journal, path: Path) -> None:
        """Take the state of a checkpoint; afterwards the loop goes on as if it had never been broken off.

        Args:
            checkpoint: of a network of these sizes.
            journal: up to the checkpoint.
            path: of the checkpoint, for messages.

        Raises:
            RunError: the checkpoint is damaged; the loop is then of no use any more.
        """
        if len(journal.epochs) != checkpoint.epoch:
            raise RunError(f"{path}: this checkpoint does not belong to the journal")
        try:
            self.state.restore(checkpoint.parts)
        except Exception as error:  # a value of any part may be of any type, whatever its checksum says
            if out_of_memory(error):
                raise
            raise RunError(f"{path}: this checkpoint is damaged: {error!r}") from error
        self.begin, self.lines = checkpoint.epoch, checkpoint.lines
        self.events, self.told = list(journal.events), list(journal.epochs)

    def run(self, recorder: Unrecorded, interruption: Interruption, on_progress: OnProgress | None) -> Run:
        """All epochs that are left.

        Args:
            recorder: told of everything that happens.
            interruption: asked at safe places whether to stop.
            on_progress: called after each epoch.

        Raises:
            RunError: a loss is not finite, or the folder cannot be written to.
            KeyboardInterrupt: Ctrl-C; what is there has been saved.
        """
        self.recorder, self.interruption, self.on_progress = recorder, interruption, on_progress
        self.watcher = on_progress if isinstance(on_progress, Watcher) else None
        self.model = wrapped(self.network, self.processes)
        try:
            recorder.save(self.network)  # the files of a run that goes on may be of later than the checkpoint
            epoch = self.begin
            if epoch == 0:
                self._tell_budget(policy_for(self.network.graph, self.data.train))
            self._follow(epoch)
            while epoch < self.train.epochs and self.state.watch.stopped is None:
                self._done(epoch)
                epoch += 1
                self._follow(epoch)
                self._check()
            self.state.keep_best()
        except EndOfReplay:
            pass
        except KeyboardInterrupt:
            recorder.break_off(self.network)
            raise
        results = self._results()
        recorder.finish(self.network, results, self.measures.histograms)
        return Run(
            network=self.network,
            events=tuple(self.events),
            epochs=tuple(self.told),
            preparation=self.data.preparation,
            fingerprint=self.data.fingerprint,
            results=results,
            path=recorder.path,
            data=self.data,
        )

    def _done(self, epoch: int) -> None:
        """Train one epoch; if a loss in it is not finite, train it again at half the learning rate.

        What grew in it at ticks is taken back, in the journal too.

        Raises:
            NotFiniteError: it was once too often, or the network has grown at its end, in the clock of release 0.1.
        """
        told, lines, spec = len(self.events), self.recorder.lines, self.network.spec
        while True:
            start = self.state.saved(copied=True) if self.state.setbacks < self.train.retries else None
            try:
                self._epoch(epoch)
                return
            except NotFiniteError as error:
                grown = len(self.events) > told
                again = start is not None and not (grown and self.scheduler.policy.counts_epochs)
                if again and grown:
                    self._shrink_back(spec, told, lines)
                self.recorder.setback(epoch + 1, error.found, again=again)
                if start is None or not again:
                    raise
                self.state.restore(start)
                lines += 1  # the setback stays
                self.state.setbacks += 1
                if self.processes.is_first:
                    again_at = f"epoch {epoch + 1} is done again at half the learning rate"
                    warnings.warn(f"{error.found}: {again_at}", stacklevel=2)

    def _shrink_back(self, spec: Spec, told: int, lines: int) -> None:
        """Make the network as wide as it was, with a new optimizer; the weights are not restored yet.

        Args:
            spec: of the network then. told: events that there were. lines: of the journal then.
        """
        self.state.shrink_back(spec)
        del self.events[told:]
        self.recorder.go_back(lines)
        self._wrap_anew()

    def _epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        if not self.processes.is_first:  # or dropout would leave out the same units in each share of a batch
            torch.manual_seed((self.seed * 1_000_003 + epoch) * 1_009 + self.processes.rank)
        choose_threads(self.network.graph.multiply_adds * self.train.batch_size, self.threads)
        self.trained.set_epoch(epoch)
        self.begun, told_before = self.batches, len(self.events)
        self.specs.clear()
        measured = train_epoch(
            self.model,
            self.loss,
            self.trained,
            self.state.optimizers,
            rate=lambda batch: self._rate(epoch, batch),
            after_batch=self._after_batch,
            after_step=self._after_step,
            clock=f"epoch {epoch + 1}",
            accumulate=self.train.accumulate,
            clip=self.train.clip,
            amp=self.amp,
            processes=self.processes,
        )
        self.state.epoch_batches = self.batches - self.begun
        if self.scheduler.policy.counts_epochs:
            self.scheduler.step(self.trained, self.measures.batches["validation"])
            if any(event.decision is not None for event in self.events[told_before:]):
                self._wrap_anew()
        trained = time.perf_counter()
        lr = self.state.optimizers[0].param_groups[0]["lr"]
        validation = self.measures.validation()
        loss = validation["loss"]
        assert loss is not None  # every part has one
        if not math.isfinite(loss):
            raise not_finite("validation", loss, f"epoch {epoch + 1}", lr)
        told = Epoch(
            epoch=epoch + 1,
            train=_known(measured),
            validation=_known(validation),
            parameters=self.network.graph.parameter_count,
            madds=self.network.graph.multiply_adds,
            lr=lr,
        )
        self.told.append(told)
        seconds = time.perf_counter() - started
        self.recorder.epoch(told, seconds=seconds)
        events = tuple(self.events[told_before:])
        left = self.train.epochs - told.epoch
        speed = self.speed.after(training=trained - started, whole=seconds, events=events, epochs_left=left)
        self.state.look_at(told, events)
        if events or time.monotonic() - self.kept > _BETWEEN_CHECKPOINTS:
            self._checkpoint(epoch + 1)
        if self.on_progress is not None:
            progress = Progress.of(
                self.network,
                epoch=told.epoch,
                train=measured,
                validation=validation,
                events=events,
                specs=tuple(self.specs),
                reason=self.scheduler.reason,
                speed=speed,
            )
            self.on_progress(progress)

    def _rate(self, epoch: int, batch: int) -> float:
        """The learning rate of a batch; in a first epoch of unknown length that of its beginning."""
        batches = len(self.trained) if is_sized(self.trained) else self.state.epoch_batches
        done = min(batch / batches, 1.0) if batches else 0.0
        return self.state.rate((epoch + done) / self.train.epochs)

    def _wrap_anew(self) -> None:
        self.model = self.network  # nothing may hold what was around it before
        self.model = wrapped(self.network, self.processes)

    def _after_step(self, model: torch.nn.Module, x: Tensor, y: Tensor) -> torch.nn.Module:
        """Grow if a tick is due; the network to go on training with."""
        if self.scheduler.policy.counts_epochs:
            return model
        events = self.scheduler.after_batch(x, y, self.measures.batches["validation"])
        if any(event.decision is not None for event in events):
            self._wrap_anew()
            self.model.train()
        return self.model

    def _after_batch(self) -> None:
        self.batches += 1
        if self.watcher is not None:
            of = f" of {len(self.trained)}" if is_sized(self.trained) else ""
            self.watcher.doing(f"batch {self.batches - self.begun}{of}")
        if self.processes.count == 1 or self.batches % _BETWEEN_AGREEMENTS == 0:
            self._check()

    def _doing(self, words: str) -> None:
        """The place in the plan of a growth step."""
        if self.watcher is not None:
            self.watcher.doing(words)

    def _check(self) -> None:
        """A safe place to stop; all processes stop at the same one."""
        self.interruption.asked = self.processes.any(self.interruption.asked)
        self.interruption.check()

    def _follow(self, epoch: int) -> None:
        """Leave the run that is followed if that is due; also one that was broken off just there."""
        point = self.state.branch_point
        if point is not None and self.scheduler.applied >= point.at:
            self._leave(point, epoch)

    def _leave(self, point: BranchPoint, epoch: int) -> None:
        """Go on with other settings than the run that was followed so far."""
        before = self.train
        self.state.leave(point)
        others = self.train.batch_size != before.batch_size
        if others:
            self.trained = self.source.training()
        policy = policy_for(self.network.graph, self.data.train)
        self.scheduler.use(
            policy,
            epochs=self.train.epochs,
            training_steps=self.source.steps(self.trained),
            same_data=not others,
        )
        self._tell_budget(policy)
        self.recorder.save(self.network)
        self._checkpoint(epoch)

    def _tell_budget(self, policy: Growth) -> None:
        """Say how large the data let the network become; one that cannot grow has been told so already."""
        words = budget_words(policy, self.data.train)
        if (
            words is not None
            and self.scheduler.reason is None
            and isinstance(self.on_progress, BudgetWatcher)
        ):
            self.on_progress.budget(words)

    def _checkpoint(self, epoch: int) -> None:
        self.recorder.checkpoint(self.network, epoch, self.state.saved)
        self.kept = time.monotonic()

    def _on_event(self, event: GrowthEvent) -> None:
        self.events.append(event)
        self.specs.append(self.network.spec)
        self.recorder.step(self.network, event, self.measures.histograms)
        point = self.state.branch_point
        replayed = point is not None and point.overrides is None and event.step == point.at
        if replayed and event.decision is not None:
            raise EndOfReplay

    def _ending(self) -> dict[str, Any]:
        """Say why the training ended early and which epoch's weights are kept, if either is so."""
        watch, best = self.state.watch, self.state.best
        return {
            **({} if watch.stopped is None else {"stopped": watch.stopped}),
            **({} if best is None else {"kept_epoch": watch.best_epoch}),
        }

    def _results(self) -> dict[str, Any]:
        point = self.state.branch_point
        replayed = None if point is None else f"replayed up to step {point.at}"
        return {
            "steps": self.scheduler.applied,
            "reason": replayed
            or self.ended
            or self.scheduler.outcome
            or f"the training is over: {amount(self.train.epochs, 'epoch')}",
            "parameters": self.network.graph.parameter_count,
            **self._ending(),
            **self.measures.final(),
        }


def _known(measured: Means | Measures) -> dict[str, float]:
    """The measures that there are: a regression has no accuracy."""
    return {name: float(value) for name, value in measured.items() if isinstance(value, float)}
