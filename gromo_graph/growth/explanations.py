"""Explanations of decisions and changes in words and plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

from gromo_graph.growth.candidates.paths import NewPath
from gromo_graph.growth.candidates.prune import Pruning
from gromo_graph.growth.candidates.repeat import NewBlock
from gromo_graph.growth.candidates.stages import Applicable
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.growth.policy import RULES
from gromo_graph.growth.steps.trials import Trial, in_words
from gromo_graph.records import Decision
from gromo_graph.spec.settings import Growth


def why_chosen(proposal: Applicable, refused: Sequence[Trial], policy: Growth) -> str:
    """The rule by which it came first, what was refused before it, and what is out of the ordinary about it."""
    if proposal.rescue:
        return f"rescue: {proposal.note}"
    realised = policy.select == "realised"
    how = "" if realised else "next: " if refused else "first: "
    skipped = in_words(refused)
    rule = RULES[policy.select]
    if isinstance(proposal, Pruning):
        how, rule = "", "missed least"
    elif policy.select == "balanced" and isinstance(proposal, NewPath | NewBlock):
        rule = "steepest new path per parameter"
    elif policy.select == "balanced" and isinstance(proposal, Widening):
        rule += f" ({proposal.group.features} wide; up to 25 % more counts as the same)"
    notes = filter(None, [f"{how}{rule}", skipped, proposal.note])
    return "; ".join(notes)


def decision_of(candidate: Applicable) -> Decision:
    """The decision as the journal has it."""
    return Decision(
        kind=candidate.kind,
        target=candidate.target,
        neurons=candidate.neurons,
        nodes=candidate.nodes,
        delta_parameters=candidate.delta_parameters,
        delta_madds=candidate.delta_madds,
    )
