"""`linear`: every output feature reads every input feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from gromo_graph.spec.kinds.base import Family, Layer, Shape, ShapeMismatch
from gromo_graph.spec.kinds.kind_registry import register_kind


class Linear(Layer):
    """A fully connected layer with its activation."""

    family: ClassVar[Family] = "linear"

    kind: Literal["linear"] = "linear"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features,) from (features_in,)."""
        (shape,) = inputs
        if len(shape) != 1:
            raise ShapeMismatch("a linear layer reads one row of features", "put a `flatten` node between")
        return (self.features,)

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """features · (features_in + bias)."""
        return self.features * (inputs[0][0] + self.bias)

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """features · features_in."""
        return self.features * inputs[0][0]


register_kind(Linear, "gromo_graph.layers.linear:TORCH")
