"""Candidates tried one after another: which is applied next, and which go together in one step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gromo_graph.graph import Graph, widening_cost
from gromo_graph.graph.costs import Cost
from gromo_graph.growth.candidates.budget import within
from gromo_graph.growth.candidates.prune import Pruning
from gromo_graph.growth.candidates.stages import Applicable
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.growth.steps.trials import Tester, Trial, gain_per_parameter
from gromo_graph.spec.settings import Growth

# Candidates that are tried in one step before it is given up: γ = 0 is an ordinary outcome; and groups in which it is
# tried to take neurons out.
_MOST_TRIES, _MOST_PRUNED = 8, 4


class Attempts:
    """The candidates of one step.

    Args:
        applicable: in the order of the policy; those that revive a dead layer go first.

    Attributes:
        applied: so far. refused: the trials since the last one that was applied.
    """

    def __init__(self, applicable: Sequence[Applicable], policy: Growth) -> None:
        self._waiting = sorted(applicable, key=lambda candidate: not candidate.rescue)
        self._policy = policy
        self.applied: list[Applicable] = []
        self.refused: list[Trial] = []

    def next(self, tester: Tester) -> Trial | None:
        """The next trial that nothing speaks against; None if there is none."""
        self.refused = []
        for trial in self._trials(tester):
            if trial.refusal is None:
                return trial
            self.refused.append(trial)
        return None

    def count(self, trial: Trial, graph: Graph) -> None:
        """A trial has been applied: only what goes with all that was applied in this step goes on waiting.

        Args:
            graph: of the network afterwards.
        """
        self.applied.append(trial.candidate)
        tried = {id(each.candidate) for each in (trial, *self.refused)}
        waiting = [each for each in self._waiting if id(each) not in tried]
        self._waiting = [each for each in waiting if self._goes_with_applied(each, graph)]

    def _trials(self, tester: Tester) -> Iterator[Trial]:
        """The trials in the order of the policy; if the realised loss decides, the best of several comes first."""
        growing = [each for each in self._waiting if not isinstance(each, Pruning)]
        prunings = [each for each in self._waiting if isinstance(each, Pruning)]
        tries = [*growing[:_MOST_TRIES], *prunings[:_MOST_PRUNED]]
        if self._policy.select != "realised" or (tries and tries[0].rescue):
            yield from map(tester.trial, tries)
            return
        tried = [tester.trial(each) for each in tries[: self._policy.trials]]
        yield from sorted(tried, key=lambda trial: gain_per_parameter(trial, tester.before), reverse=True)

    def _goes_with_applied(self, candidate: Applicable, graph: Graph) -> bool:
        """True if it may still be applied, with the same statistics: no layer in common, and affordable."""
        places = candidate.places
        if places is None or any(each.places is None or places & each.places for each in self.applied):
            return False
        cost = Cost(candidate.delta_parameters, candidate.delta_madds)
        if isinstance(candidate, Widening):  # its group was found before any new path
            if not all(isinstance(each, Widening) for each in self.applied):
                return False
            cost = widening_cost(graph, candidate.group, candidate.neurons)
        return within(graph, cost, self._policy.stop)
