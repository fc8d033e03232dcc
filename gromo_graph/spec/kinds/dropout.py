"""`dropout`: in training, features are set to zero at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Operation, Shape
from gromo_graph.spec.kinds.registry import register_kind


class Dropout(Operation):
    """Dropout with probability p; nothing in evaluation, in which growth is measured."""

    kind: Literal["dropout"] = "dropout"
    p: float = Field(0.5, ge=0, lt=1, description="Share of features set to zero.")

    @property
    def details(self) -> tuple[str, ...]:
        """The probability."""
        return (f"p {self.p:g}",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input."""
        return inputs[0]


register_kind(Dropout, "gromo_graph.layers.dropout:TORCH")
