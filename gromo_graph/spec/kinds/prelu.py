"""`prelu`: a relu with a trained slope below 0, one for each feature or one for all."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Operation, Shape, Weighted
from gromo_graph.spec.kinds.kind_registry import register_kind


class PReLU(Weighted, Operation):
    """A relu with a trained slope: x above 0, weight · x below. New features start with a weight of 0.25."""

    kind: Literal["prelu"] = "prelu"
    shared: bool = Field(True, description="One weight for all features instead of one for each.")

    @property
    def details(self) -> tuple[str, ...]:
        """True if there is a weight for each feature."""
        return () if self.shared else ("one for each feature",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input."""
        return inputs[0]

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """The slopes."""
        return 1 if self.shared else inputs[0][0]

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """One for each value."""
        return prod(inputs[0])


register_kind(PReLU, "gromo_graph.layers.prelu:TORCH")
