"""When a growth step is due, and when growth is over: epochs, steps, seconds and the plateau."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from gromo_graph.graph import Graph
from gromo_graph.growth.plateau import PlateauWatch
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.stopping import budget_reached
from gromo_graph.spec.settings import Growth


class Clock:
    """Counts a training.

    Args:
        policy: of the scheduler. epochs: the length of the training, which `until` is a share of.

    Attributes:
        epoch: epochs counted so far. applied: growth steps applied so far.
    """

    def __init__(self, policy: Growth, epochs: int) -> None:
        self.policy, self.epochs = policy, epochs
        self.epoch = self.applied = 0
        self._began = time.perf_counter()
        self._plateau = PlateauWatch(policy.when)

    def use(self, policy: Growth, epochs: int) -> None:
        """Go on with another policy, in a training of another length."""
        self.policy, self.epochs = policy, epochs
        self._plateau = PlateauWatch(policy.when)

    def is_due(self, watched: Callable[[], float]) -> bool:
        """Whether a step is tried in this epoch.

        Args:
            watched: the value whose plateau is waited for; asked for only if the policy wants one.
        """
        return self._plateau.reached(watched) and self.epoch % self.policy.when.every == 0

    def grown(self) -> None:
        """Count a step that was applied."""
        self.applied += 1
        self._plateau.start_again()

    def why_over(self, graph: Graph, processes: Processes) -> str | None:
        """The reason why no further growth step is tried, by count, time and budget; None while growth goes on."""
        stop, when = self.policy.stop, self.policy.when
        limit = when.until * self.epochs
        seconds = processes.number(time.perf_counter() - self._began)
        if stop.steps is not None and self.applied >= stop.steps:
            return f"{self.applied} growth steps applied: `growth.stop.steps` is {stop.steps}"
        if self.epoch > limit and limit < when.every:
            return (
                f"no growth step was due: `growth.when.every` is {when.every} and growth ends after {limit:g} of "
                f"{self.epochs} epochs (`growth.when.until` is {when.until:g}): train longer, or change one of them"
            )
        if self.epoch > limit:
            return (
                f"growth ends after {limit:g} of {self.epochs} epochs: `growth.when.until` is {when.until:g}"
            )
        if stop.seconds is not None and seconds >= stop.seconds:
            return f"{seconds:.1f} seconds have passed: `growth.stop.seconds` is {stop.seconds:g}"
        return budget_reached(graph, self.policy)

    def never_flat(self) -> str:
        """An addition to the reason why growth is over: no plateau was ever reached; empty if none was asked for."""
        epochs = self._plateau.epochs
        if epochs is None or self._plateau.seen:
            return ""
        return f"; {self.policy.when.watch} never came to a plateau of {epochs} epochs"

    def saved(self) -> dict[str, Any]:
        """Plain values to go on with later."""
        return {
            "epoch": self.epoch,
            "applied": self.applied,
            "plateau": {"values": self._plateau.values, "seen": self._plateau.seen},
            "seconds": time.perf_counter() - self._began,
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Go on where `saved` was called."""
        self.epoch, self.applied = plain["epoch"], plain["applied"]
        self._plateau.values, self._plateau.seen = list(plain["plateau"]["values"]), plain["plateau"]["seen"]
        self._began = time.perf_counter() - plain["seconds"]
