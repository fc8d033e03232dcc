"""All that decides how a training goes on: the contents of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from gromo_graph.graph.edits import Restore
from gromo_graph.growth import GrowthScheduler
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.transaction import edit
from gromo_graph.records import GrowthEvent
from gromo_graph.records.journal import Epoch
from gromo_graph.run.branch_point import BranchPoint
from gromo_graph.run.folder.checkpoint import (
    restore_chance,
    restore_network,
    restore_optimizer,
    saved_chance,
    saved_network,
    saved_optimizer,
)
from gromo_graph.run.training.epoch_watch import EpochWatch
from gromo_graph.run.training.optimizers import make_optimizers, options_of
from gromo_graph.run.training.schedules import learning_rate
from gromo_graph.spec import Spec
from gromo_graph.spec.train_settings import Train
from gromo_graph.statistics.saved_statistics import Snapshot


@dataclass
class TrainingState:
    """The network of a run, and all that decides how its training goes on.

    Attributes:
        optimizers, scheduler: of the network.
        watch: follows the measure that the training goes by.
        branch_point: where the run leaves the one that it follows; None once it has, and of a run of its own.
        setbacks: epochs that were done again, each at half the learning rate of before.
        epoch_batches: batches of an epoch, of a loader that does not say it.
        best: the network of the best epoch since the last growth step.
    """

    network: GrowingNetwork
    optimizers: tuple[torch.optim.Optimizer, ...]
    scheduler: GrowthScheduler
    watch: EpochWatch
    branch_point: BranchPoint | None
    setbacks: int = 0
    epoch_batches: int | None = None
    best: Snapshot | None = None

    @property
    def train(self) -> Train:
        """The section of the spec."""
        return self.network.spec.train

    def rate(self, share: float) -> float:
        """The learning rate after a share of the training."""
        return learning_rate(self.train, share) * self.watch.reduced * 0.5**self.setbacks

    def look_at(self, epoch: Epoch, events: tuple[GrowthEvent, ...]) -> None:
        """Go by the measure of an epoch: keep its weights if it is the best, and see whether to stop."""
        is_best = self.watch.see(
            epoch.epoch,
            epoch.validation.get(self.train.watch),
            grown=any(event.decision is not None for event in events),
            growing=not self.scheduler.is_over,
        )
        if is_best and self.train.keep == "best":
            self.best = saved_network(self.network).copied()

    def keep_best(self) -> None:
        """Take the weights of the best epoch, if that is asked for."""
        if self.best is not None:
            restore_network(self.network, self.best)

    def shrink_back(self, spec: Spec) -> None:
        """Make the network as wide as in a spec, with new optimizers; the weights are not restored yet."""
        with edit(self.network) as change:
            change.apply(Restore(spec))
        self.optimizers = make_optimizers(self.network, self.train.optimizer)
        self.scheduler.optimizer = self.optimizers

    def leave(self, point: BranchPoint) -> None:
        """Take other settings than those of the run that was followed so far."""
        self.branch_point = None
        with edit(self.network) as change:
            change.apply(Restore(point.spec_of(self.network.spec)))
        self.watch, self.best = EpochWatch(self.train), None
        asked = {"weight_decay": self.train.optimizer.weight_decay, **options_of(self.train.optimizer)}
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group.update({key: value for key, value in asked.items() if key in group})

    def saved(self, *, copied: bool = False) -> dict[str, Snapshot]:
        """The parts of a checkpoint; copied, they stay as they are while the run goes on."""
        course = {
            "left": self.branch_point is None,
            "setbacks": self.setbacks,
            "batches": self.epoch_batches,
            "watch": self.watch.saved(),
        }
        parts = {
            "network": saved_network(self.network),
            **{name: saved_optimizer(each, self.network) for name, each in self._optimizer_parts()},
            "scheduler": self.scheduler.saved(),
            "chance": saved_chance(self._device),
            "course": Snapshot(course),
            **({} if self.best is None else {"best": self.best}),
        }
        return {name: part.copied() for name, part in parts.items()} if copied else parts

    def restore(self, parts: Mapping[str, Snapshot]) -> None:
        """Take the parts of a checkpoint of a network of these sizes."""
        restore_network(self.network, parts["network"])
        for name, optimizer in self._optimizer_parts():
            restore_optimizer(optimizer, self.network, parts[name])
        self.scheduler.restore(parts["scheduler"])
        restore_chance(parts["chance"], self._device)
        course = parts["course"].plain
        self.setbacks, self.epoch_batches = course.get("setbacks", 0), course.get("batches")
        if "watch" in course:  # release 0.1 had none
            self.watch.restore(course["watch"])
        self.best = parts["best"].copied() if "best" in parts else None
        if course["left"]:
            self.branch_point = None

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _optimizer_parts(self) -> list[tuple[str, torch.optim.Optimizer]]:
        """The optimizers with the names of their parts in a checkpoint."""
        names = ("optimizer", *(f"optimizer_{number}" for number in range(2, len(self.optimizers) + 1)))
        return list(zip(names, self.optimizers, strict=True))
