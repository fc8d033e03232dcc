"""The base of norms: features are brought to a common scale, and then get a factor and an offset each."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, ClassVar

from pydantic import Field

from gromo_graph.spec.kinds.activation import Activation
from gromo_graph.spec.kinds.base import Family, Operation, Shape, Weighted

Eps = Annotated[float, Field(gt=0, description="Added to the variance before its root is taken.")]


class Norm(Weighted, Operation):
    """A normalisation, its activation included. The shape (features, ...) stays as it is."""

    family: ClassVar[Family] = "norm"

    activation: Activation = Field("identity", description="Activation applied to the output.")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input."""
        return inputs[0]

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """A factor and an offset for each feature."""
        return 2 * inputs[0][0]

    def multiply_adds(self, inputs: Sequence[Shape]) -> int:
        """One for each value."""
        return prod(inputs[0])
