"""`unflatten`: a row of features becomes a sequence or an image, or the positions of a sequence become an image."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gromo_graph.spec.kinds.base import Features, Operation, Shape, ShapeMismatch, WidthRule
from gromo_graph.spec.kinds.frozen import as_tuple
from gromo_graph.spec.kinds.kind_registry import register_kind


class Unflatten(Operation):
    """Cuts a dimension into several, in the order of its values, as decoders do; torch's `unflatten`.

    Nothing grows through the features that are cut (`dim: 1`); through the positions of a sequence they do (`dim: 2`).
    """

    kind: Literal["unflatten"] = "unflatten"
    sizes: Annotated[tuple[Features, ...], BeforeValidator(as_tuple), Field(min_length=2, max_length=3)] = (
        Field(
            description="Sizes of the parts: [channels, height, width], [channels, length], or [height, width]."
        )
    )
    dim: Literal[1, 2] = Field(
        1, description="Dimension that is cut: 1, the features of a row, or 2, the positions."
    )

    @property
    def width_rule(self) -> WidthRule:  # type: ignore[override]  # it depends on the field `dim`
        """Features that are cut have a fixed number."""
        return WidthRule.FIXED if self.dim == 1 else WidthRule.SHARED

    @property
    def details(self) -> tuple[str, ...]:
        """The sizes."""
        return ("×".join(map(str, self.sizes)),)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The sizes in the place of the dimension.

        Raises:
            ShapeMismatch: there is no such dimension, or it has another size.
        """
        (shape,) = inputs
        if len(shape) != self.dim or len(self.sizes) > 4 - self.dim:
            needed = (
                "a row of features"
                if self.dim == 1
                else "a sequence, and makes an image [height, width] of it"
            )
            raise ShapeMismatch(f"unflatten with `dim: {self.dim}` needs {needed}", "give it one", key="dim")
        if shape[-1] != prod(self.sizes):
            raise ShapeMismatch(
                f"unflatten into {list(self.sizes)} needs {prod(self.sizes)} values",
                f"write `sizes:` whose product is {shape[-1]}",
                key="sizes",
            )
        return (*shape[:-1], *self.sizes)


register_kind(Unflatten, "gromo_graph.layers.unflatten:TORCH")
