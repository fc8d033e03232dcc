"""`dropout`: in training, features are set to zero at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Node, Shape, WidthRule


class Dropout(Node):
    """Dropout with probability p; nothing in evaluation, where growth is measured."""

    width_rule: ClassVar[WidthRule] = WidthRule.SHARED
    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "operation"

    kind: Literal["dropout"] = "dropout"
    p: float = Field(0.5, ge=0, lt=1, description="Share of features set to zero.")

    @property
    def details(self) -> tuple[str, ...]:
        """The probability."""
        return (f"p {self.p:g}",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """That of the input."""
        return inputs[0]
