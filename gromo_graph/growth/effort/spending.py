"""The multiply-adds that a training and its decisions have taken so far, and what they leave for the next one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gromo_graph.growth.effort.decision_cost import PASSES, DecisionCost
from gromo_graph.spec.settings import Growth

# Deciding takes no more than training so far, as long as it has enough samples.
_USUAL = 1.0


@dataclass
class Spending:
    """Multiply-adds so far: of training those of this process, of decisions those of all.

    Attributes:
        trained, decided: multiply-adds. samples: trained on since `trained` was brought up to date.
        settled: samples that `trained` has counted.
    """

    trained: float = 0.0
    decided: float = 0.0
    samples: int = 0
    settled: int = 0

    def settle(self, madds: int) -> None:
        """Count the samples of before as trained on by a network of so many multiply-adds a sample."""
        self.trained += PASSES * madds * self.samples
        self.settled += self.samples
        self.samples = 0

    def allowance(self, policy: Growth) -> Allowance | None:
        """The multiply-adds that deciding may still take; None for any number."""
        asked = policy.statistics
        share = _USUAL if asked.cost is None else asked.cost
        counted_otherwise = policy.counts_epochs or asked.samples is not None or asked.error is not None
        if asked.cost is None and counted_otherwise:
            return None
        left = max(0.0, share * self.trained - self.decided)
        return Allowance(share, self.trained, left, strict=asked.cost is not None)

    def saved(self) -> dict[str, Any]:
        """Plain values to go on with later."""
        return asdict(self)


@dataclass(frozen=True)
class Allowance:
    """Multiply-adds that the next decision may take.

    Attributes:
        share: of those of training, that all decisions together may take. trained: so far. left: for the next one.
        strict: whether a decision that cannot be made for so few is not made; else it takes as few as it can.
    """

    share: float
    trained: float
    left: float
    strict: bool

    def samples(self, cost: DecisionCost) -> int:
        """The samples of the next decision; 0 if it is not made."""
        found = cost.samples_within(self.left)
        return found if found or self.strict else cost.least

    def why_it_waits(self, cost: DecisionCost) -> str:
        """Words for a tick at which nothing is measured."""
        return (
            f"the tick waits: deciding on {cost.least} samples takes {cost.of(cost.least):.3g} multiply-adds, and "
            f"{self.left:.3g} are left of {self.share:g} times the {self.trained:.3g} of training so far "
            "(`growth.statistics.cost`)"
        )
