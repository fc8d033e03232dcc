"""The speed of a run: samples a second while it trains, and the time that the rest will take."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gromo_graph.records import GrowthEvent

_LAST = 5  # epochs; a network that has grown takes longer than it did at first


@dataclass(frozen=True)
class Speed:
    """The speed of a run after an epoch; nothing of it is recorded.

    Attributes:
        seconds: that the epoch took, growth and measuring included.
        samples_per_second: in training, without growth; None for a loader that does not say how many samples it has.
        seconds_left: that the epochs to come will take if they are as long as the last ones.
    """

    seconds: float
    samples_per_second: float | None
    seconds_left: float


@dataclass
class SpeedOfEpochs:
    """Keeps how long the last epochs took.

    Args:
        samples: of an epoch, if that is known.
    """

    samples: int | None
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_LAST))

    def after(
        self, *, training: float, whole: float, events: Sequence[GrowthEvent], epochs_left: int
    ) -> Speed:
        """The speed after an epoch.

        Args:
            training: seconds of its batches, those of growth at ticks included. whole: with measuring.
            events: the growth steps of the epoch.

        >>> SpeedOfEpochs(300).after(training=1.5, whole=2.0, events=(), epochs_left=10)
        Speed(seconds=2.0, samples_per_second=200.0, seconds_left=20.0)
        """
        self._seconds.append(whole)
        growth = sum(event.time.get(part, 0.0) for event in events for part in ("plan", "search"))
        alone = training - growth
        rate = self.samples / alone if self.samples is not None and alone > 0.0 else None
        return Speed(whole, rate, epochs_left * sum(self._seconds) / len(self._seconds))
