"""The line search for γ on held-out batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SMALLEST, LARGEST = -8, 6
"""γ is searched from 2**SMALLEST to 2**LARGEST (EVIDENCE.md: the median is 10 to 20)."""
_START = 3


@dataclass(frozen=True)
class StepSize:
    """The best γ found and the loss there; γ = 0 where no step lowers the loss."""

    gamma: float
    loss: float
    evaluations: int


def search(loss_at: Callable[[float], float], loss_now: float) -> StepSize:
    """Walk over powers of 2: first in steps of 4 towards lower loss, then once to the neighbours of the best.

    Args:
        loss_at: held-out loss as if the growth were applied with γ; not finite counts as infinite.
        loss_now: held-out loss without it.

    >>> search(lambda gamma: (gamma - 4.0) ** 2, 16.0)
    StepSize(gamma=4.0, loss=0.0, evaluations=6)
    >>> search(lambda gamma: 1.0 + gamma, 1.0).gamma
    0.0
    """
    known: dict[int, float] = {}

    def at(exponent: int) -> float:
        if exponent not in known:
            value = loss_at(2.0**exponent)
            known[exponent] = value if math.isfinite(value) else math.inf
        return known[exponent]

    best = _START
    for direction in (2, -2):
        while SMALLEST <= best + direction <= LARGEST and (
            at(best + direction) < at(best) or (direction < 0 and at(best) >= loss_now)
        ):
            best += direction
    for neighbour in (best + 1, best - 1):
        if SMALLEST <= neighbour <= LARGEST and at(neighbour) < at(best):
            best = neighbour
    best = min(known, key=lambda exponent: (known[exponent], exponent))
    if not known[best] < loss_now:
        return StepSize(0.0, loss_now, len(known))
    return StepSize(2.0**best, known[best], len(known))
