"""`depthwise_conv1d`, `depthwise_conv2d`: each channel has a kernel of its own, so the width stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.activation import Activation
from gromo_graph.spec.kinds.base import Family, Operation, Shape
from gromo_graph.spec.kinds.per_axis import along
from gromo_graph.spec.kinds.refusals import no_middle_tap
from gromo_graph.spec.kinds.registry import register_kind
from gromo_graph.spec.kinds.sliding import Convolving


class Depthwise(Convolving, Operation):
    """A depthwise convolution; it has no width of its own, it grows with what it reads."""

    family: ClassVar[Family] = "convolution"

    has_first_weights: ClassVar[bool] = True

    bias: bool = Field(True, description="Whether a number is added to each feature.")
    activation: Activation = Field("identity", description="Function that the output passes.")

    @property
    def details(self) -> tuple[str, ...]:
        """Kernel and activation."""
        return (*self.sliding_details, *super().details)

    def why_fixed(self, segments: int, repeated: bool) -> str | None:
        """New channels start as a copy of their input, which needs a tap in the middle."""
        if all(size % 2 == 1 for size in along(self.kernel, self.dimensions)):
            return None
        return no_middle_tap(self.kernel)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, *sizes)."""
        return (inputs[0][0], *self.slid(inputs[0], self.kind))

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """channels · (taps + bias)."""
        return inputs[0][0] * (self.taps + self.bias)

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """positions · channels · taps."""
        return prod(self.output_shape(inputs)) * self.taps


class DepthwiseConv1d(Depthwise):
    """A depthwise convolution over sequences."""

    dimensions: ClassVar[int] = 1
    kind: Literal["depthwise_conv1d"] = "depthwise_conv1d"


class DepthwiseConv2d(Depthwise):
    """A depthwise convolution over images."""

    dimensions: ClassVar[int] = 2
    kind: Literal["depthwise_conv2d"] = "depthwise_conv2d"


register_kind(DepthwiseConv1d, "gromo_graph.layers.depthwise_conv:TORCH")
register_kind(DepthwiseConv2d, "gromo_graph.layers.depthwise_conv:TORCH")
