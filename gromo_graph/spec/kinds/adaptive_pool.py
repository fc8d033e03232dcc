"""The base of adaptive pools: a given number of windows, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from gromo_graph.spec.kinds.base import Family, Operation, Shape
from gromo_graph.spec.kinds.per_axis import PositionsPerAxis, WithAxes, along, sizes_text
from gromo_graph.spec.kinds.sliding import spatial_sizes


class AdaptivePool(WithAxes, Operation):
    """A given number of windows, for inputs of any size."""

    family: ClassVar[Family] = "pool"
    size: PositionsPerAxis = Field(
        1, description="Positions of the output along each axis; 1 is the global mean."
    )

    @property
    def details(self) -> tuple[str, ...]:
        """Size of the output."""
        return (f"to {sizes_text(self.size, self.dimensions)}",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, size, ...)."""
        spatial_sizes(inputs[0], self.dimensions, self.kind)
        return (inputs[0][0], *along(self.size, self.dimensions))
