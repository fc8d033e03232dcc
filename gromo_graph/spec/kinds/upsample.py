"""`upsample1d`, `upsample2d`: more positions, channel by channel, by nearest neighbours or by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Operation, Shape
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.per_axis import PositionsPerAxis, WithAxes, along, short_text
from gromo_graph.spec.kinds.sliding import spatial_sizes


class Upsample(WithAxes, Operation):
    """A multiple of the positions, or a given number of them."""

    mode: Any = "nearest"
    scale: PositionsPerAxis = Field(
        2, description="Number of output positions for each input position along each axis."
    )
    size: PositionsPerAxis | None = Field(
        None, description="Positions of the output along each axis, instead of `scale`."
    )
    align_corners: bool = Field(
        False, description="Keep the values at the corners when interpolating, torch's `align_corners`."
    )

    @model_validator(mode="after")
    def _check_corners(self) -> Upsample:
        if self.align_corners and self.mode == "nearest":
            raise PydanticCustomError(
                "contradiction", "`align_corners` is for an interpolation: leave it out, or give a `mode`"
            )
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """The scale or the size, and the interpolation."""
        by = f"{short_text(self.scale)}×" if self.size is None else f"to {short_text(self.size)}"
        return (by, *(() if self.mode == "nearest" else (str(self.mode),)))

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, scale · size, ...), or (channels, size, ...)."""
        sizes = spatial_sizes(inputs[0], self.dimensions, self.kind)
        if self.size is not None:
            return (inputs[0][0], *along(self.size, self.dimensions))
        scales = along(self.scale, self.dimensions)
        return (inputs[0][0], *(scale * size for scale, size in zip(scales, sizes, strict=True)))


class Upsample1d(Upsample):
    """Upsampling of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["upsample1d"] = "upsample1d"
    mode: Literal["nearest", "linear"] = Field("nearest", description="Method of interpolation.")


class Upsample2d(Upsample):
    """Upsampling of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["upsample2d"] = "upsample2d"
    mode: Literal["nearest", "bilinear", "bicubic"] = Field("nearest", description="Method of interpolation.")


register_kind(Upsample1d, "gromo_graph.layers.upsample:TORCH")
register_kind(Upsample2d, "gromo_graph.layers.upsample:TORCH")
