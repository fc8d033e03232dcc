"""`channel_shuffle`: the features of several groups take turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.amounts import amount
from gromo_graph.spec.kinds.base import Features, Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.kind_registry import register_kind


class ChannelShuffle(Operation):
    """Takes the first feature of every group, then the second of every group, and so on; nothing grows through it."""

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED
    kind: Literal["channel_shuffle"] = "channel_shuffle"
    groups: Features = Field(description="Number of groups; must divide the number of features.")

    @property
    def details(self) -> tuple[str, ...]:
        """Groups."""
        return (amount(self.groups, "group"),)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input.

        Raises:
            ShapeMismatch: the groups do not divide the features.
        """
        if inputs[0][0] % self.groups:
            raise ShapeMismatch(
                f"{self.groups} groups need a number of features that they divide",
                f"write `groups:` with a divisor of {inputs[0][0]}",
                key="groups",
            )
        return inputs[0]


register_kind(ChannelShuffle, "gromo_graph.layers.channel_shuffle:TORCH")
