"""`pad`: positions are put around each channel, or cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.amounts import amount
from gromo_graph.spec.kinds.base import Operation, Shape, ShapeMismatch
from gromo_graph.spec.kinds.frozen import as_tuple
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.per_axis import MOST

_Side = Annotated[int, Field(ge=-MOST, le=MOST)]


class Pad(Operation):
    """Adds positions before and after the input; a negative number crops instead.

    The order is that of torch, last axis first: [left, right] or [left, right, top, bottom].
    """

    kind: Literal["pad"] = "pad"
    padding: Annotated[tuple[_Side, ...], BeforeValidator(as_tuple), Field(min_length=2, max_length=4)] = (
        Field(description="Positions on each side: [left, right] or [left, right, top, bottom].")
    )
    mode: Literal["constant", "reflect", "replicate", "circular"] = Field(
        "constant", description="Padding values: zeros, or those of torch's mode of this name."
    )

    @model_validator(mode="after")
    def _check_sides(self) -> Pad:
        if len(self.padding) % 2:
            raise PydanticCustomError(
                "contradiction",
                "`padding` has two numbers for each axis: [left, right] or [left, right, top, bottom]",
            )
        if self.mode != "constant" and min(self.padding) < 0:
            raise PydanticCustomError("contradiction", "`mode: constant` alone can cut positions off")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """The sides, and the mode."""
        return (" ".join(map(str, self.padding)), *(() if self.mode == "constant" else (self.mode,)))

    def margins(self, axes: int) -> list[tuple[int, int]]:
        """Positions before and behind along each axis, height first."""
        pairs = list(zip(self.padding[::2], self.padding[1::2], strict=True))
        return [(0, 0)] * (axes - len(pairs)) + pairs[::-1]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, *larger sizes)."""
        channels, *sizes = inputs[0]
        if 2 * len(sizes) < len(self.padding) or not sizes:
            raise ShapeMismatch(
                "a pad node reads positions, with two numbers of `padding` for each axis",
                "give it a sequence or an image, or fewer numbers",
                key="padding",
            )
        found = []
        for size, (before, behind) in zip(sizes, self.margins(len(sizes)), strict=True):
            if size + before + behind < 1 or min(before, behind) < -size:
                raise ShapeMismatch(
                    f"{amount(size, 'position')} have nothing left", "cut off fewer positions", key="padding"
                )
            reach = {"reflect": size - 1, "circular": size}.get(self.mode)
            if reach is not None and max(before, behind) > reach:
                raise ShapeMismatch(
                    f"`mode: {self.mode}` has at most {amount(reach, 'position')} to put beside {size}",
                    "take less padding",
                    key="padding",
                )
            found.append(size + before + behind)
        return (channels, *found)


register_kind(Pad, "gromo_graph.layers.pad:TORCH")
