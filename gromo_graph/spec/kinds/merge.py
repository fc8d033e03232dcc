"""`merge`: several nodes become one, by sum or by concatenation of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Activation, Node, Shape, ShapeMismatch, WidthRule


class Merge(Node):
    """A merge node, its activation included."""

    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "merge"
    max_sources: ClassVar[int | None] = None

    kind: Literal["merge"] = "merge"
    merge: Literal["sum", "concat"] = Field("sum", description="How the sources become one.")
    activation: Activation = "identity"

    @property
    def width_rule(self) -> WidthRule:  # type: ignore[override]  # it depends on the field `merge`
        """A sum shares the width of its sources, a concat adds them up."""
        return WidthRule.SHARED if self.merge == "sum" else WidthRule.CONCATENATED

    @property
    def symbol(self) -> str:
        """+ for a sum, ‖ for a concatenation."""
        return "+" if self.merge == "sum" else "‖"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The common shape (sum), or the features added up over a common rest (concat)."""
        first = inputs[0]
        if self.merge == "sum":
            if any(shape != first for shape in inputs):
                raise ShapeMismatch(
                    "a sum needs equal shapes", "give both the same `features`, or use merge: concat"
                )
            return first
        if any(shape[1:] != first[1:] for shape in inputs):
            raise ShapeMismatch("a concat needs shapes equal but for the features", "flatten both before")
        return (sum(shape[0] for shape in inputs), *first[1:])
