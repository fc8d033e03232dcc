"""`merge`: several nodes become one, by sum or by concatenation of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Activation, Node, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.registry import add_to_language


class Merge(Node):
    """A merge node, its activation included."""

    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "merge"
    max_sources: ClassVar[int | None] = None

    kind: Literal["merge"] = "merge"
    merge: Literal["sum", "concat"] = Field("sum", description="How the sources become one.")
    activation: Activation = Field("identity", description="Function that the output passes.")

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
                alike = all(shape[1:] == first[1:] for shape in inputs)
                advice = (
                    "give both the same `features`, or use merge: concat"
                    if alike
                    else "give both the same size beside the channels: change `padding`, `stride` or `kernel` of one"
                )
                raise ShapeMismatch("a sum needs equal shapes", advice)
            return first
        if any(shape[1:] != first[1:] for shape in inputs):
            raise ShapeMismatch(
                "a concat needs shapes equal but for the features",
                "change `padding` or `stride` of one, or flatten both",
            )
        return (sum(shape[0] for shape in inputs), *first[1:])


add_to_language(Merge)
