"""The loop of a run: train, grow, measure and record, epoch after epoch."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gromo_graph.amounts import amount
from gromo_graph.errors import NotFiniteError, RunError
from gromo_graph.graph.edits import Restore
from gromo_graph.growth import GrowthScheduler
from gromo_graph.growth.observe import is_sized
from gromo_graph.growth.out_of_memory import out_of_memory
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import inputs_of
from gromo_graph.network.optimizers import Untrained
from gromo_graph.network.transaction import edit
from gromo_graph.records import GrowthEvent
from gromo_graph.records.histograms import Histograms
from gromo_graph.records.journal import Epoch, Journal
from gromo_graph.run.branch_point import BranchPoint
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.samples import Stream, size_of
from gromo_graph.run.epoch_progress import OnProgress, Progress, Watcher
from gromo_graph.run.folder.checkpoint import (
    Checkpoint,
    restore_chance,
    restore_network,
    restore_optimizer,
    saved_chance,
    saved_network,
    saved_optimizer,
)
from gromo_graph.run.folder.command import Command
from gromo_graph.run.folder.recorder import UNRECORDED, Unrecorded
from gromo_graph.run.histograms import histograms_of, samples_within_cost
from gromo_graph.run.interrupt import Interruption
from gromo_graph.run.judging.final import judged_run
from gromo_graph.run.judging.measures import Judge, Measures, judge_of
from gromo_graph.run.judging.predictions import Predictions, predictions_of
from gromo_graph.run.judging.probabilities import EVEN
from gromo_graph.run.process_group import wrapped
from gromo_graph.run.run import NOT_MEASURED, OWN_PARTS, Run
from gromo_graph.run.run_batches import RunBatches
from gromo_graph.run.speed import SpeedOfEpochs
from gromo_graph.run.threads import choose_threads
from gromo_graph.run.trainer import (
    Means,
    evaluate,
    not_finite,
    train_epoch,
)
from gromo_graph.run.training.epoch_watch import EpochWatch
from gromo_graph.run.training.objective import Objective, prepared_objective
from gromo_graph.run.training.optimizers import make_optimizers, options_of
from gromo_graph.run.training.schedules import learning_rate
from gromo_graph.spec import Spec
from gromo_graph.statistics.saved_statistics import Snapshot

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
        self.seed, self.amp, self.branch_point = command.seed, command.amp, command.branch_point
        self.ended = command.ended
        self.recorder: Unrecorded = UNRECORDED
        self.interruption = Interruption()
        self.train = network.spec.train
        self.loss = self._objective()
        self.device = next(network.parameters()).device
        self.source = RunBatches(network, data, self.seed, processes)
        self.trained, self.measured = self.source.training(), self.source.measured()
        self.optimizers = make_optimizers(network, self.train.optimizer)
        self.events: list[GrowthEvent] = []
        self.told: list[Epoch] = []
        self.begin, self.lines = 0, 1  # the header
        self.kept = time.monotonic()
        self.setbacks = 0  # epochs that were done again, each at half the learning rate of before
        self.counted: int | None = None  # batches of an epoch, of a loader that does not say it
        self.threads = torch.get_num_threads()
        self.scheduler = GrowthScheduler(
            network,
            self.loss,
            optimizer=self.optimizers,
            on_event=self._on_event,
            on_batch=self._doing,
            generator=torch.Generator().manual_seed(self.seed),
            undoable=False,  # a folder can be replayed up to any step
            max_memory=command.max_memory,
            new=new,
            processes=processes,
            training_steps=self.source.steps(self.trained),
            statistics=None if isinstance(data.train, Stream) else self.source.of_tick,
        )
        self.batches = self.begun = 0  # training batches so far, and those before this epoch
        self.speed = SpeedOfEpochs(size_of(data.train))
        self.watcher: Watcher | None = None
        self.watch = EpochWatch(self.train)
        self.best: Snapshot | None = None  # the network of the best epoch since the last growth step
        self.specs: list[Spec] = []  # the network after each event of this epoch

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
            self._restore(checkpoint.parts)
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
            self._follow(epoch)
            while epoch < self.train.epochs and self.watch.stopped is None:
                self._done(epoch)
                epoch += 1
                self._follow(epoch)
                self._check()
            self._keep_best()
        except EndOfReplay:
            pass
        except KeyboardInterrupt:
            recorder.break_off(self.network)
            raise
        results = self._results()
        recorder.finish(self.network, results, self._histograms)
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
            start = self._state(copied=True) if self.setbacks < self.train.retries else None
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
                self._restore(start)
                lines += 1  # the setback stays
                self.setbacks += 1
                if self.processes.is_first:
                    again_at = f"epoch {epoch + 1} is done again at half the learning rate"
                    warnings.warn(f"{error.found}: {again_at}", stacklevel=2)

    def _shrink_back(self, spec: Spec, told: int, lines: int) -> None:
        """Make the network as wide as it was, with a new optimizer; the weights are not restored yet.

        Args:
            spec: of the network then. told: events that there were. lines: of the journal then.
        """
        with edit(self.network) as change:
            change.apply(Restore(spec))
        self.optimizers = make_optimizers(self.network, self.train.optimizer)
        self.scheduler.optimizer = self.optimizers
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
            self.optimizers,
            rate=lambda batch: self._rate(epoch, batch),
            after_batch=self._after_batch,
            after_step=self._after_step,
            clock=f"epoch {epoch + 1}",
            accumulate=self.train.accumulate,
            clip=self.train.clip,
            amp=self.amp,
            processes=self.processes,
        )
        self.counted = self.batches - self.begun
        if self.scheduler.policy.counts_epochs:
            self.scheduler.step(self.trained, self.measured["validation"])
            if any(event.decision is not None for event in self.events[told_before:]):
                self._wrap_anew()
        trained = time.perf_counter()
        lr, validation = self.optimizers[0].param_groups[0]["lr"], self._validation()
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
        self._look_at(told, events)
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

    def _look_at(self, told: Epoch, events: tuple[GrowthEvent, ...]) -> None:
        """Go by the measure of an epoch: keep its weights if it is the best, and see whether to stop."""
        is_best = self.watch.see(
            told.epoch,
            told.validation.get(self.train.watch),
            grown=any(event.decision is not None for event in events),
            growing=not self.scheduler.is_over,
        )
        if is_best and self.train.keep == "best":
            self.best = saved_network(self.network).copied()

    def _keep_best(self) -> None:
        """Take the weights of the best epoch, if that is asked for."""
        if self.best is not None:
            restore_network(self.network, self.best)

    def _rate(self, epoch: int, batch: int) -> float:
        """The learning rate of a batch; in a first epoch of unknown length that of its beginning."""
        batches = len(self.trained) if is_sized(self.trained) else self.counted
        done = min(batch / batches, 1.0) if batches else 0.0
        return (
            learning_rate(self.train, (epoch + done) / self.train.epochs)
            * self.watch.reduced
            * 0.5**self.setbacks
        )

    def _wrap_anew(self) -> None:
        self.model = self.network  # nothing may hold what was around it before
        self.model = wrapped(self.network, self.processes)

    def _after_step(self, model: torch.nn.Module, x: Tensor, y: Tensor) -> torch.nn.Module:
        """Grow if a tick is due; the network to go on training with."""
        if self.scheduler.policy.counts_epochs:
            return model
        events = self.scheduler.after_batch(x, y, self.measured["validation"])
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
        if self.branch_point is not None and self.scheduler.applied >= self.branch_point.at:
            self._leave(self.branch_point, epoch)

    def _leave(self, point: BranchPoint, epoch: int) -> None:
        """Go on with other settings than the run that was followed so far."""
        self.branch_point = None
        with edit(self.network) as change:
            change.apply(Restore(point.spec_of(self.network.spec)))
        before, self.train = self.train, self.network.spec.train
        self.watch, self.best = EpochWatch(self.train), None
        others = self.train.batch_size != before.batch_size
        if others:
            self.trained = self.source.training()
        asked = {"weight_decay": self.train.optimizer.weight_decay, **options_of(self.train.optimizer)}
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group.update({key: value for key, value in asked.items() if key in group})
        self.scheduler.use(
            self.network.spec.growth,
            epochs=self.train.epochs,
            training_steps=self.source.steps(self.trained),
            same_data=not others,
        )
        self.recorder.save(self.network)
        self._checkpoint(epoch)

    def _checkpoint(self, epoch: int) -> None:
        self.recorder.checkpoint(self.network, epoch, self._state)
        self.kept = time.monotonic()

    def _state(self, *, copied: bool = False) -> dict[str, Snapshot]:
        """All that decides how the run goes on; copied, it stays as it is while the run does."""
        parts = {
            "network": saved_network(self.network),
            **{name: saved_optimizer(each, self.network) for name, each in self._optimizer_parts()},
            "scheduler": self.scheduler.saved(),
            "chance": saved_chance(self.device),
            "course": Snapshot(
                {
                    "left": self.branch_point is None,
                    "setbacks": self.setbacks,
                    "batches": self.counted,
                    "watch": self.watch.saved(),
                }
            ),
            **({} if self.best is None else {"best": self.best}),
        }
        return {name: part.copied() for name, part in parts.items()} if copied else parts

    def _optimizer_parts(self) -> list[tuple[str, torch.optim.Optimizer]]:
        """The optimizers with the names of their parts in a checkpoint."""
        names = ("optimizer", *(f"optimizer_{number}" for number in range(2, len(self.optimizers) + 1)))
        return list(zip(names, self.optimizers, strict=True))

    def _restore(self, parts: Mapping[str, Snapshot]) -> None:
        restore_network(self.network, parts["network"])
        for name, optimizer in self._optimizer_parts():
            restore_optimizer(optimizer, self.network, parts[name])
        self.scheduler.restore(parts["scheduler"])
        restore_chance(parts["chance"], self.device)
        course = parts["course"].plain
        self.setbacks, self.counted = course.get("setbacks", 0), course.get("batches")
        if "watch" in course:  # release 0.1 had none
            self.watch.restore(course["watch"])
        self.best = parts["best"].copied() if "best" in parts else None
        if course["left"]:
            self.branch_point = None

    def _histograms(self) -> Histograms:
        """Histograms of the weights, and of outputs for the first held-out samples unless a loader gives them."""
        inputs = None
        if not isinstance(self.data.parts["validation"], Stream):
            x, _ = next(iter(self.measured["validation"]))
            count = samples_within_cost(self.network)
            inputs = [each[:count] for each in inputs_of(x)]
        return histograms_of(self.network, inputs)

    def _on_event(self, event: GrowthEvent) -> None:
        self.events.append(event)
        self.specs.append(self.network.spec)
        self.recorder.step(self.network, event, self._histograms)
        point = self.branch_point
        replayed = point is not None and point.overrides is None and event.step == point.at
        if replayed and event.decision is not None:
            raise EndOfReplay

    def _validation(self) -> Means | Measures:
        """The measures of the held-out data after an epoch: loss, accuracy, and those that the spec asks for."""
        watched = () if self.train.watch in ("loss", *self.train.metrics) else (self.train.watch,)
        wanted = (*self.train.metrics, *watched)
        if not wanted and self._judge().threshold == EVEN:
            return evaluate(self.network, self.loss, self.measured["validation"], processes=self.processes)
        found = self._judge().measures(self._predictions("validation"))
        return {name: found.get(name) for name in ("loss", "accuracy", *wanted)}

    def _objective(self) -> Objective:
        return prepared_objective(self.train, self.data.preparation, weighted=self.data.train.weighted)

    def _predictions(self, part: str) -> Predictions:
        return predictions_of(self.network, self.loss, self.measured[part], processes=self.processes)

    def _judge(self) -> Judge:
        written, prepared = self.train.threshold, self.data.preparation
        return judge_of(prepared, EVEN if written == "tuned" else written)

    def _ending(self) -> dict[str, Any]:
        """Say why the training ended early and which epoch's weights are kept, if either is so."""
        stopped = self.watch.stopped
        return {
            **({} if stopped is None else {"stopped": stopped}),
            **({} if self.best is None else {"kept_epoch": self.watch.best_epoch}),
        }

    def _results(self) -> dict[str, Any]:
        point = self.branch_point
        replayed = None if point is None else f"replayed up to step {point.at}"
        judged = judged_run(
            self._predictions,
            [part for part in OWN_PARTS if part in self.measured],
            self._judge(),
            classes=self.data.preparation.classes,
            tune=self.train.threshold == "tuned",
        )
        notes = (*self.data.notes, *judged.pop("notes", ()))
        return {
            "steps": self.scheduler.applied,
            "reason": replayed
            or self.ended
            or self.scheduler.reason
            or f"the training is over: {amount(self.train.epochs, 'epoch')}",
            "parameters": self.network.graph.parameter_count,
            **self._ending(),
            **dict.fromkeys(OWN_PARTS, NOT_MEASURED),
            **judged,
            **({"notes": notes} if notes else {}),
        }


def _known(measured: Means | Measures) -> dict[str, float]:
    """The measures that there are: a regression has no accuracy."""
    return {name: float(value) for name, value in measured.items() if isinstance(value, float)}
