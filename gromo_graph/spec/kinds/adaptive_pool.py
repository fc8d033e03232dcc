"""`adaptive_avg_pool1d` and so on: the mean, or the largest value, of a given number of windows, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Family, Operation, Shape
from gromo_graph.spec.kinds.per_axis import PositionsPerAxis, WithAxes, along, sizes_text
from gromo_graph.spec.kinds.registry import register_kind
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


class AdaptiveAvgPool1d(AdaptivePool):
    """Means of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["adaptive_avg_pool1d"] = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(AdaptivePool):
    """Means of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["adaptive_avg_pool2d"] = "adaptive_avg_pool2d"


class AdaptiveMaxPool1d(AdaptivePool):
    """The largest values of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["adaptive_max_pool1d"] = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(AdaptivePool):
    """The largest values of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["adaptive_max_pool2d"] = "adaptive_max_pool2d"


register_kind(AdaptiveAvgPool1d, "gromo_graph.layers.adaptive_pool:TORCH")
register_kind(AdaptiveAvgPool2d, "gromo_graph.layers.adaptive_pool:TORCH")
register_kind(AdaptiveMaxPool1d, "gromo_graph.layers.adaptive_pool:TORCH")
register_kind(AdaptiveMaxPool2d, "gromo_graph.layers.adaptive_pool:TORCH")
