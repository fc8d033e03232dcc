"""`flip`: positions in reverse order along some axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Operation, Shape, ShapeMismatch
from gromo_graph.spec.kinds.frozen import as_tuple
from gromo_graph.spec.kinds.kind_registry import register_kind


class Flip(Operation):
    """Reverses the order of positions, as torch's `flip`; new channels pass it."""

    kind: Literal["flip"] = "flip"
    dims: Annotated[
        tuple[Literal[2, 3], ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=2)
    ] = Field(
        (2,), description="Dimensions that are reversed: 2, the length or the height, and 3, the width."
    )

    @model_validator(mode="after")
    def _check_dims(self) -> Flip:
        if len(set(self.dims)) < len(self.dims):
            raise PydanticCustomError("contradiction", "`dims` names a dimension twice")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """The dimensions, if they are not the first alone."""
        return () if self.dims == (2,) else (" ".join(map(str, self.dims)),)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input.

        Raises:
            ShapeMismatch: it has no such dimension.
        """
        if max(self.dims) > len(inputs[0]):
            raise ShapeMismatch(
                f"a flip node with `dims: {list(self.dims)}` reads {'sequences' if max(self.dims) == 2 else 'images'}",
                "give it some positions, or write other `dims:`",
                key="dims",
            )
        return inputs[0]


register_kind(Flip, "gromo_graph.layers.flip:TORCH")
