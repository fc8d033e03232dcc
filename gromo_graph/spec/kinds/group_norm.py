"""`group_norm`: the features of each sample are normalised in groups."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import Field

from gromo_graph.amounts import amount
from gromo_graph.spec.kinds.base import Features, Shape, ShapeMismatch
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.norm import Eps, Norm
from gromo_graph.spec.kinds.refusals import MIXED_GROUPS


class GroupNorm(Norm):
    """Group normalisation of each sample; it grows by whole groups."""

    kind: Literal["group_norm"] = "group_norm"
    eps: Eps = 1e-5
    groups: Features = Field(description="Number of groups; must divide the number of features.")

    @property
    def details(self) -> tuple[str, ...]:
        """Groups and activation."""
        return (amount(self.groups, "group"), *super().details)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input.

        Raises:
            ShapeMismatch: the groups do not divide the features, or leave one value in each.
        """
        if inputs[0][0] % self.groups:
            raise ShapeMismatch(
                f"{amount(self.groups, 'group')} need a number of features that they divide",
                f"write `groups:` with a divisor of {inputs[0][0]}",
                key="groups",
            )
        if prod(inputs[0]) == self.groups:
            raise ShapeMismatch(
                f"{amount(self.groups, 'group')} leave one value in each, whose norm is always 0; they need "
                "more values",
                "write fewer `groups:`",
                key="groups",
            )
        return inputs[0]

    def unit(self, features: int) -> int:
        """The size of a group."""
        return features // self.groups

    def widened(self, features: int, added: int) -> GroupNorm:
        """The norm with as many more groups as fit the new features."""
        return self.model_copy(update={"groups": self.groups + added // self.unit(features)})

    def why_fixed(self, segments: int, repeated: bool) -> str | None:
        """New groups must hold new features alone."""
        if segments > 1 or repeated:
            return MIXED_GROUPS
        return None


register_kind(GroupNorm, "gromo_graph.layers.group_norm:TORCH")
