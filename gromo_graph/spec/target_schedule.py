"""The schedule of growth that leads to given widths.

Such a network is grown to be trained for less, and not to find its size. What is trained last counts most, so it is
narrow for the first half of the training, and whole soon after: if the cost of a training step rises with the square
of the width, and growth from a share w of the targets is over at about the share u of the training, the training costs
1 - u (1 - w²) of that of the whole network: 0.59 if u = 0.55 and w = 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gromo_graph.spec.defaults import TARGET_SCHEDULE
from gromo_graph.spec.kinds import Layer, Node
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.settings import Growth, When


def with_target_schedule(growth: Growth, nodes: Mapping[str, Node]) -> Growth:
    """The policy with ticks in the middle, if layers have targets and neither a budget nor another time is written."""
    written = growth.when.model_fields_set
    if growth.counts_epochs or growth.stop.is_budget or not written.isdisjoint(("begin", "until")):
        return growth
    if not any(map(_has_target, nodes.values())):
        return growth
    schedule = {**TARGET_SCHEDULE, "spacing": None, "steps": _steps(growth, nodes)}
    missing = {key: value for key, value in schedule.items() if key not in written}
    return growth.model_copy(update={"when": growth.when.model_copy(update=missing)})


def _steps(growth: Growth, nodes: Mapping[str, Node]) -> int:
    """Two, or more if the limits of a step need them: at most as many as without targets."""
    needed = [
        math.ceil((node.grow.target - node.features) / limit)
        for node in nodes.values()
        if isinstance(node, Layer) and isinstance(node.grow, Grow) and node.grow.target is not None
        if (limit := min(node.grow.step or math.inf, growth.neurons.per_step or math.inf)) < math.inf
    ]
    steps: int = TARGET_SCHEDULE["steps"]
    return min(max([steps, *needed]), int(When.model_fields["steps"].default))


def _has_target(node: Node) -> bool:
    return isinstance(node, Layer) and isinstance(node.grow, Grow) and node.grow.target is not None
