"""The line search for γ on held-out batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SMALLEST, LARGEST = -8.0, 10.0
"""γ is searched from 2**SMALLEST to 2**LARGEST (EVIDENCE.md: the median is 10 to 20)."""
_START, _STRIDE = 3.0, 2.0
_REFINEMENTS = 2
# A minimum closer than this to a known point, in powers of 2, is not looked at.
_CLOSE = 0.2


@dataclass(frozen=True)
class StepSize:
    """The best γ found and the loss there; γ = 0 where no step lowers the loss."""

    gamma: float
    loss: float
    evaluations: int


def search(loss_at: Callable[[float], float], loss_now: float) -> StepSize:
    """Bracket the lowest loss over powers of 2, then look where a parabola through the bracket is lowest.

    Args:
        loss_at: held-out loss as if the growth were applied with γ; not finite counts as infinite.
        loss_now: held-out loss without it.

    >>> found = search(lambda gamma: (gamma - 5.0) ** 2, 25.0)
    >>> round(found.gamma, 1), found.evaluations
    (4.9, 5)
    >>> search(lambda gamma: 1.0 + gamma, 1.0).gamma
    0.0
    """
    known: dict[float, float] = {}

    def at(exponent: float) -> float:
        if exponent not in known:
            value = loss_at(2.0**exponent)
            known[exponent] = value if math.isfinite(value) else math.inf
        return known[exponent]

    best = _START
    for direction in (_STRIDE, -_STRIDE):
        while SMALLEST <= best + direction <= LARGEST and (
            at(best + direction) < at(best) or (direction < 0 and at(best) >= loss_now)
        ):
            best += direction
    for _ in range(_REFINEMENTS):
        exponent = _next(known)
        if exponent is None:
            break
        at(exponent)
    best = min(known, key=lambda exponent: (known[exponent], exponent))
    if not known[best] < loss_now:
        return StepSize(0.0, loss_now, len(known))
    return StepSize(2.0**best, known[best], len(known))


def _next(known: dict[float, float]) -> float | None:
    """Where to look next: where the parabola through the best point and its neighbours is lowest.

    None where that tells nothing new. Of a best point at an end of those that are known the next one beyond.
    """
    points = sorted(known)
    place = points.index(min(points, key=known.__getitem__))
    if place in (0, len(points) - 1):
        beyond = points[place] + (_STRIDE if place else -_STRIDE)
        return beyond if SMALLEST <= beyond <= LARGEST else None
    left, middle, right = points[place - 1 : place + 2]
    rise, fall = known[left] - known[middle], known[right] - known[middle]
    if not (math.isfinite(rise) and math.isfinite(fall)):
        return ((left if math.isfinite(rise) else right) + middle) / 2.0
    a, b = middle - left, right - middle
    curvature = rise * b + fall * a
    if not curvature > 0.0:
        return None
    found = middle + 0.5 * (rise * b * b - fall * a * a) / curvature
    return None if min(abs(found - point) for point in (left, middle, right)) < _CLOSE else found
