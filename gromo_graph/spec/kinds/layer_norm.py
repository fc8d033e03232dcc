"""`layer_norm`: the values of each sample, or of each of its positions, are normalised together."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Shape
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.norm import Eps, Norm


class LayerNorm(Norm):
    """Layer normalisation over all values of a sample, or over the features of each position."""

    jumps: ClassVar[bool] = True
    kind: Literal["layer_norm"] = "layer_norm"
    eps: Eps = 1e-5
    over: Literal["all", "features"] = Field(
        "all",
        description=(
            "Values normalised together: all values of a sample, or the `features` of each position, as in "
            "transformers."
        ),
    )
    elementwise_affine: bool = Field(
        True, description="Multiply each value, or feature, by a trained weight."
    )
    bias: bool = Field(True, description="Whether it also gets an offset; without factors there are none.")

    @property
    def details(self) -> tuple[str, ...]:
        """The dimensions it is taken over, unless these are all, and the activation."""
        return (*(("over features",) if self.over == "features" else ()), *super().details)

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """A factor and an offset for each value, or for each feature, those of them that there are."""
        values = inputs[0][0] if self.over == "features" else prod(inputs[0])
        return self.elementwise_affine * (1 + self.bias) * values


register_kind(LayerNorm, "gromo_graph.layers.layer_norm:TORCH")
