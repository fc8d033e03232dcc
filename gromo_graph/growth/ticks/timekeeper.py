"""The part of a training that is done, by the clock of its growth, and the end of growth."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from gromo_graph.amounts import amount
from gromo_graph.errors import GrowthError
from gromo_graph.graph import Graph
from gromo_graph.growth.clock import Clock, Elapsed, EpochClock, TickClock
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.stopping import budget_reached, goal_missed
from gromo_graph.growth.ticks.plateau import PlateauWatch
from gromo_graph.spec.settings import Growth


class Timekeeper:
    """Counts a training, by its training steps or by its epochs, never both.

    Args:
        policy: of the scheduler. epochs: of the whole training, which `until` is a share of.
        training_steps: of the whole training, None if they are not known.
        knows_epochs: `training_steps` are those of `epochs`, so that steps that are counted tell the epoch.

    Attributes:
        done: how much of it is done. applied: growth steps applied so far.
        refused: why nothing was applied at the last tick; None if something was, or if nothing was due.
    """

    def __init__(
        self, policy: Growth, epochs: int, training_steps: int | None, *, knows_epochs: bool = True
    ) -> None:
        self.done, self.applied, self._knows_epochs = Elapsed(), 0, knows_epochs
        self._began = time.perf_counter()
        self._set(policy, epochs, training_steps)

    def use(self, policy: Growth, epochs: int, training_steps: int | None) -> None:
        """Go on with another policy, in a training of another length."""
        self._knows_epochs = True
        self._set(policy, epochs, training_steps)
        if training_steps is not None:
            self.done.steps = self.done.epochs * training_steps // epochs

    def _set(self, policy: Growth, epochs: int, training_steps: int | None) -> None:
        self.policy, self.epochs, self.training_steps = policy, epochs, training_steps
        self._plateau = PlateauWatch(policy.when)
        self._caller = ""
        self.refused: str | None = None
        self.clock = self._clock(by_steps=False)

    def count_epoch(self) -> None:
        """An epoch is over.

        Raises:
            GrowthError: steps are counted in this training.
        """
        self._begin("step")
        self.done.epochs += 1

    def count_step(self) -> bool:
        """The optimizer has made a step; has the time of the clock gone on?

        Raises:
            GrowthError: epochs are counted in this training, or its length is not known.
        """
        if self.training_steps is None:
            raise GrowthError(
                "the length of the training is not known, and growth takes place at shares of it: "
                "GrowthScheduler(..., training_steps=epochs * len(train_loader)), or call `step` once an epoch"
            )
        self._begin("after_batch")
        before = self.moment
        self.done.steps += 1
        self.done.epochs = self.done.steps * self.epochs // self.training_steps
        return self.moment != before

    @property
    def epoch(self) -> int | None:
        """Epochs that are over; None if steps are counted that nobody divided into epochs."""
        return self.done.epochs if self._tells_epochs else None

    @property
    def epochs_done(self) -> float | None:
        """Epochs that are over, with the part of the one that goes on; None as `epoch`."""
        return self.fraction_of_epochs if self._tells_epochs else None

    @property
    def fraction_of_epochs(self) -> float:
        """As `epochs_done`, in epochs of the spec if nobody said how many training steps are one."""
        if not self.done.steps or not self.training_steps:
            return float(self.done.epochs)
        return self.done.steps * self.epochs / self.training_steps

    @property
    def _tells_epochs(self) -> bool:
        return self._knows_epochs or not self.done.steps

    @property
    def moment(self) -> int:
        """The time now."""
        return self.clock.moment(self.done)

    @property
    def warm_up(self) -> int:
        """Training steps over which the moves of new weights rise to their full size; 0 if nobody counts steps.

        At most a third of those that are left when growth ends: the last neurons need the rest at full size.
        """
        left = 1.0 - self._clock(by_steps=self.training_steps is not None).end
        return round(min(self.policy.warm_up, left / 3.0) * (self.training_steps or 0))

    @property
    def ticks_left(self) -> int | None:
        """Ticks that are left, one that is due now included; None in a clock without a pace."""
        return self.clock.left(self.moment)

    def is_due(self, watched: Callable[[], float]) -> bool:
        """True if growth is tried now.

        Args:
            watched: the value whose plateau is waited for; asked for only if the policy wants one.
        """
        return self._plateau.reached(watched) and self.clock.due(self.moment)

    def grown(self) -> None:
        """Count a step that was applied."""
        self.applied += 1
        self._plateau.start_again()

    def why_over(
        self, graph: Graph, processes: Processes, *, ahead: int = 0, in_time: bool = False
    ) -> str | None:
        """Say why no further growth step is tried, by count, time and budget; None while growth goes on.

        Args:
            ahead: moments from now on that are meant. in_time: known not to be over by the seconds that have passed.
        """
        stop, over = self.policy.stop, self.clock.over(self.moment + ahead)
        seconds = processes.number(time.perf_counter() - self._began)
        if stop.steps is not None and self.applied >= stop.steps:
            reason = f"growth steps applied: {self.applied}, and `growth.stop.steps` is {stop.steps}"
            return reason + (goal_missed(graph, self.policy, "growth.stop.steps") if stop.steps else "")
        if over is not None:
            full = None if self.policy.counts_epochs else budget_reached(graph, self.policy)
            return full or self._ended(over, graph)
        if stop.seconds is not None and seconds >= stop.seconds and not in_time:
            return f"{seconds:.1f} seconds have passed: `growth.stop.seconds` is {stop.seconds:g}"
        return budget_reached(graph, self.policy)

    def _ended(self, over: str, graph: Graph) -> str:
        """The reason of a growth that the clock ends.

        A tick makes up for those before it: if the last one applies nothing, what is missing of a budget or a target is
        missing for that reason, and to grow for longer is no remedy.

        Args:
            over: the words of the clock.
        """
        missed = goal_missed(graph, self.policy, self.clock.ended_by if self.refused is None else None)
        if self.refused is None:
            return over + missed
        if not self.applied:
            return f"no growth step was applied{missed}; the last one tried: {self.refused}"
        return f"{over}{missed}; nothing was applied at the last tick: {self.refused}"

    def never_flat(self) -> str:
        """An addition to the reason why growth is over: no plateau was ever reached; empty if none was asked for."""
        epochs = self._plateau.epochs
        if epochs is None or self._plateau.seen:
            return ""
        return f"; {self.policy.when.watch} never came to a plateau of {amount(epochs, 'epoch')}"

    def saved(self) -> dict[str, Any]:
        """Plain values to go on with later."""
        return {
            "epoch": self.done.epochs,
            "batch": self.done.steps,
            "tick": self.done.ticks,
            "applied": self.applied,
            "refused": self.refused,
            "plateau": {"values": self._plateau.values, "seen": self._plateau.seen},
            "seconds": time.perf_counter() - self._began,
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Go on where `saved` was called; release 0.1 counted neither training steps nor ticks."""
        self.done = Elapsed(plain["epoch"], plain.get("batch", 0), plain.get("tick", 0))
        self.applied, self.refused = plain["applied"], plain.get("refused")
        self._plateau.values, self._plateau.seen = list(plain["plateau"]["values"]), plain["plateau"]["seen"]
        self._began = time.perf_counter() - plain["seconds"]

    def _begin(self, caller: str) -> None:
        """Settle at the first call which of the two is called.

        Raises:
            GrowthError: it was the other one.
        """
        if self._caller == caller:
            return
        if self._caller:
            raise GrowthError(
                f"`{caller}` and `{self._caller}` were both called in this training: call `after_batch` after each "
                "training step, or `step` after each epoch, and not both"
            )
        self._caller, self.clock = caller, self._clock(by_steps=caller == "after_batch")
        if isinstance(self.clock, TickClock) and self.clock.too_short is not None:
            warnings.warn(self.clock.too_short, stacklevel=4)

    def _clock(self, *, by_steps: bool) -> Clock:
        when = self.policy.when
        if self.policy.counts_epochs:
            return EpochClock(when, self.epochs)
        length = self.training_steps if by_steps and self.training_steps is not None else self.epochs
        return TickClock(when, length, by_steps)
