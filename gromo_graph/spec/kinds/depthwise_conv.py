"""`depthwise_conv1d`, `depthwise_conv2d`: each group of channels has own kernels, so that the width stays."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.activation import Activation
from gromo_graph.spec.kinds.base import Family, Features, Operation, Shape, ShapeMismatch, Weighted
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.per_axis import along
from gromo_graph.spec.kinds.refusals import MIXED_GROUPS, no_middle_tap
from gromo_graph.spec.kinds.sliding import Convolving


class Depthwise(Convolving, Weighted, Operation):
    """A convolution of groups as wide as they were; it has no width of its own, it grows with what it reads.

    A group is one channel, or as many as `group_width` says (ResNeXt); then it grows by whole groups.
    """

    family: ClassVar[Family] = "convolution"

    has_first_weights: ClassVar[bool] = True

    group_width: Features = Field(
        1, description="Number of channels that each kernel reads, and that each group outputs."
    )
    bias: bool = Field(True, description="Add a bias to each feature.")
    activation: Activation = Field("identity", description="Activation applied to the output.")

    @property
    def details(self) -> tuple[str, ...]:
        """Kernel, groups and activation."""
        groups = () if self.group_width == 1 else (f"groups of {self.group_width}",)
        return (*self.sliding_details, *groups, *super().details)

    def unit(self, features: int) -> int:
        """The size of a group."""
        return self.group_width

    def why_fixed(self, segments: int, repeated: bool) -> str | None:
        """New channels start as a copy of their input, which needs a tap in the middle; new groups hold them alone."""
        if self.group_width > 1 and segments > 1:
            return MIXED_GROUPS
        if all(size % 2 == 1 for size in along(self.kernel, self.dimensions)):
            return None
        return no_middle_tap(self.kernel)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, *sizes).

        Raises:
            ShapeMismatch: the groups do not divide the channels, or the kernel does not fit.
        """
        if inputs[0][0] % self.group_width:
            raise ShapeMismatch(
                f"groups of {self.group_width} channels need a number of channels that they divide",
                f"write `group_width:` with a divisor of {inputs[0][0]}",
                key="group_width",
            )
        return (inputs[0][0], *self.slid(inputs[0], self.kind))

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """channels · (taps · group width + bias)."""
        return inputs[0][0] * (self.taps * self.group_width + self.bias)

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """positions · channels · taps · group width."""
        return prod(self.output_shape(inputs)) * self.taps * self.group_width


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
