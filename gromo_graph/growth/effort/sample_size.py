"""The number of samples that a decision looks at (docs/maths.md, "How many samples")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.growth_link import Followed

# From about so many samples on, the order of candidates is that of all data (rank correlation 0.9).
_USUAL = 1024
# The projecting delta needs so many samples, not rows, for each input of its layer.
_SAMPLES_PER_INPUT = 10


@dataclass(frozen=True)
class SampleSize:
    """The data of a decision.

    Attributes:
        statistics: samples that new neurons are solved from; None takes all.
        slopes: other samples, that measure the slopes; None takes all.
    """

    statistics: int | None = None
    slopes: int | None = None

    @property
    def total(self) -> int | None:
        """Samples of both parts; None if it is all."""
        if self.statistics is None or self.slopes is None:
            return None
        return self.statistics + self.slopes

    def of_each(self, processes: int) -> SampleSize:
        """The share of each of several processes."""
        return SampleSize(_share(self.statistics, processes), _share(self.slopes, processes))


def _share(samples: int | None, processes: int) -> int | None:
    return None if samples is None else -(-samples // processes)


def samples_for(policy: Growth) -> SampleSize:
    """The number of samples that a decision looks at.

    Args:
        policy: its `statistics` may say how many.

    >>> samples_for(Growth())
    SampleSize(statistics=1024, slopes=512)
    """
    wanted = policy.statistics.samples
    if counts_epochs(policy) or (wanted is None and policy.statistics.error is not None):
        return SampleSize(wanted, None)
    if wanted is None:
        wanted = _USUAL
    return SampleSize(wanted, -(-wanted // 2))


def counts_epochs(policy: Growth) -> bool:
    """True if growth follows a spec that counts epochs, as all did before version 0.2: then it decides as they did."""
    return policy.counts_epochs


def followed(policy: Growth, *, samples: int | None, inputs: int) -> Followed:
    """The gradient that new neurons in front of a layer follow.

    Args:
        samples: of the statistics; None if it is not known. inputs: columns of all layers that enter the same sum.
    """
    if policy.project == "rows" or (policy.project == "auto" and counts_epochs(policy)):
        return "crossed"
    enough: bool = samples is not None and samples >= _SAMPLES_PER_INPUT * inputs
    kind: Literal["projected", "raw"] = "projected" if policy.project == "auto" and enough else "raw"
    return kind
