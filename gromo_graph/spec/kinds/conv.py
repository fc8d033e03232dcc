"""`conv1d`, `conv2d`: every output channel reads a window of all input channels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from gromo_graph.spec.kinds.base import Family, Layer, Shape
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.sliding import Convolving


class Convolution(Convolving, Layer):
    """A convolution, its activation included."""

    family: ClassVar[Family] = "convolution"

    @property
    def details(self) -> tuple[str, ...]:
        """Kernel and activation."""
        return (*self.sliding_details, *super().details)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, *sizes) from (channels, *sizes)."""
        return (self.features, *self.slid(inputs[0], self.kind))

    def pointwise(self) -> Convolution:
        """A kernel of 1, and no options."""
        return self.model_copy(update={"kernel": 1, "stride": 1, "padding": 0, "dilation": 1})

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """features · (channels · taps + bias)."""
        return self.features * (self._fan_in(inputs[0]) + self.bias)

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """positions · features · channels · taps; positions of padding count as the others."""
        return prod(self.output_shape(inputs)) * self._fan_in(inputs[0])

    def _fan_in(self, shape: Shape) -> int:
        return shape[0] * self.taps


class Conv1d(Convolution):
    """A convolution over sequences."""

    dimensions: ClassVar[int] = 1
    kind: Literal["conv1d"] = "conv1d"


class Conv2d(Convolution):
    """A convolution over images."""

    dimensions: ClassVar[int] = 2
    kind: Literal["conv2d"] = "conv2d"


register_kind(Conv1d, "gromo_graph.layers.conv:TORCH")
register_kind(Conv2d, "gromo_graph.layers.conv:TORCH")
