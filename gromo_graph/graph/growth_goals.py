"""Can the widths and budgets that growth should lead to be met? Known before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from gromo_graph.amounts import amount
from gromo_graph.errors import GraphError
from gromo_graph.graph.costs import cost_at_widths
from gromo_graph.graph.growability import obstacle
from gromo_graph.graph.view import Graph
from gromo_graph.graph.widths import WidthGroup
from gromo_graph.spec.kinds import Layer
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.settings import Growth, Stop

_RULE = "`growth.stop.parameters_per_sample`"


NOTHING_BEYOND = (
    "`growth.beyond` does nothing without a budget to prune back to: write `growth.stop.parameters`"
)
"""Said of a policy with `beyond` and without a budget."""


def check_goals(graph: Graph, policy: Growth | None = None) -> None:
    """Refuse target widths that cannot be reached.

    Args:
        graph: the network before its growth. policy: None takes the `growth` section of its spec.

    Raises:
        GraphError: with every problem.
    """
    problems = [f"{path}: {message}" for path, message in goal_problems(graph, policy)]
    if problems:
        raise GraphError("; ".join(problems))


def goal_problems(graph: Graph, policy: Growth | None = None) -> Iterator[tuple[str, str]]:
    """The path in the spec and a message for each target width that cannot be reached.

    Args:
        graph: the network before its growth. policy: None takes the `growth` section of its spec.
    """
    policy = graph.spec.growth if policy is None else policy
    aimed = [group for group in graph.groups if group.grow.target is not None]
    if not aimed:
        return
    if policy.counts_epochs:
        yield (
            f"nodes.{aimed[0].target}.grow.target",
            "a target width is led to at shares of the training, and `growth.when.every` counts epochs: leave "
            "`every` and `plateau` out",
        )
        return
    sound = True
    for group in aimed:
        for problem in _of_group(graph, group, policy):
            sound = False
            yield problem
    if sound:
        yield from _of_budgets(graph, aimed, policy.stop)


def over_budget(graph: Graph, policy: Growth) -> str | None:
    """Said if a network is larger than a budget before anything grows."""
    exceeded = _exceeded(graph, policy.stop)
    if not exceeded or "prune" in policy.actions or policy.beyond > 1.0:
        return None
    used = ", ".join(used_budgets(graph, policy.stop))
    return (
        f"over budget as it is: {used}; write a larger {' and '.join(exceeded)}, begin with a narrower network, or let "
        "`prune` take neurons out"
    )


def _exceeded(graph: Graph, stop: Stop) -> list[str]:
    """The settings whose budgets are smaller than a network."""
    found = []
    if stop.parameters is not None and graph.parameter_count > stop.parameters:
        follows_data = isinstance(stop.parameters_per_sample, float)
        found.append(_RULE if follows_data else "`growth.stop.parameters`")
    if stop.madds is not None and graph.multiply_adds > stop.madds:
        found.append("`growth.stop.madds`")
    return found


def used_budgets(graph: Graph, stop: Stop, beyond: float = 1.0) -> list[str]:
    """The used part of each budget, in words.

    Args:
        beyond: times that these budgets are those that are written.
    """
    parts, rule = [], stop.parameters_per_sample
    if stop.parameters is not None:
        each = f"{rule:g} for each training sample: {_RULE}" if isinstance(rule, float) else None
        parts.append(f"{graph.parameter_count:,} of {stop.parameters:,} parameters{_origin(beyond, each)}")
    if stop.madds is not None:
        parts.append(f"{graph.multiply_adds:,} of {stop.madds:,} multiply-adds{_origin(beyond)}")
    return parts


def _origin(beyond: float, rule: str | None = None) -> str:
    """The origin of a budget's number in brackets; empty for a number that is written."""
    if beyond > 1.0:
        return f" ({beyond:g} times {rule or 'the budget'})"
    return f" ({rule})" if rule else ""


def _of_group(graph: Graph, group: WidthGroup, policy: Growth) -> Iterator[tuple[str, str]]:
    targets = _targets(graph, group)
    first, *others = targets
    path = f"nodes.{first}.grow.target"
    for name in others:
        if targets[name] != targets[first]:
            yield (
                f"nodes.{name}.grow.target",
                f"found {targets[name]:,}, and `{first}`, which has the same width, has the target {targets[first]:,}: "
                f"write `target: {max(targets.values())}` at both",
            )
            return
    target = targets[first]
    reason = obstacle(graph, group, policy)
    if reason is not None and target != group.features:
        yield path, f"the node cannot grow: {reason}; leave `target` out"
    elif group.matches:
        yield path, "an attention compares at this width, which grows as its inputs allow: leave `target` out"
    elif "widen" not in policy.actions and target != group.features:
        yield path, "`growth.actions` does not name `widen`: add it, or leave `target` out"
    elif target < group.features:
        yield (
            path,
            f"found {target:,}, below the {amount(group.features, 'feature')} the node begins with: write "
            f"{group.features} "
            "or more",
        )
    elif (target - group.features) % group.unit:
        over = target + group.unit - (target - group.features) % group.unit
        yield (
            path,
            f"found {target:,}, and the width grows from {group.features:,} by {group.unit}: write {over}",
        )
    elif group.grow.max is not None and target > group.grow.max:
        yield (
            path,
            f"found {target:,}, above `max`, which is {group.grow.max:,}: write `max: {target}` or leave it out",
        )
    else:
        yield from _of_pace(group, target, policy)


def _targets(graph: Graph, group: WidthGroup) -> dict[str, int]:
    """The target of each node of the group that says one."""
    found = {}
    for name in group.producers:
        node = graph.spec.nodes[name]
        if isinstance(node, Layer) and isinstance(node.grow, Grow) and node.grow.target is not None:
            found[name] = node.grow.target
    return found


def _of_pace(group: WidthGroup, target: int, policy: Growth) -> Iterator[tuple[str, str]]:
    """A limit of neurons a step with which the target is not reached in all steps."""
    own = group.grow.step
    limit = own if own is not None else policy.neurons.per_step
    missing, steps = target - group.features, policy.when.steps
    if limit is not None and limit * steps < missing:
        word = f"nodes.{group.target}.grow.step" if own is not None else "growth.neurons.per_step"
        yield (
            word,
            f"found {limit:,}: in {steps} steps `{group.target}` gets {limit * steps:,} of the {missing:,} features "
            f"that are missing to its target: write {-(-missing // steps)} or more, or raise `growth.when.steps`",
        )


def _of_budgets(graph: Graph, aimed: list[WidthGroup], stop: Stop) -> Iterator[tuple[str, str]]:
    """A budget that is spent before the targets are reached."""
    wanted = {group: group.grow.target for group in aimed if group.grow.target is not None}
    cost = cost_at_widths(graph, wanted)
    for word, budget, needed in (
        ("parameters", stop.parameters, cost.parameters),
        ("madds", stop.madds, cost.madds),
    ):
        if budget is not None and needed > budget:
            yield (
                f"growth.stop.{word}",
                f"found {budget:,}, and the network has {needed:,} with its target widths: write {needed} or more, or "
                "lower the targets",
            )
