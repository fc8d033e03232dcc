"""`batch_norm`, `layer_norm`, `group_norm`: features brought to a common scale, then given one each."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Activation, Features, Operation, Shape, ShapeMismatch


class Norm(Operation):
    """A normalisation, its activation included."""

    activation: Activation = Field("identity", description="Function that the output passes.")
    eps: float = Field(1e-5, gt=0, description="Added to the variance before its root is taken.")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """That of the input."""
        return inputs[0]

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """A factor and an offset for each feature."""
        return 2 * inputs[0][0]

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """One for each value."""
        return prod(inputs[0])


class BatchNorm(Norm):
    """Each feature by its mean and variance over the batch; in evaluation by running ones."""

    kind: Literal["batch_norm"] = "batch_norm"
    momentum: float = Field(0.1, ge=0, le=1, description="Share of a batch in the running mean and variance.")


class LayerNorm(Norm):
    """All values of a sample together, or those of each position."""

    jumps: ClassVar[bool] = True
    kind: Literal["layer_norm"] = "layer_norm"
    over: Literal["all", "features"] = Field(
        "all",
        description="All values of a sample together, or the `features` of each position by themselves, as in "
        "transformers.",
    )

    @property
    def details(self) -> tuple[str, ...]:
        """What it is taken over, where that is not all, and the activation."""
        return (*(("over features",) if self.over == "features" else ()), *super().details)

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """A factor and an offset for each value, or for each feature."""
        return 2 * (inputs[0][0] if self.over == "features" else prod(inputs[0]))


class GroupNorm(Norm):
    """The features of a sample in groups; it grows by whole groups."""

    kind: Literal["group_norm"] = "group_norm"
    groups: Features = Field(description="Number of groups; it divides the features.")

    @property
    def details(self) -> tuple[str, ...]:
        """Groups and activation."""
        return (f"{self.groups} groups", *super().details)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """That of the input."""
        if inputs[0][0] % self.groups:
            raise ShapeMismatch(
                f"{self.groups} groups need a number of features that they divide",
                f"write `groups:` with a divisor of {inputs[0][0]}",
                key="groups",
            )
        if prod(inputs[0]) == self.groups:
            raise ShapeMismatch(
                f"{self.groups} groups leave one value in each, whose norm is always 0; they need more values",
                "write fewer `groups:`",
                key="groups",
            )
        return inputs[0]

    def unit(self, features: int) -> int:
        """The size of a group."""
        return features // self.groups

    def widened(self, features: int, added: int) -> GroupNorm:
        """With as many groups more as fit the new features."""
        return self.model_copy(update={"groups": self.groups + added // self.unit(features)})

    def why_fixed(self, segments: int, repeated: bool) -> str | None:
        """New groups must hold new features alone."""
        if segments > 1 or repeated:
            return "its groups would mix the features of several layers or positions"
        return None
