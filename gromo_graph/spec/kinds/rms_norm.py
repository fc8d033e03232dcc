"""`rms_norm`: the values of each sample, or of each of its positions, are divided by their root mean square."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Shape
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.norm import Norm


class RMSNorm(Norm):
    """RMS normalisation over all values of a sample, or over those of each position (Zhang and Sennrich, 2019)."""

    jumps: ClassVar[bool] = True
    kind: Literal["rms_norm"] = "rms_norm"
    eps: float | None = Field(
        None,
        gt=0,
        description=(
            "Added to the mean square before its root is taken; by default the machine epsilon of the data "
            "type."
        ),
    )
    elementwise_affine: bool = Field(
        True, description="Multiply each value, or feature, by a trained weight."
    )
    over: Literal["all", "features"] = Field(
        "all",
        description=(
            "Values normalised together: all values of a sample, or the `features` of each position, as in "
            "transformers."
        ),
    )

    @property
    def details(self) -> tuple[str, ...]:
        """The dimensions it is taken over, unless these are all, and the activation."""
        return (*(("over features",) if self.over == "features" else ()), *super().details)

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """A factor for each value, or for each feature, or none."""
        factors = inputs[0][0] if self.over == "features" else prod(inputs[0])
        return self.elementwise_affine * factors


register_kind(RMSNorm, "gromo_graph.layers.rms_norm:TORCH")
