"""The numbers of neurons and groups that a step may grow, by the policy and its budgets."""

from __future__ import annotations

import math

from gromo_graph.graph import Graph, WidthGroup, obstacle, widening_cost
from gromo_graph.graph.adapters import adapter_places
from gromo_graph.graph.costs import Cost
from gromo_graph.spec.settings import Growth, Stop


def neurons_at_once(policy: Growth, group: WidthGroup | None) -> int:
    """The most neurons that a step adds to a group, or gives to a new node.

    The group's own `step`; else the smaller of what the policy says, in neurons and as a share of the width; else 8 (4
    for small budgets).
    """
    limit = asked_at_once(policy, group)
    if limit is not None:
        return limit
    small = policy.stop.parameters is not None and policy.stop.parameters < 1500
    return 4 if small else 8


def asked_at_once(policy: Growth, group: WidthGroup | None) -> int | None:
    """The most neurons that a step adds, if the author says it: the group's own `step`, or the policy's limits."""
    if group is not None and group.grow.step is not None:
        return group.grow.step
    neurons = policy.neurons
    limits = [] if neurons.per_step is None else [neurons.per_step]
    if neurons.share is not None and group is not None:
        limits.append(max(1, round(neurons.share * group.features)))
    return min(limits, default=None)


def groups_at_once(policy: Growth, graph: Graph) -> int:
    """The most width groups and adapters that a step may grow: what the policy says, or all that may grow at all.

    In the clock of release 0.1 it is one for each three.
    """
    if policy.groups is not None:
        return policy.groups
    free = sum(obstacle(graph, group, policy) is None for group in graph.groups)
    if "adapt" in policy.actions:
        free += len(list(adapter_places(graph)))
    return max(1, math.ceil(free / 3) if policy.counts_epochs else free)


def affordable(graph: Graph, group: WidthGroup, wanted: int, stop: Stop) -> int:
    """The largest number of neurons up to `wanted` that stays within the budgets, in whole units of the group."""
    most = wanted - wanted % group.unit
    counts = range(most, 0, -group.unit)
    return next((n for n in counts if within(graph, widening_cost(graph, group, n), stop)), 0)


def within(graph: Graph, cost: Cost, stop: Stop) -> bool:
    """True if the network would stay within the budgets."""
    return (stop.parameters is None or graph.parameter_count + cost.parameters <= stop.parameters) and (
        stop.madds is None or graph.multiply_adds + cost.madds <= stop.madds
    )
