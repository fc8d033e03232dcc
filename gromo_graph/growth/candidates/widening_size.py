"""The number of neurons that a step adds to a width group, or the reason why it adds none."""

from __future__ import annotations

from gromo_graph.graph import Graph, WidthGroup, obstacle
from gromo_graph.growth.candidates.budget import affordable
from gromo_graph.growth.candidates.stages import InfeasibleError
from gromo_graph.growth.pace import Pace
from gromo_graph.spec.settings import Growth


def neurons_wanted(graph: Graph, group: WidthGroup, policy: Growth, pace: Pace) -> int:
    """The neurons that a step would add to a group, without regard to the budgets.

    Raises:
        InfeasibleError: none.
    """
    reason = obstacle(graph, group, policy)
    if reason is not None:
        raise InfeasibleError(reason)
    paced = pace.neurons(policy, group)
    if paced == 0:
        raise InfeasibleError(f"it is {group.features} wide, and no more is due at this tick")
    wanted = max(paced, group.unit)
    if group.grow.max is None:
        return wanted
    if group.features >= group.grow.max:
        raise InfeasibleError(f"it is {group.features} wide: `grow.max` is {group.grow.max}")
    return min(wanted, group.grow.max - group.features)


def affordable_neurons(graph: Graph, group: WidthGroup, wanted: int, policy: Growth) -> int:
    """The most neurons that the budgets allow.

    Raises:
        InfeasibleError: they allow none, or the group grows by more at once than are wanted.
    """
    neurons = affordable(graph, group, wanted, policy.stop)
    if neurons == 0 and group.unit > wanted:
        raise InfeasibleError(
            f"it grows by {group.unit} at once (group norm, heads): `grow.max` is {group.grow.max}"
        )
    if neurons == 0:
        features = "one more feature" if group.unit == 1 else f"{group.unit} more features"
        raise InfeasibleError(f"{features} would pass the budget")
    return neurons
