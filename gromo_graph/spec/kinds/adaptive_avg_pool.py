"""`adaptive_avg_pool1d`, `adaptive_avg_pool2d`: the means of a given number of windows, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Family, Operation, Shape
from gromo_graph.spec.kinds.registry import register_kind
from gromo_graph.spec.kinds.sliding import Positions, spatial_sizes


class AdaptivePool(Operation):
    """A given number of windows, for inputs of any size."""

    family: ClassVar[Family] = "pool"
    dimensions: ClassVar[int]
    size: Positions = Field(1, description="Positions of the output along each axis; 1 is the global mean.")

    @property
    def details(self) -> tuple[str, ...]:
        """Size of the output."""
        return ("to " + "×".join([str(self.size)] * self.dimensions),)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, size, ...)."""
        spatial_sizes(inputs[0], self.dimensions, self.kind)
        return (inputs[0][0], *([self.size] * self.dimensions))


class AdaptiveAvgPool1d(AdaptivePool):
    """Means of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["adaptive_avg_pool1d"] = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(AdaptivePool):
    """Means of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["adaptive_avg_pool2d"] = "adaptive_avg_pool2d"


register_kind(AdaptiveAvgPool1d, "gromo_graph.layers.adaptive_avg_pool:TORCH")
register_kind(AdaptiveAvgPool2d, "gromo_graph.layers.adaptive_avg_pool:TORCH")
