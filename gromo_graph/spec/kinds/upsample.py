"""`upsample1d`, `upsample2d`: every position becomes several equal ones, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Operation, Shape
from gromo_graph.spec.kinds.registry import register_kind
from gromo_graph.spec.kinds.sliding import Positions, spatial_sizes


class Upsample(Operation):
    """Nearest neighbours, the way back from a pool."""

    dimensions: ClassVar[int]
    scale: Positions = Field(2, description="Positions that each one becomes along each axis.")

    @property
    def details(self) -> tuple[str, ...]:
        """The scale."""
        return (f"{self.scale}×",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, scale · size, ...)."""
        sizes = spatial_sizes(inputs[0], self.dimensions, self.kind)
        return (inputs[0][0], *(self.scale * size for size in sizes))


class Upsample1d(Upsample):
    """A longer sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["upsample1d"] = "upsample1d"


class Upsample2d(Upsample):
    """A larger image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["upsample2d"] = "upsample2d"


register_kind(Upsample1d, "gromo_graph.layers.upsample:TORCH")
register_kind(Upsample2d, "gromo_graph.layers.upsample:TORCH")
