"""`input`: the entry of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from gromo_graph.spec.kinds.base import Features, Node, Shape, Sources, WidthRule
from gromo_graph.spec.kinds.frozen import as_tuple
from gromo_graph.spec.kinds.kind_registry import add_to_language


class Input(Node):
    """An input, with the shape of one sample, without the batch dimension."""

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED
    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "input"
    max_sources: ClassVar[int | None] = 0

    kind: Literal["input"] = "input"
    sources: Sources = Field((), alias="from", max_length=0, exclude=True)
    shape: Annotated[tuple[Features, ...], BeforeValidator(as_tuple)] = Field(
        min_length=1,
        max_length=3,
        description="[features], [channels, length] or [channels, height, width]; of token ids [length].",
    )

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape the document gives."""
        return self.shape

    def why_ends(self, name: str) -> tuple[str, str]:
        """Data have the width they have."""
        return f"`{name}` reads it as it is", f"its width is that of the input `{name}`"


add_to_language(Input)
