"""`conv_transpose1d`, `conv_transpose2d`: every position writes a window of all output channels; the way up again."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Family, Layer, Shape, ShapeMismatch
from gromo_graph.spec.kinds.registry import register_kind
from gromo_graph.spec.kinds.sliding import Positions, Sliding, spatial_sizes
from gromo_graph.spec.kinds.window import TransposedAxis

Margin = Annotated[int, Field(ge=0, le=10_000)]


class ConvTranspose(Sliding, Layer):
    """A transposed convolution, its activation included."""

    family: ClassVar[Family] = "convolution"

    stride: Positions = Field(1, description="Positions of the output between two of the input.")
    padding: Margin = Field(0, description="Positions of the output that are cut off at either end.")
    output_padding: Margin = Field(
        0, description="Further positions at the end of the output; fewer than the stride or the dilation."
    )
    dilation: Positions = Field(1, description="Positions between two taps of the kernel.")

    @model_validator(mode="after")
    def _check_output_padding(self) -> ConvTranspose:
        if self.output_padding >= max(self.stride, self.dilation):
            raise PydanticCustomError(
                "contradiction",
                f"an output_padding of {self.output_padding} must be smaller than the stride of {self.stride} or the "
                f"dilation of {self.dilation}: what is further away belongs to the next position",
            )
        return self

    def axis(self) -> TransposedAxis:
        """The kernel along any of the axes."""
        return TransposedAxis.of(self.kernel, self.stride, self.padding, self.output_padding, self.dilation)

    @property
    def details(self) -> tuple[str, ...]:
        """Kernel, what is not usual about it, and activation."""
        words = ["×".join([str(self.kernel)] * self.dimensions)]
        words += [f"stride {self.stride}"] if self.stride != 1 else []
        words += [f"dilation {self.dilation}"] if self.dilation != 1 else []
        return (*words, *super().details)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, *sizes) from (channels, *sizes).

        Raises:
            ShapeMismatch: another number of axes, or the padding cuts everything off.
        """
        return (self.features, *self.slid(inputs[0], self.kind))

    def slid(self, shape: Shape, kind: str) -> Shape:
        """The sizes of the output beside the channels."""
        axis = self.axis()
        outputs = tuple(axis.outputs(size) for size in spatial_sizes(shape, self.dimensions, kind))
        if min(outputs) < 1:
            raise ShapeMismatch(
                f"a padding of {self.padding}, cut off at either end, needs an input that makes more than "
                f"{2 * self.padding} positions",
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
        return self.features * (inputs[0][0] * self._taps + self.bias)

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """positions of the input · features · channels · taps; what is cut off counts as the rest."""
        return prod(inputs[0]) * self.features * self._taps

    @property
    def _taps(self) -> int:
        return int(self.kernel**self.dimensions)


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
