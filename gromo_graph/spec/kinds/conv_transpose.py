"""`conv_transpose1d`, `conv_transpose2d`: every position writes a window of all output channels; the way up again."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Family, Layer, Shape, ShapeMismatch
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.per_axis import MarginPerAxis, PositionsPerAxis, at, short_text, sizes_text
from gromo_graph.spec.kinds.sliding import Sliding, spatial_sizes
from gromo_graph.spec.kinds.window import TransposedAxis


class ConvTranspose(Sliding, Layer):
    """A transposed convolution, its activation included."""

    family: ClassVar[Family] = "convolution"

    stride: PositionsPerAxis = Field(1, description="Positions of the output between two of the input.")
    padding: MarginPerAxis = Field(0, description="Positions of the output that are cut off at each end.")
    output_padding: MarginPerAxis = Field(
        0, description="Additional positions at the end of the output; fewer than the stride or the dilation."
    )
    dilation: PositionsPerAxis = Field(1, description="Positions between two taps of the kernel.")

    @model_validator(mode="after")
    def _check_output_padding(self) -> ConvTranspose:
        for place in range(self.dimensions):
            further = at(self.output_padding, place)
            stride, dilation = at(self.stride, place), at(self.dilation, place)
            if further >= max(stride, dilation):
                raise PydanticCustomError(
                    "contradiction",
                    f"an output_padding of {further} must be smaller than the stride of {stride} or the dilation of "
                    f"{dilation}: what is further away belongs to the next position",
                )
        return self

    def axis(self, place: int) -> TransposedAxis:
        """The kernel along one of the axes."""
        return TransposedAxis.of(
            at(self.kernel, place),
            at(self.stride, place),
            at(self.padding, place),
            at(self.output_padding, place),
            at(self.dilation, place),
        )

    @property
    def details(self) -> tuple[str, ...]:
        """Kernel, what is not usual about it, and activation."""
        words = [sizes_text(self.kernel, self.dimensions)]
        words += [f"stride {short_text(self.stride)}"] if self.stride != 1 else []
        words += [f"dilation {short_text(self.dilation)}"] if self.dilation != 1 else []
        return (*words, *super().details)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, *sizes) from (channels, *sizes).

        Raises:
            ShapeMismatch: another number of axes, or the padding cuts everything off.
        """
        return (self.features, *self.slid(inputs[0], self.kind))

    def slid(self, shape: Shape, kind: str) -> Shape:
        """The sizes of the output beside the channels."""
        sizes = spatial_sizes(shape, self.dimensions, kind)
        outputs = tuple(axis.outputs(size) for axis, size in zip(self.axes, sizes, strict=True))
        for place, size in enumerate(outputs):
            if size < 1:
                padding = at(self.padding, place)
                raise ShapeMismatch(
                    f"a padding of {padding}, cut off at either end, needs an input that makes more than "
                    f"{2 * padding} positions",
                    "take less padding, a larger kernel or a larger stride",
                    key="padding",
                )
        return outputs

    def pointwise(self) -> ConvTranspose:
        """A kernel of 1, and no options."""
        options = {"kernel": 1, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
        return self.model_copy(update=options)

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """features · (channels · taps + bias)."""
        return self.features * (inputs[0][0] * self.taps + self.bias)

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """positions of the input · features · channels · taps; what is cut off counts as the rest."""
        return prod(inputs[0]) * self.features * self.taps


class ConvTranspose1d(ConvTranspose):
    """A transposed convolution over sequences."""

    dimensions: ClassVar[int] = 1
    kind: Literal["conv_transpose1d"] = "conv_transpose1d"


class ConvTranspose2d(ConvTranspose):
    """A transposed convolution over images."""

    dimensions: ClassVar[int] = 2
    kind: Literal["conv_transpose2d"] = "conv_transpose2d"


register_kind(ConvTranspose1d, "gromo_graph.layers.conv_transpose:TORCH")
register_kind(ConvTranspose2d, "gromo_graph.layers.conv_transpose:TORCH")
