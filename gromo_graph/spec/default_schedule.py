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
    layers = [node for node in nodes.values() if isinstance(node, Layer)]
    schedule: Mapping[str, Any] = {}
    if growth.stop.is_budget:
        if _fills_convolutions(growth, layers):
            schedule = CONVOLUTION_SCHEDULE
    elif any(_target(layer) for layer in layers):
        schedule = {**TARGET_SCHEDULE, "spacing": None, "steps": _steps(growth, layers)}
    missing = {key: value for key, value in schedule.items() if key not in written}
    return growth.model_copy(update={"when": growth.when.model_copy(update=missing)}) if missing else growth


def _fills_convolutions(growth: Growth, layers: Sequence[Layer]) -> bool:
    """True if growth widens convolutions, and nothing limits what a tick adds."""
    if growth.actions != ("widen",) or growth.groups is not None or growth.neurons.share is not None:
        return False
    if any(_limit(growth, layer) < math.inf for layer in layers):
        return False
    # With a kernel of 1 it is a dense layer for each position, as in a transformer.
    return any(isinstance(layer, Convolution) and layer.taps > 1 and layer.grow for layer in layers)


def _steps(growth: Growth, layers: Sequence[Layer]) -> int:
    """Two, or more if the limits of a step need them: at most as many as without targets."""
    needed = [
        math.ceil((target - layer.features) / _limit(growth, layer))
        for layer in layers
        if (target := _target(layer)) is not None
    ]
    least: int = TARGET_SCHEDULE["steps"]
    return min(max(least, *needed), int(When.model_fields["steps"].default))


def _target(layer: Layer) -> int | None:
    return layer.grow.target if isinstance(layer.grow, Grow) else None


def _limit(growth: Growth, layer: Layer) -> float:
    """The most neurons that a step may add to a layer, as a number."""
    own = layer.grow.step if isinstance(layer.grow, Grow) else None
    return min(own or math.inf, growth.neurons.per_step or math.inf)
