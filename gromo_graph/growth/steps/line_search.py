"""The line search for γ on held-out batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

SMALLEST, USUAL, LARGEST = -8.0, 6.0, 12.0
"""γ is searched from 2**SMALLEST to 2**USUAL, and if the best is there to 2**LARGEST (docs/maths.md, "Step size")."""
_START, _STRIDE = 3.0, 2.0
# In powers of 2: neighbours within this are near enough for a parabola; what is closer to a known one is not looked at.
_NEAR, _CLOSE = 1.0, 0.2


@dataclass(frozen=True)
class StepSize:
    """The best γ found and the loss there; γ = 0 if no step lowers the loss."""

    gamma: float
    loss: float
    evaluations: int


@dataclass(frozen=True)
class Effort:
    """The length of a search.

    Attributes:
        largest: exponent of the largest γ, from USUAL to LARGEST.
        looks: at most so many inside the bracket.
        is_thorough: otherwise γ larger than the first one are looked at only if that lowers the loss, and the strides
            to smaller ones double as long as none does, with a look more inside their bracket.
    """

    largest: float
    looks: int
    is_thorough: bool


THOROUGH, QUICK = Effort(USUAL, 3, is_thorough=True), Effort(LARGEST, 1, is_thorough=False)
"""The search of release 0.1, and that of today."""
WARY = replace(QUICK, largest=USUAL)
"""The search by few samples: once all are told apart, a loss such as the cross entropy falls with any step."""


def search(loss_at: Callable[[float], float], loss_now: float, effort: Effort = QUICK) -> StepSize:
    """Bracket the lowest loss over powers of 2, then look inside the bracket, at last by a parabola.

    Args:
        loss_at: held-out loss as if the growth were applied with γ; not finite counts as infinite.
        loss_now: held-out loss without it.

    >>> found = search(lambda gamma: (gamma - 5.0) ** 2, 25.0, THOROUGH)
    >>> round(found.gamma, 1), found.evaluations
    (4.0, 5)
    >>> search(lambda gamma: 1.0 + gamma, 1.0).gamma
    0.0
    """
    known: dict[float, float] = {}

    def at(exponent: float) -> float:
        if exponent not in known:
            value = loss_at(2.0**exponent)
            known[exponent] = value if math.isfinite(value) else math.inf
        return known[exponent]

    best, looks = _START, effort.looks
    if effort.is_thorough or at(best) < loss_now:
        while best + _STRIDE <= USUAL and at(best + _STRIDE) < at(best):
            best += _STRIDE
    while best - _STRIDE >= SMALLEST and (at(best) >= loss_now or at(best - _STRIDE) < at(best)):
        if effort.is_thorough or best == _START or at(best) < loss_now:
            best -= _STRIDE
        else:
            best, looks = best - 2 * _STRIDE, effort.looks + 1
    if at(best) >= loss_now and not effort.is_thorough:
        return StepSize(0.0, loss_now, len(known))
    _refine(known, at, USUAL, looks)
    if _best(known) == USUAL:
        best = USUAL
        while best + _STRIDE <= effort.largest and at(best + _STRIDE) < at(best):
            best += _STRIDE
        _refine(known, at, effort.largest, looks)
    best = _best(known)
    if not known[best] < loss_now:
        return StepSize(0.0, loss_now, len(known))
    return StepSize(2.0**best, known[best], len(known))


def _best(known: Mapping[float, float]) -> float:
    """The exponent of the lowest loss, the smaller of equals."""
    return min(known, key=lambda exponent: (known[exponent], exponent))


def _refine(known: Mapping[float, float], at: Callable[[float], float], end: float, looks: int) -> None:
    """Look a few times more around the best exponent, up to `end`."""
    for _ in range(looks):
        exponent = _next(known, end)
        if exponent is None:
            break
        at(exponent)


def _next(known: Mapping[float, float], end: float) -> float | None:
    """The exponent to look at next, up to `end`; None if that would tell little.

    Beyond a best point that is the last one known; in the middle of a wide gap beside it, on the lower side first; else
    where the parabola through it and its neighbours is lowest.
    """
    points = sorted(known)
    place = points.index(min(points, key=known.__getitem__))
    if place in (0, len(points) - 1):
        beyond = points[place] + (_STRIDE if place else -_STRIDE)
        beyond = min(max(beyond, SMALLEST), end)
        return None if beyond in known else beyond
    left, middle, right = points[place - 1 : place + 2]
    for side in sorted((left, right), key=known.__getitem__):
        if abs(side - middle) > _NEAR:
            return (side + middle) / 2.0
    rise, fall = known[left] - known[middle], known[right] - known[middle]
    curvature = rise * (right - middle) + fall * (middle - left)
    if not (math.isfinite(curvature) and curvature > 0.0):
        return None
    found = middle + 0.5 * (rise * (right - middle) ** 2 - fall * (middle - left) ** 2) / curvature
    return None if min(abs(found - point) for point in (left, middle, right)) < _CLOSE else found
