"""The reasons why a width group cannot grow."""

from __future__ import annotations

from gromo_graph.graph.view import Graph
from gromo_graph.graph.widths import WidthGroup
from gromo_graph.spec.settings import Growth


def obstacle(graph: Graph, group: WidthGroup, policy: Growth | None = None) -> str | None:
    """Say why the group cannot grow; None if it can.

    Args:
        graph, group: what would grow.
        policy: whether jumps are allowed; None takes the `growth` section of the spec.
    """
    policy = graph.spec.growth if policy is None else policy
    if group.reason is None and group.jumps and not policy.allow_jump:
        remedy = "`growth.allow_jump: true` lets it grow, judged by the loss"
        name = group.jumps[0]
        kind = graph.spec.nodes[name].kind.replace("_", " ")
        return why_discontinuous(f"the {kind} `{name}`", remedy)
    return group.reason


def why_discontinuous(operation: str, remedy: str) -> str:
    """Say why nothing grows through an operation that sees all features at once.

    Args:
        operation: its name in messages. remedy: how growing it can be allowed.
    """
    return f"{operation} changes its old outputs at once, as it normalises old and new features together: {remedy}"


def growing_share(graph: Graph) -> float:
    """The share of the parameters that belong to nodes which the growth of some group widens, on either side."""
    widened: set[str] = set()
    for group in graph.groups:
        if obstacle(graph, group) is None:
            widened.update(group.producers, group.consumers, group.operations)
    return sum(graph.parameters(name) for name in widened) / max(1, graph.parameter_count)
