"""Clocks: the moments of a training at which growth is tried, and its end.

A moment is a number of training steps or of epochs that are done. At a *tick* growth is tried.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

from gromo_graph.amounts import amount
from gromo_graph.spec.defaults import TARGET_SCHEDULE
from gromo_graph.spec.settings import When

_EXACT = 1e-9  # 0.25 · 0.4 · 30 has to count as 3


@dataclass
class Elapsed:
    """The part of a training that is done.

    Attributes:
        epochs: that are over. steps: training steps of the optimizer, 0 if nobody counts them.
        ticks: times that growth was tried.
    """

    epochs: int = 0
    steps: int = 0
    ticks: int = 0


class Clock(ABC):
    """Says when growth is tried."""

    @property
    def ended_by(self) -> str:
        """The setting that ends growth."""
        return "growth.when.until"

    @property
    @abstractmethod
    def end(self) -> float:
        """The share of the training after which nothing grows."""

    @abstractmethod
    def moment(self, done: Elapsed) -> int:
        """The time of this clock."""

    @abstractmethod
    def looks(self, moment: int) -> bool:
        """True if anything is looked at at a moment: if growth is over, or what is watched has come to a plateau."""

    @abstractmethod
    def due(self, moment: int) -> bool:
        """True if growth is tried at a moment."""

    @abstractmethod
    def left(self, moment: int) -> int | None:
        """Ticks that are left, one at this moment included; None if growth has no pace."""

    @abstractmethod
    def over(self, moment: int) -> str | None:
        """Say why nothing grows at this moment or later; None if it may."""


@dataclass(frozen=True)
class EpochClock(Clock):
    """Growth after every so many epochs, in the first part of them: the clock of release 0.1.

    Attributes:
        when: the section of the spec. epochs: of the whole training.
    """

    when: When
    epochs: int

    @property
    def end(self) -> float:
        """The share `until`."""
        return self.when.until

    def moment(self, done: Elapsed) -> int:
        """The epochs that are over."""
        return done.epochs

    def looks(self, moment: int) -> bool:
        """After each epoch."""
        return True

    def due(self, moment: int) -> bool:
        """After each `every` epochs."""
        return moment % self._every == 0

    def left(self, moment: int) -> None:
        """Growth has no pace."""
        return

    def over(self, moment: int) -> str | None:
        """After the share `until` of the epochs."""
        limit = self.when.until * self.epochs
        if moment <= limit:
            return None
        if limit < self._every:
            return (
                f"no growth step was due: `growth.when.every` is {self._every} and growth ends after "
                f"{limit:g} of {self.epochs} epochs (`growth.when.until` is {self.when.until:g}): train longer, or "
                "change one of them"
            )
        return (
            f"growth ends after {limit:g} of {self.epochs} epochs: `growth.when.until` is {self.when.until:g}"
        )

    @property
    def _every(self) -> int:
        return self.when.every or 1


@dataclass(frozen=True)
class TickClock(Clock):
    """Ticks at even distances: the first one a distance after `begin`, or an epoch after it, the last one at `until`.

    If `spacing` says how far they may be apart, and they would be farther, the last one is earlier.

    Attributes:
        when: the section of the spec. length: of the whole training, in its unit.
        by_steps: whether that unit is training steps; else it is epochs.

    >>> TickClock(When(until=0.5, steps=4), 40, by_steps=True).ticks
    (5, 10, 15, 20)
    >>> TickClock(When(steps=4, spacing=50), 4000, by_steps=True).ticks
    (50, 100, 150, 200)
    """

    when: When
    length: int
    by_steps: bool

    @cached_property
    def ticks(self) -> tuple[int, ...]:
        """The moments of all ticks, in order; fewer than `steps` in a training too short for them."""
        when = self.when
        if self._spacing is not None:
            first, last = (
                self._at(when.begin) + self._spacing,
                self._at(when.begin) + self._spacing * when.steps,
            )
        elif self.by_steps:
            first, last = self._at(when.begin + self._distance), self._at(when.until)
        else:  # an epoch is a long time: growth begins after the first one
            first, last = self._at(when.begin) + 1, self._at(when.until)
        last = max(1, last)
        first = min(max(1, first), last)
        between = max(1, when.steps - 1)
        shares = (1.0 if when.steps == 1 else number / between for number in range(when.steps))
        return tuple(sorted({first + math.floor((last - first) * share + _EXACT) for share in shares}))

    @property
    def end(self) -> float:
        """The share at the last tick."""
        return self.ticks[-1] / self.length

    def moment(self, done: Elapsed) -> int:
        """Training steps, or epochs."""
        return done.steps if self.by_steps else done.epochs

    def looks(self, moment: int) -> bool:
        """At each tick, and behind the last one."""
        return self.due(moment) or moment > self.ticks[-1]

    def due(self, moment: int) -> bool:
        """At each tick."""
        return moment in self.ticks

    def left(self, moment: int) -> int:
        """Ticks that are left, one at this moment included."""
        return sum(tick >= moment for tick in self.ticks)

    def over(self, moment: int) -> str | None:
        """After the last tick."""
        last = self.ticks[-1]
        if moment <= last:
            return None
        value = self.when.until if self._spacing is None else self._spacing
        return f"growth ends after {last} of {self.length} {self.unit}: `{self.ended_by}` is {value:g}"

    @property
    def ended_by(self) -> str:
        """The setting that ends growth."""
        return super().ended_by if self._spacing is None else "growth.when.spacing"

    @property
    def _distance(self) -> float:
        """The share of the training between two ticks, if they are spread up to `until`."""
        return (self.when.until - self.when.begin) / self.when.steps

    @property
    def _spacing(self) -> int | None:
        """The steps between two ticks, if `spacing` says that and not the length of the training."""
        most = self.when.spacing if self.by_steps else None
        return most if most is not None and most < self._distance * self.length else None

    def _at(self, share: float) -> int:
        return math.floor(share * self.length + _EXACT)

    @property
    def unit(self) -> str:
        """The word for its moments."""
        return "training steps" if self.by_steps else "epochs"

    @property
    def too_short(self) -> str | None:
        """Said if somebody asked for more ticks than there are moments; the default numbers adapt themselves.

        The default number for targets does so as long as the whole training is long enough for it.
        """
        asked, found = self.when.steps, len(self.ticks)
        if asked == found or asked == When.model_fields["steps"].default:
            return None
        said = f"growth is tried {amount(found, 'time')} and not {asked} times as `growth.when.steps` says"
        length = amount(self.length, "training step" if self.by_steps else "epoch")
        if self.length < asked:
            return f"{said}: the training has {length} in all; train longer, or ask for fewer"
        if asked == TARGET_SCHEDULE["steps"]:
            return None
        return (
            f"{said}: the training has {length}, and growth takes place in {self.when.until - self.when.begin:.0%} of "
            "them; train longer, raise `until` or ask for fewer"
        )
