"""`sequence`: the positions of an image become one row."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from gromo_graph.spec.kinds.base import Operation, Shape, ShapeMismatch
from gromo_graph.spec.kinds.kind_registry import register_kind


class AsSequence(Operation):
    """Turns an image into a sequence, row by row: [features, height, width] becomes [features, height · width].

    Channels are kept apart, so that new channels pass through.
    """

    kind: Literal["sequence"] = "sequence"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, height · width)."""
        if len(inputs[0]) != 3:
            raise ShapeMismatch("sequence needs an image [features, height, width]", "give it an image")
        return (inputs[0][0], prod(inputs[0][1:]))


register_kind(AsSequence, "gromo_graph.layers.sequence:TORCH")
