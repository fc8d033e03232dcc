"""Trying a candidate on held-out data, and the result in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

from gromo_graph.errors import GrowthError
from gromo_graph.growth.candidates.prune import Pruning
from gromo_graph.growth.candidates.stages import Applicable, LeftOut
from gromo_graph.growth.steps.held_out import Losses, LossesByStepSize
from gromo_graph.growth.steps.line_search import QUICK, THOROUGH, WARY, search
from gromo_graph.growth.stopping import not_worth
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.draft import Draft
from gromo_graph.spec.settings import Growth

ZERO = "γ = 0"
"""A candidate that lowers the loss at no step size, in words."""
# A mean loss is known to some units in the last place of float32.
_ULPS, _EPS = 4, 2.0**-23


@dataclass(frozen=True)
class Trial:
    """The result of trying a candidate; the network is as it was.

    Attributes:
        candidate: what was tried. draft: the network with it.
        gamma: the step size. losses: held-out, of the draft at γ; None if γ was given and nobody has looked.
        refusal: why it is not applied, or None.
    """

    candidate: Applicable
    draft: Draft
    gamma: float
    losses: Losses | None
    refusal: str | None = None


@dataclass(frozen=True)
class Tester:
    """Tries candidates on one network.

    Attributes:
        network, policy: of the scheduler. by_step_size: the held-out losses of a draft.
        before: those of the network as it is.
    """

    network: GrowingNetwork
    policy: Growth
    by_step_size: Callable[[Draft], LossesByStepSize]
    before: Losses

    def trial(self, candidate: Applicable, gamma: float | None = None) -> Trial:
        """Search γ, or take the one that is given.

        Raises:
            GrowthError: a γ that makes no sense for the candidate.
        """
        _check(candidate, gamma)
        draft = candidate.draft(self.network, self.policy)
        if gamma == 0.0:
            return Trial(candidate, draft, 0.0, self.before, ZERO)
        if isinstance(candidate, Pruning):
            return self._pruned(candidate, draft, gamma)
        if candidate.whole is not None:
            return self._whole(candidate, draft, gamma)
        if gamma is not None:
            return Trial(candidate, draft, gamma, None)
        losses_at = self.by_step_size(draft)
        effort = THOROUGH if self.policy.counts_epochs else WARY if losses_at.few else QUICK
        gamma = search(losses_at.searched, self.before.searched, effort).gamma
        if gamma == 0.0:
            return Trial(candidate, draft, 0.0, self.before, ZERO)
        losses = losses_at.at(gamma)
        if losses.judged >= self.before.judged:
            return Trial(candidate, draft, 0.0, self.before, _only_a_part(gamma))
        refusal = self._rounding(losses.judged) or self._not_worth(candidate, losses.judged)
        return Trial(candidate, draft, gamma, losses, refusal)

    def _whole(self, candidate: Applicable, draft: Draft, gamma: float | None) -> Trial:
        """Without a step size it is done or not, by the loss alone; if γ = 1 is asked for, it is done."""
        losses = self.before if candidate.harmless else self.by_step_size(draft).at(1.0)
        if gamma is None and losses.judged > self.before.judged:
            return Trial(candidate, draft, 0.0, losses, ZERO)
        return Trial(candidate, draft, 1.0, losses)

    def _pruned(self, candidate: Pruning, draft: Draft, gamma: float | None) -> Trial:
        """Fewer neurons are taken out if all are missed too much."""
        if gamma is not None:
            return Trial(candidate, draft, gamma, None)
        losses = self.by_step_size(draft).at(1.0)
        refusal = self._not_worth(candidate, losses.judged)
        smaller = candidate.smaller() if refusal is not None else None
        if smaller is not None:
            return self.trial(smaller)
        return Trial(candidate, draft, 1.0 if refusal is None else 0.0, losses, refusal)

    def _rounding(self, loss: float) -> str | None:
        """Said if the loss falls by no more than its own rounding; in the clock of release 0.1 that counts."""
        before = self.before.judged
        if self.policy.counts_epochs or before - loss > _ULPS * _EPS * abs(before):
            return None
        return f"the held-out loss falls from {before:.9g} to {loss:.9g}, which is rounding"

    def _not_worth(self, candidate: Applicable, loss: float) -> str | None:
        return not_worth(self.network.graph, candidate, self.before.judged, loss, self.policy)


def _only_a_part(gamma: float) -> str:
    return f"γ = {gamma:.3g} is best for a part of the held-out samples, and does not lower the loss of more of them"


def _check(candidate: Applicable, gamma: float | None) -> None:
    """Refuse a step size that makes no sense."""
    if gamma is None:
        return
    if not (isinstance(gamma, Real) and math.isfinite(gamma) and gamma >= 0.0):
        raise GrowthError(
            f"`{candidate.target}` cannot be applied with γ = {gamma!r}: expected a number above 0, or 0 for nothing"
        )
    if candidate.whole is not None and gamma not in (0.0, 1.0):
        raise GrowthError(f"{candidate.whole}: expected γ = 1 or None, found {gamma:g}")


def gain_per_parameter(trial: Trial, before: Losses) -> tuple[bool, float]:
    """Sort the trials that may be applied first by their realised gain."""
    gain = 0.0 if trial.losses is None else before.judged - trial.losses.judged
    return trial.refusal is None, gain / max(1, trial.candidate.delta_parameters)


def in_words(refused: Sequence[Trial]) -> str:
    """The candidates that were tried before, and the reasons why they were not applied."""
    zero = [f"`{trial.candidate.target}`" for trial in refused if trial.refusal == ZERO]
    others = [f"`{t.candidate.target}`: {t.refusal}" for t in refused if t.refusal != ZERO]
    return "; ".join([*([f"{ZERO} for {', '.join(zero)}"] if zero else []), *others])


def why_refused(refused: Sequence[Trial]) -> str:
    """Say why nothing that was tried is applied; empty if nothing was tried."""
    if refused and all(trial.refusal == ZERO for trial in refused):
        tried = ", ".join(f"`{trial.candidate.target}`" for trial in refused)
        return f"{ZERO}: no step size lowers the held-out loss for {tried}"
    return in_words(refused)


def why_none(left_out: Sequence[LeftOut]) -> str:
    """The reasons of all candidates in one line."""
    if not left_out:
        return "nothing can be done: `growth.actions` is empty, or the graph has no layer"
    return f"nothing can grow: {reasons_of(left_out)}"


def reasons_of(left_out: Sequence[LeftOut]) -> str:
    """Each candidate with its reason."""
    return "; ".join(f"`{each.target}`: {each.reason}" for each in left_out)
