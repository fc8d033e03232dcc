"""`scale`: every value times a number, and a number added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Operation, Shape
from gromo_graph.spec.kinds.kind_registry import register_kind


class Scale(Operation):
    """Multiplies by a constant and adds a constant: factor · x + offset."""

    kind: Literal["scale"] = "scale"
    factor: float = Field(1.0, description="Number that every value is multiplied by.")
    offset: float = Field(0.0, description="Number that is then added to every value.")

    @property
    def details(self) -> tuple[str, ...]:
        """The numbers that change something."""
        factor = () if self.factor == 1.0 else (f"× {self.factor:g}",)
        return (*factor, *(() if self.offset == 0.0 else (f"{self.offset:+g}",)))

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input."""
        return inputs[0]


register_kind(Scale, "gromo_graph.layers.scale:TORCH")
