"""The schedule of growth that leads to given widths.

Such a network is grown to be trained for less, and not to find its size: it grows until late. If widths rise linearly
from a share w of their targets to all of it in the share u of the training, and the cost of a training step by the
square of the width, the training costs 1 - u (2 - w - w²) / 3 of that of the whole network: 0.58 if u = 0.75 and
w = 0.25.
"""

from __future__ import annotations

from collections.abc import Mapping

from gromo_graph.spec.kinds import Layer, Node
from gromo_graph.spec.kinds.base import Grow
from gromo_graph.spec.settings import Growth

TARGET_UNTIL = 0.75
"""The share of the training in which target widths are reached, if nobody says another one."""


def with_target_schedule(growth: Growth, nodes: Mapping[str, Node]) -> Growth:
    """The policy with a late `until` if layers have targets, there is no budget, and no `until` is written."""
    written = "until" in growth.when.model_fields_set
    if growth.counts_epochs or written or growth.stop.is_budget or not any(map(_has_target, nodes.values())):
        return growth
    spacing = growth.when.spacing if "spacing" in growth.when.model_fields_set else None
    when = growth.when.model_copy(update={"until": TARGET_UNTIL, "spacing": spacing})
    return growth.model_copy(update={"when": when})


def _has_target(node: Node) -> bool:
    return isinstance(node, Layer) and isinstance(node.grow, Grow) and node.grow.target is not None
