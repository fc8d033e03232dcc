"""The default schedule of growth, where it depends on the network.

A network with target widths is grown to be trained for less, and not to find its size. What is trained last counts
most, so it is narrow for the first half of the training, and whole soon after: if the cost of a training step rises
with the square of the width, and growth from a share w of the targets is over at about the share u of the training,
the training costs 1 - u (1 - w²) of that of the whole network: 0.59 if u = 0.55 and w = 0.5.

Convolutions that fill a budget do so in two ticks instead of ten: they end at least as good, for less
(docs/deciding.md, "What was tried").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gromo_graph.spec.defaults import CONVOLUTION_SCHEDULE, TARGET_SCHEDULE
from gromo_graph.spec.kinds import Layer, Node
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.kinds.conv import Convolution
from gromo_graph.spec.settings import Growth, When


def with_default_schedule(growth: Growth, nodes: Mapping[str, Node]) -> Growth:
    """The policy with the times that suit the network, if no others are written."""
    written = growth.when.model_fields_set
    if growth.counts_epochs or not written.isdisjoint(("begin", "until")):
        return growth
    schedule: Mapping[str, Any] = {}
    if growth.stop.is_budget:
        if _fills_convolutions(growth, list(nodes.values())):
            schedule = CONVOLUTION_SCHEDULE
    elif any(map(_has_target, nodes.values())):
        schedule = {**TARGET_SCHEDULE, "spacing": None, "steps": _steps(growth, nodes)}
    missing = {key: value for key, value in schedule.items() if key not in written}
    return growth.model_copy(update={"when": growth.when.model_copy(update=missing)}) if missing else growth


def _fills_convolutions(growth: Growth, nodes: Sequence[Node]) -> bool:
    """True if growth widens convolutions, and nothing limits what a tick adds."""
    if growth.actions != ("widen",) or growth.groups is not None:
        return False
    if growth.neurons.per_step is not None or growth.neurons.share is not None:
        return False
    if any(isinstance(node, Layer) and isinstance(node.grow, Grow) and node.grow.step for node in nodes):
        return False
    # With a kernel of 1 it is a dense layer for each position, as in a transformer.
    return any(isinstance(node, Convolution) and node.taps > 1 and node.grow for node in nodes)


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
