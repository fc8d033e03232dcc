"""`transpose`: features and positions change places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from gromo_graph.spec.kinds.base import Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.kind_registry import register_kind


class Transpose(Operation):
    """Swaps features and positions: [features, length] becomes [length, features].

    The length is fixed, so nothing grows through it. It reads sequences; `sequence` turns an image into one.
    """

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED

    kind: Literal["transpose"] = "transpose"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(length, features)."""
        if len(inputs[0]) != 2:
            raise ShapeMismatch(
                "transpose needs a sequence [features, length]",
                "make one of an image by `sequence`" if len(inputs[0]) == 3 else "give it a sequence",
            )
        features, length = inputs[0]
        return (length, features)

    def why_ends(self, name: str) -> tuple[str, str]:
        """Features and positions change places."""
        return (
            f"its features become positions behind `{name}`",
            f"its features are the positions before `{name}`",
        )


register_kind(Transpose, "gromo_graph.layers.transpose:TORCH")
