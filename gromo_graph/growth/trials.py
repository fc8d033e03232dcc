"""Trying a change on held-out data, and what came of it in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

from gromo_graph.errors import GrowthError
from gromo_graph.growth.candidates.base import Applicable, Proposal
from gromo_graph.growth.candidates.prune import Pruning
from gromo_graph.growth.changes import Change
from gromo_graph.growth.line_search import search
from gromo_graph.growth.policy import not_worth
from gromo_graph.spec.settings import Growth

LossAt = Callable[[Change, float], float]
"""The held-out loss with a change made at some γ."""
ZERO = "γ = 0"
"""Why a change is not made that lowers the loss at no step size."""


@dataclass(frozen=True)
class Trial:
    """What came of trying a change; the network is as it was.

    Attributes:
        gamma: the step size. loss: held-out, with the change made at γ.
        refusal: why it is not made, or None.
    """

    change: Change
    gamma: float
    loss: float
    refusal: str | None = None

    @property
    def proposal(self) -> Applicable:
        """What was tried."""
        return self.change.proposal


def trial_of(
    change: Change, before: float, loss_at: LossAt, policy: Growth, gamma: float | None = None
) -> Trial:
    """Find γ, or take the one that is given.

    Args:
        before: the held-out loss as it is. loss_at: what it would be with a change made at some γ.
        policy: what a change must be worth.

    Raises:
        GrowthError: a γ that makes no sense.
    """
    if gamma is not None and not (isinstance(gamma, Real) and math.isfinite(gamma) and gamma >= 0.0):
        raise GrowthError(
            f"`{change.proposal.target}` cannot be applied with γ = {gamma!r}: expected a number above 0, or 0 for "
            "nothing"
        )
    if not change.searched:
        return _whole(change, before, loss_at, policy, gamma)
    if gamma is not None:
        return Trial(change, gamma, before, None if gamma else ZERO)
    found = search(lambda value: loss_at(change, value), before)
    if found.gamma == 0.0:
        return Trial(change, 0.0, before, ZERO)
    refusal = not_worth(change.network.graph, change.proposal, before, found.loss, policy)
    return Trial(change, found.gamma, found.loss, refusal)


def _whole(change: Change, before: float, loss_at: LossAt, policy: Growth, gamma: float | None) -> Trial:
    """What has no step size is done as a whole or not at all; fewer neurons are taken out where all are missed."""
    if gamma == 0.0:
        return Trial(change, 0.0, before, ZERO)
    if gamma is not None:
        change.check(gamma)
    if isinstance(change.proposal, Pruning):
        if gamma is not None:
            return Trial(change, gamma, before)
        trial = _pruned(change, before, loss_at, policy)
        smaller = change.smaller() if trial.refusal is not None else None
        return trial if smaller is None else _whole(smaller, before, loss_at, policy, gamma)
    loss = before if change.harmless else loss_at(change, 1.0)
    worse = gamma is None and loss > before
    return Trial(change, 0.0 if worse else 1.0, loss, ZERO if worse else None)


def _pruned(change: Change, before: float, loss_at: LossAt, policy: Growth) -> Trial:
    loss = loss_at(change, 1.0)
    refusal = not_worth(change.network.graph, change.proposal, before, loss, policy)
    return Trial(change, 1.0 if refusal is None else 0.0, loss, refusal)


def gain_per_parameter(trial: Trial, before: float) -> tuple[bool, float]:
    """Those that may be applied first, by what they truly gain."""
    return trial.refusal is None, (before - trial.loss) / max(1, trial.proposal.delta_parameters)


def in_words(refused: Sequence[Trial]) -> str:
    """What was tried before, and why it was not applied."""
    zero = [f"`{trial.proposal.target}`" for trial in refused if trial.refusal == ZERO]
    others = [f"`{t.proposal.target}`: {t.refusal}" for t in refused if t.refusal != ZERO]
    return "; ".join([*([f"{ZERO} for {', '.join(zero)}"] if zero else []), *others])


def why_refused(refused: Sequence[Trial]) -> str:
    """Why nothing that was tried is applied; empty where nothing was tried."""
    if refused and all(trial.refusal == ZERO for trial in refused):
        tried = ", ".join(f"`{trial.proposal.target}`" for trial in refused)
        return f"{ZERO}: no step size lowers the held-out loss for {tried}"
    return in_words(refused)


def why_none(proposals: Sequence[Proposal]) -> str:
    """The reasons of all candidates in one line."""
    if not proposals:
        return "nothing can be done: `growth.actions` is empty, or the graph has no layer"
    return "nothing can grow: " + "; ".join(f"`{p.target}`: {p.reason}" for p in proposals)
