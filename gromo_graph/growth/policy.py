"""The order in which candidates are tried."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gromo_graph.growth.candidates.prune import Pruning
from gromo_graph.growth.candidates.stages import Applicable
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.growth.pace import UNPACED, Pace
from gromo_graph.spec.settings import Growth

# Groups this close to the narrowest count as equally narrow; among them the slope decides.
_NEAR_TIE = 1.25
RULES = {
    "balanced": "steepest of the narrowest layers",
    "slope": "steepest",
    "slope_per_parameter": "steepest per parameter",
    "slope_per_madd": "steepest per multiply-add",
    "realised": "lowered the held-out loss most per parameter of those tried",
    "information": "largest gain beyond the price of its parameters",
}
"""The meaning of each `select`, in the words of a reason."""
_ORDERS = {
    "balanced": "narrowest layers first, the steepest of those about as narrow; new paths by slope per parameter",
    "realised": "steepest first, and then the one that lowers the held-out loss most per parameter",
}


def order_words(policy: Growth) -> str:
    """The rule of `ranked` in words, `growth.select` first."""
    return f"{policy.select}: {_ORDERS.get(policy.select, f'{RULES[policy.select]} first')}"


def ranked(
    candidates: Sequence[Applicable], policy: Growth, pace: Pace = UNPACED, samples: int | None = None
) -> list[Applicable]:
    """The order in which candidates are tried.

    Neurons are taken out if nothing grows: then the budget has room again.

    Args:
        samples: of the training, by which `select: information` prices parameters.
    """
    prunings = [each for each in candidates if isinstance(each, Pruning)]
    growing = [each for each in candidates if not isinstance(each, Pruning)]
    if policy.select == "information" and samples is not None:
        in_order = sorted(growing, key=lambda each: -information(each, samples))
    else:
        in_order = _in_order(growing, policy.select, pace)
    return [*in_order, *sorted(prunings, key=lambda pruning: pruning.missed)]


def information(candidate: Applicable, samples: int) -> float:
    """The promised decrease of the mean loss less the BIC's price of the parameters, k ln(n) / 2n.

    With the negative log-likelihood as the loss it is the change of the BIC over −2n (docs/maths.md, "Natural
    gradient").
    """
    price = candidate.delta_parameters * math.log(samples) / (2 * samples)
    return (candidate.predicted or 0.0) - price


def why_not_worth(candidate: Applicable, policy: Growth, samples: int | None) -> str | None:
    """Say why `select: information` leaves a candidate out; None if it does not."""
    if policy.select != "information" or samples is None:
        return None
    if isinstance(candidate, Pruning) or candidate.rescue or information(candidate, samples) > 0.0:
        return None
    return (
        f"a decrease of {candidate.predicted or 0.0:.3g} for {candidate.delta_parameters:,} parameters does not pay by "
        f"the BIC of {samples:,} samples"
    )


def _in_order(candidates: Sequence[Applicable], select: str, pace: Pace) -> list[Applicable]:
    if select == "balanced":
        return _balanced(candidates, pace)

    def cost(candidate: Applicable) -> int:
        if select in ("slope", "realised"):
            return 1
        return max(
            1, candidate.delta_parameters if select == "slope_per_parameter" else candidate.delta_madds
        )

    def key(candidate: Applicable) -> tuple[bool, float]:
        slope = candidate.slope
        # What has no slope comes last: whether it is worth anything only a trial tells.
        return slope is None, 0.0 if slope is None else -slope / cost(candidate)

    return sorted(candidates, key=key)


def _balanced(candidates: Sequence[Applicable], pace: Pace) -> list[Applicable]:
    """Groups below their minimum first, then the narrowest relative to their proportions; slope among near-ties.

    A group whose slope is negligible beside the steepest one waits, however narrow it is. New paths have no width to
    go by: those come before the first group that bring more per parameter than it.
    """
    wide = [each for each in candidates if isinstance(each, Widening)]
    others = [each for each in candidates if not isinstance(each, Widening)]
    paths = sorted(others, key=slope_per_parameter, reverse=True)
    if not wide:
        return paths
    steepest = max(each.slope or 0.0 for each in wide)
    waiting = {id(each) for each in wide if pace.is_negligible(each.slope, steepest)}
    narrowest = min(pace.relative_width(each.group) for each in wide if id(each) not in waiting)

    def key(candidate: Widening) -> tuple[bool, bool, float, float]:
        width = pace.relative_width(candidate.group)
        tied = width <= _NEAR_TIE * narrowest
        width = narrowest if tied else width
        return not _below_minimum(candidate), id(candidate) in waiting, width, -(candidate.slope or 0.0)

    wide.sort(key=key)
    least = slope_per_parameter(wide[0])
    better = [path for path in paths if slope_per_parameter(path) > least]
    return [*better, *wide, *paths[len(better) :]]


def slope_per_parameter(proposal: Applicable) -> float:
    """The gain to first order, relative to the cost."""
    return (proposal.slope or 0.0) / max(1, proposal.delta_parameters)


def _below_minimum(proposal: Widening) -> bool:
    minimum = proposal.group.grow.min
    return minimum is not None and proposal.group.features < minimum
