"""`positions`: a learned number for each feature at each position, added to what passes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from gromo_graph.spec.kinds.base import Operation, Shape, ShapeMismatch, Weighted
from gromo_graph.spec.kinds.kind_registry import register_kind


class Positions(Weighted, Operation):
    """Adds a learned number to each feature at each position, so that later layers can tell positions apart.

    It reads sequences and images, and keeps their shape.
    """

    has_first_weights: ClassVar[bool] = True
    kind: Literal["positions"] = "positions"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input."""
        if len(inputs[0]) == 1:
            raise ShapeMismatch(
                "a positions node reads a sequence [channels, length] or an image [channels, height, width]",
                "features in a row have no positions: put it before the `flatten`, or take it out",
            )
        return inputs[0]

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """One for each value of the input."""
        return prod(inputs[0])


register_kind(Positions, "gromo_graph.layers.positions:TORCH")
