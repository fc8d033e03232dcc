"""`flatten`: an image or sequence becomes one row of features, channel after channel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from gromo_graph.spec.kinds.base import Operation, Shape, WidthRule
from gromo_graph.spec.kinds.registry import register_kind


class Flatten(Operation):
    """Every position of a channel becomes a feature of its own; the features of a channel stay neighbours."""

    width_rule: ClassVar[WidthRule] = WidthRule.REPEATED

    kind: Literal["flatten"] = "flatten"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(product of all sizes,)."""
        return (prod(inputs[0]),)


register_kind(Flatten, "gromo_graph.layers.flatten:TORCH")
