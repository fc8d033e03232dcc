"""`class_token`: learned positions in front of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Operation, Shape, ShapeMismatch, Weighted
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.per_axis import Positions


class ClassToken(Weighted, Operation):
    """Prepends learned positions, the same for each sample, to a sequence; new features are 0 there."""

    has_first_weights: ClassVar[bool] = True
    kind: Literal["class_token"] = "class_token"
    count: Positions = Field(1, description="Number of positions prepended to the input.")

    @property
    def details(self) -> tuple[str, ...]:
        """Their number, if there are several."""
        return () if self.count == 1 else (f"{self.count} positions",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(features, count + length).

        Raises:
            ShapeMismatch: it reads no sequence.
        """
        if len(inputs[0]) != 2:
            raise ShapeMismatch(
                "a class_token node reads a sequence [features, length]",
                "make one of an image by `sequence`" if len(inputs[0]) == 3 else "give it a sequence",
            )
        features, length = inputs[0]
        return (features, self.count + length)

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """A number for each feature at each of its positions."""
        return inputs[0][0] * self.count


register_kind(ClassToken, "gromo_graph.layers.class_token:TORCH")
