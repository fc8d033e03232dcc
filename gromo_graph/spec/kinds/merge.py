"""`merge`: several nodes become one, by sum, by product or by concatenation of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.activation import Activation
from gromo_graph.spec.kinds.base import Node, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.kind_registry import add_to_language

MergeKind = Literal["sum", "product", "concat"]

_SYMBOLS: dict[MergeKind, str] = {"sum": "+", "product": "×", "concat": "‖"}


class Merge(Node):
    """A merge node with its activation.

    In a product, a source with a single position is broadcast over all positions: a row of features, or an image of one
    position, multiplies each channel of an image as a whole (squeeze-and-excitation).
    """

    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "merge"
    max_sources: ClassVar[int | None] = None

    kind: Literal["merge"] = "merge"
    merge: MergeKind = Field("sum", description="How the sources are combined.")
    activation: Activation = Field("identity", description="Activation applied to the output.")

    @property
    def width_rule(self) -> WidthRule:  # type: ignore[override]  # it depends on the field `merge`
        """A sum and a product share the width of their sources, a concat adds them up."""
        return WidthRule.CONCATENATED if self.merge == "concat" else WidthRule.SHARED

    @property
    def symbol(self) -> str:
        """+ for a sum, × for a product, ‖ for a concatenation."""
        return _SYMBOLS[self.merge]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The common shape (sum), the largest sizes (product), or the features added up over a common rest (concat)."""
        match self.merge:
            case "sum":
                return _common(inputs)
            case "product":
                return multiplied(inputs)
            case "concat":
                return _side_by_side(inputs)


def _common(inputs: Sequence[Shape]) -> Shape:
    first = inputs[0]
    if any(shape != first for shape in inputs):
        alike = all(shape[1:] == first[1:] for shape in inputs)
        advice = (
            "give both the same `features`, or use merge: concat"
            if alike
            else "give both the same size beside the channels: change `padding`, `stride` or `kernel` of one"
        )
        raise ShapeMismatch("a sum needs equal shapes", advice)
    return first


def _side_by_side(inputs: Sequence[Shape]) -> Shape:
    first = inputs[0]
    if any(shape[1:] != first[1:] for shape in inputs):
        raise ShapeMismatch(
            "a concat needs shapes equal but for the features",
            "change `padding` or `stride` of one, or flatten both",
        )
    return (sum(shape[0] for shape in inputs), *first[1:])


def multiplied(inputs: Sequence[Shape]) -> Shape:
    """The shape of a product: a size of 1, or one that is not there, stands for any.

    >>> multiplied([(8, 5, 5), (8, 1, 1), (8,)]), multiplied([(1, 5, 5), (8, 5, 5)])
    ((8, 5, 5), (8, 5, 5))
    """
    rank = max(len(shape) for shape in inputs)
    padded = [(*shape, *[1] * (rank - len(shape))) for shape in inputs]
    sizes = [{size for size in of_axis if size != 1} for of_axis in zip(*padded, strict=True)]
    if any(len(found) > 1 for found in sizes):
        raise ShapeMismatch(
            "a product needs equal shapes, or a size of 1 in the place of another",
            "give both the same `features`, and the same size beside the channels or none",
        )
    return tuple(found.pop() if found else 1 for found in sizes)


add_to_language(Merge)
