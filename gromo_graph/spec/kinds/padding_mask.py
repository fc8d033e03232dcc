"""`padding_mask`: 0 at the positions of a text that are filled up, 1 elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import MAX_FEATURES, Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.kind_registry import register_kind


class PaddingMask(Operation):
    """A mask of token ids for `attention`: [length] becomes [1, length], 0 where an id is that of the padding."""

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED
    kind: Literal["padding_mask"] = "padding_mask"
    padding_idx: int = Field(0, ge=0, le=MAX_FEATURES, description="The id that fills up texts.")

    @property
    def tokens(self) -> int:
        """It reads any ids."""
        return MAX_FEATURES

    @property
    def details(self) -> tuple[str, ...]:
        """The id of the padding."""
        return (f"id {self.padding_idx}",)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(1, length).

        Raises:
            ShapeMismatch: it reads no row of ids.
        """
        if len(inputs[0]) != 1:
            raise ShapeMismatch(
                "a padding_mask node reads token ids [length]", "let it read the input of the ids"
            )
        return (1, *inputs[0])


register_kind(PaddingMask, "gromo_graph.layers.padding_mask:TORCH")
