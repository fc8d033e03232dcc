"""`dropout`: in training, values, whole features or whole samples are set to zero at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Operation, Shape
from gromo_graph.spec.kinds.kind_registry import register_kind


class Dropout(Operation):
    """Dropout with probability p; inactive in evaluation mode, in which growth is measured."""

    kind: Literal["dropout"] = "dropout"
    p: float = Field(0.5, ge=0, lt=1, description="Probability of being set to zero.")
    drop: Literal["values", "features", "samples"] = Field(
        "values",
        description=(
            "Unit that is dropped: single values, features at all their positions (`Dropout2d`), or whole "
            "samples (stochastic depth)."
        ),
    )

    @property
    def details(self) -> tuple[str, ...]:
        """The probability, and what is dropped."""
        return (f"p {self.p:g}", *(() if self.drop == "values" else (self.drop,)))

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input."""
        return inputs[0]


register_kind(Dropout, "gromo_graph.layers.dropout:TORCH")
