"""`slice`: some neighbouring features of those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import MAX_FEATURES, Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.kind_registry import register_kind


class Slice(Operation):
    """Takes the features from `start` up to but not including `stop`; nothing grows through it."""

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED
    kind: Literal["slice"] = "slice"
    start: Annotated[int, Field(ge=0, le=MAX_FEATURES)] = Field(0, description="Index of the first feature.")
    stop: Annotated[int, Field(ge=1, le=MAX_FEATURES)] = Field(description="Index one past the last feature.")

    @model_validator(mode="after")
    def _check_order(self) -> Slice:
        if self.start >= self.stop:
            raise PydanticCustomError(
                "contradiction", "`start` is not before `stop`: a slice has one feature at least"
            )
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """The features."""
        return (f"{self.start}:{self.stop}",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(stop − start, *sizes).

        Raises:
            ShapeMismatch: there are fewer features.
        """
        features, *sizes = inputs[0]
        if self.stop > features:
            advice = "end it sooner" + ("; a `pad` of negative numbers takes positions off" if sizes else "")
            raise ShapeMismatch(f"a slice up to {self.stop} needs as many features", advice, key="stop")
        return (self.stop - self.start, *sizes)


register_kind(Slice, "gromo_graph.layers.slice:TORCH")
