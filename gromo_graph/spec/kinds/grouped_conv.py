"""`grouped_conv1d`, `grouped_conv2d`: groups of channels that become wider or narrower, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.amounts import amount
from gromo_graph.spec.kinds.base import Family, Features, Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.sliding import Convolving


class GroupedConv(Convolving, Operation):
    """A convolution of groups that change their width; nothing grows through it.

    If each group gives as many channels as it reads, `depthwise_conv2d` with `group_width` is the same and grows.
    """

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED
    family: ClassVar[Family] = "convolution"
    has_first_weights: ClassVar[bool] = True

    features: Features = Field(description="Channels of the output.")
    groups: Features = Field(
        description="Number of groups; must divide the number of channels on both sides."
    )
    bias: bool = Field(True, description="Add a bias to each feature.")

    @property
    def details(self) -> tuple[str, ...]:
        """Kernel and groups."""
        return (*self.sliding_details, amount(self.groups, "group"))

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, *sizes).

        Raises:
            ShapeMismatch: the groups do not divide the channels, or the kernel does not fit.
        """
        sizes = self.slid(inputs[0], self.kind)
        if inputs[0][0] % self.groups or self.features % self.groups:
            raise ShapeMismatch(
                f"{self.groups} groups need numbers of channels that they divide",
                f"write `groups:` with a divisor of {inputs[0][0]} and of {self.features}",
                key="groups",
            )
        return (self.features, *sizes)

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """features · (channels of a group · taps + bias)."""
        return self.features * (inputs[0][0] // self.groups * self.taps + self.bias)

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """positions · features · channels of a group · taps."""
        return prod(self.output_shape(inputs)) * (inputs[0][0] // self.groups) * self.taps


class GroupedConv1d(GroupedConv):
    """A grouped convolution over sequences."""

    dimensions: ClassVar[int] = 1
    kind: Literal["grouped_conv1d"] = "grouped_conv1d"


class GroupedConv2d(GroupedConv):
    """A grouped convolution over images."""

    dimensions: ClassVar[int] = 2
    kind: Literal["grouped_conv2d"] = "grouped_conv2d"


register_kind(GroupedConv1d, "gromo_graph.layers.grouped_conv:TORCH")
register_kind(GroupedConv2d, "gromo_graph.layers.grouped_conv:TORCH")
