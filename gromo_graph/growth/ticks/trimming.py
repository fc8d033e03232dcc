"""Growing beyond a budget and pruning back to it: more neurons than may stay compete, and those missed least go.

Growth ends, the network trains on, and then neurons are taken out at a few moments, so that each time it can recover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gromo_graph.graph import Cost, Graph
from gromo_graph.growth.candidates.stages import Applicable
from gromo_graph.growth.clock import Clock, TickClock
from gromo_graph.spec.settings import Growth, Neurons, Stop, When

# Shares of the training between which neurons are taken out, and at how many moments, if growth is over long before.
_FROM, _UNTIL, _TIMES = 0.4, 0.6, 4
# The same as shares of what is left of the training when growth ends late.
_FROM_END, _UNTIL_END = 0.2, 0.47
# So small a share of the training behind the last moment is told of.
_LITTLE = 0.1
# Up to this many times the budget, neurons are taken out few at a time; and the share of a group in both cases.
_NEAR, _FEW, _MANY = 1.2, 0.02, 0.125
# A candidate that leaves less than this share of a budget takes out too much, if there is another.
_USED = 0.95

_UNCHANGED = Cost(0, 0)


def beyond_budget(policy: Growth) -> Growth:
    """The policy that growth goes by, whose budgets in parameters and multiply-adds are `beyond` times as large.

    >>> beyond_budget(Growth(beyond=1.5, stop=Stop(parameters=1000))).stop.parameters
    1500
    """
    if policy.beyond == 1.0:
        return policy
    stop = policy.stop
    larger = {
        "parameters": stop.parameters and round(policy.beyond * stop.parameters),
        "madds": stop.madds and round(policy.beyond * stop.madds),
    }
    return policy.model_copy(update={"stop": stop.model_copy(update=larger)})


def trims(policy: Growth, clock: Clock) -> tuple[int, ...]:
    """The moments at which neurons are taken out, all behind the last tick; none if growth keeps within its budget.

    Args:
        policy: as it is written.

    >>> trims(Growth(beyond=1.5), TickClock(When(), 1000, by_steps=True))
    (400, 466, 533, 600)
    """
    if policy.beyond == 1.0 or not isinstance(clock, TickClock):
        return ()
    left = 1.0 - clock.end
    first, last = max(_FROM, clock.end + _FROM_END * left), max(_UNTIL, clock.end + _UNTIL_END * left)
    shares = (first + (last - first) * number / (_TIMES - 1) for number in range(_TIMES))
    behind = clock.ticks[-1] + 1
    return tuple(sorted({min(clock.length, max(behind, int(share * clock.length))) for share in shares}))


def leaves_little(policy: Growth, clock: Clock) -> bool:
    """True if less than a tenth of the training is left behind the last of these moments."""
    moments = trims(policy, clock)
    return bool(moments) and isinstance(clock, TickClock) and moments[-1] > (1.0 - _LITTLE) * clock.length


@dataclass(frozen=True)
class Excess:
    """The excess of a network over the size that is due.

    Attributes:
        stop: the budgets that are kept at the end. goal: those of this moment.
    """

    stop: Stop
    goal: Stop

    @staticmethod
    def at(graph: Graph, stop: Stop, left: int) -> Excess:
        """At a moment: the sizes fall in equal ratios from one to the next.

        Args:
            graph: the network as it is. stop: the budgets. left: moments that are left, this one included.
        """

        def due(size: int, budget: int | None) -> int | None:
            return None if budget is None else max(budget, int(size * (budget / size) ** (1.0 / left)))

        parameters = due(graph.parameter_count, stop.parameters)
        return Excess(stop, Stop(parameters=parameters, madds=due(graph.multiply_adds, stop.madds)))

    def is_over(self, graph: Graph) -> bool:
        """True if the network is larger than it should be at this moment."""
        return _ratio(graph, self.goal) > 1.0

    def in_order(self, graph: Graph, candidates: Sequence[Applicable]) -> list[Applicable]:
        """As they are, but last those that would take out far more than is too much."""

        def takes_too_much(each: Applicable) -> bool:
            return _ratio(graph, self.goal, Cost(each.delta_parameters, each.delta_madds)) < _USED

        return sorted(candidates, key=takes_too_much)

    def pruning(self, graph: Graph) -> Growth:
        """The policy that takes the next neurons out, whatever the loss does: the training goes on."""
        share = _FEW if _ratio(graph, self.stop) < _NEAR else _MANY
        return Growth(actions=("prune",), neurons=Neurons(share=share), when=When(worth=1e9))


def _ratio(graph: Graph, stop: Stop, change: Cost = _UNCHANGED) -> float:
    """The size of a network, relative to the budget that it exceeds most.

    Args:
        change: of its cost.
    """
    sizes = (
        (graph.parameter_count + change.parameters, stop.parameters),
        (graph.multiply_adds + change.madds, stop.madds),
    )
    return max((size / most for size, most in sizes if most is not None), default=0.0)
