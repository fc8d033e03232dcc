"""`flatten`: an image or sequence becomes one row of features, channel after channel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from gromo_graph.spec.kinds.base import Operation, Shape, WidthRule
from gromo_graph.spec.kinds.kind_registry import register_kind


class Flatten(Operation):
    """Turns each position of a channel into a feature; the features of a channel stay adjacent."""

    width_rule: ClassVar[WidthRule] = WidthRule.REPEATED

    kind: Literal["flatten"] = "flatten"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(product of all sizes,)."""
        return (prod(inputs[0]),)


register_kind(Flatten, "gromo_graph.layers.flatten:TORCH")
