"""Neurons that are due and that the closed form has not found: drawn ones, which change nothing until they are trained.

The closed form has as many neurons as N has directions, in the last hidden layer one fewer than there are classes, and
none at a point where no step lowers the loss. A budget is spent all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from gromo_graph.amounts import amount
from gromo_graph.graph import WidthGroup
from gromo_graph.growth.candidates.stages import Applicable, InfeasibleError
from gromo_graph.growth.candidates.widen import Widening, WideningProspect
from gromo_graph.growth.pace import Pace, TickPace, growing_groups
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import Decision
from gromo_graph.spec.settings import Growth


@dataclass(frozen=True)
class Filler:
    """Draws the neurons that are due at a tick and that nobody has found.

    Attributes:
        network, policy, generator: of the scheduler. pace: of the tick. is_last: whether it is the last tick.
    """

    network: GrowingNetwork
    policy: Growth
    generator: torch.Generator | None
    pace: Pace
    is_last: bool

    def rest_of(self, candidate: Applicable) -> Widening | None:
        """The neurons that a group still lacks after a candidate of it has been applied."""
        if not isinstance(candidate, Widening):
            return None
        most = self.pace.neurons(self.policy, candidate.group) - candidate.neurons
        group = self._now(candidate.target)
        return self._drawn(group, min(most, self.pace.missing(group)))

    def whole_groups(self, applied: Sequence[Applicable], left: int) -> Iterator[Widening]:
        """The neurons of groups that have not grown at this tick, one after another; each has to be installed at once.

        Args:
            applied: at this tick; a group that shares a layer with them waits, unless it is the last tick.
            left: groups that may still grow at this tick.
        """
        widened = [each for each in applied if isinstance(each, Widening)]
        taken = {layer for each in widened for layer in each.places}
        done = {each.target for each in widened}  # with as many neurons as a step may add
        due = [group for group in self.due() if group.target not in done]
        for target in [group.target for group in sorted(due, key=self.pace.relative_width)]:
            group = self._now(target)  # where its features stand changes with the groups before it
            if not self.is_last and (left <= 0 or taken & group.layers):
                continue
            drawn = self._drawn(group, self.pace.neurons(self.policy, group))
            if drawn is not None:
                taken |= group.layers
                left -= 1
                yield drawn

    def everywhere_anew(self) -> Iterator[Widening]:
        """Neurons with first weights for every group that may grow, one after another; each has to be installed at
        once.
        """
        groups = growing_groups(self.network.graph, self.policy)
        for target in [group.target for group in sorted(groups, key=self.pace.relative_width)]:
            group = self._now(target)
            begun = self._prospect(group, self.pace.neurons(self.policy, group))
            if begun is not None:
                yield begun.begun_anew(self.generator)

    def due(self) -> list[WidthGroup]:
        """The groups that lack neurons which are due."""
        groups = growing_groups(self.network.graph, self.policy)
        return [group for group in groups if self.pace.missing(group)]

    def _now(self, target: str) -> WidthGroup:
        """A group as it is after the last candidate that was installed."""
        return next(each for each in self.network.graph.groups if each.target == target)

    def _drawn(self, group: WidthGroup, count: int) -> Widening | None:
        """Draw this many neurons with random fan-in and a fan-out of 0.

        Returns:
            None if they are none, or new neurons of the group would change the network at once.
        """
        prospect = None if group.jumps else self._prospect(group, count)
        return None if prospect is None else prospect.drawn(self.generator)

    def _prospect(self, group: WidthGroup, count: int) -> WideningProspect | None:
        """A group that may get so many random neurons; None if it may not."""
        if count <= 0 or group.matches:
            return None
        exactly = TickPace({}, {group.target: group.features + count})
        drawing = self.policy.model_copy(update={"criterion": "random"})
        try:
            return WideningProspect(self.network, drawing, group, exactly)
        except InfeasibleError:
            return None


def all_random(decision: Decision) -> tuple[Decision, str]:
    """The decision to add drawn neurons alone, and its reason."""
    change = "changes" if decision.neurons == 1 else "change"
    return replace(decision, random=decision.neurons), (
        f"due: {amount(decision.neurons, 'random neuron')}, which {change} nothing yet; no solved "
        "one lowered the held-out loss at this tick"
    )


def begun_anew(decision: Decision, dead: Sequence[str]) -> tuple[Decision, str]:
    """The decision to add neurons with first weights, and its reason.

    Args:
        dead: the layers whose units are all dead.
    """
    named = ", ".join(f"`{name}`" for name in dead)
    return replace(decision, random=decision.neurons), (
        f"rescue: every unit of {named} is dead, and the network gives one prediction for all samples: "
        f"{amount(decision.neurons, 'neuron')} with first weights on both sides"
    )


def told_as_one(decision: Decision, drawn: Widening) -> tuple[Decision, str]:
    """The decision with drawn neurons added to those that were solved for, and a note that tells them apart."""
    both = decision.neurons + drawn.neurons
    total = replace(
        decision,
        neurons=both,
        random=drawn.neurons,
        delta_parameters=decision.delta_parameters + drawn.delta_parameters,
        delta_madds=decision.delta_madds + drawn.delta_madds,
    )
    last, are = f"the last {drawn.neurons}", "are random and change nothing yet"
    if drawn.neurons == 1:
        last, are = "the last", "is random and changes nothing yet"
    return total, f"{last} of {amount(both, 'neuron')} {are}: as many were due"
