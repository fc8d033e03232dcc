"""`affine`: a learned factor and a learned offset for each feature, or one for all."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Family, Operation, Shape, Weighted
from gromo_graph.spec.kinds.kind_registry import register_kind


class Affine(Weighted, Operation):
    """A trained affine map, weight · x + bias, with one number for each feature (layer scale) or one for all.

    New features start with a weight of 1 and a bias of 0.
    """

    family: ClassVar[Family] = "norm"
    kind: Literal["affine"] = "affine"
    weight: bool = Field(True, description="Multiply the features by trained weights.")
    bias: bool = Field(True, description="Add a trained bias to the features.")
    shared: bool = Field(False, description="One number for all features instead of one for each.")

    @model_validator(mode="after")
    def _check_any(self) -> Affine:
        if not (self.weight or self.bias):
            raise PydanticCustomError(
                "contradiction", "without `weight` and without `bias` it does nothing: leave the node out"
            )
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """The half that is missing, and whether there is one number for all."""
        halves = ("no weight",) if not self.weight else ("no bias",) if not self.bias else ()
        return (*halves, *(("one for all",) if self.shared else ()))

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input."""
        return inputs[0]

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """A factor and an offset for each feature, as far as they are there."""
        return (self.weight + self.bias) * (1 if self.shared else inputs[0][0])

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """One for each value, if it is multiplied."""
        return prod(inputs[0]) if self.weight else 0


register_kind(Affine, "gromo_graph.layers.affine:TORCH")
