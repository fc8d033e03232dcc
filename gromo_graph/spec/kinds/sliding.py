"""The base of kinds with a sliding kernel: their fields and the sizes that follow from them."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Shape, ShapeMismatch
from gromo_graph.spec.kinds.per_axis import (
    MOST,
    PositionsPerAxis,
    WithAxes,
    along,
    at,
    short_text,
    sizes_text,
)
from gromo_graph.spec.kinds.window import Axis, same_padding

_FORMS = {1: "a sequence [channels, length]", 2: "an image [channels, height, width]"}


def _is_margin(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST


def _read_padding(value: Any) -> Any:
    if value == "same" or _is_margin(value):
        return value
    if isinstance(value, list | tuple) and len(value) == 2 and all(_is_margin(each) for each in value):
        return tuple(value)
    raise PydanticCustomError("form", "expected a whole number from 0 to 10,000, a list of two, or same")


Padding = Annotated[int | tuple[int, ...] | Literal["same"], BeforeValidator(_read_padding)]


class Sliding(WithAxes):
    """A kernel that slides over one or two axes."""

    kernel: PositionsPerAxis = Field(description="Positions the kernel covers along each axis.")

    @property
    def taps(self) -> int:
        """Positions that the kernel covers."""
        return prod(along(self.kernel, self.dimensions))

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The kernel along each axis."""
        return tuple(self.axis(place) for place in range(self.dimensions))

    def axis(self, place: int) -> Axis:
        """The kernel along one of the axes."""
        raise NotImplementedError

    def slid(self, shape: Shape, kind: str) -> Shape:
        """The sizes of the output beside the channels.

        Raises:
            ShapeMismatch: another number of axes, or fewer positions than the kernel covers.
        """
        sizes = spatial_sizes(shape, self.dimensions, kind)
        outputs = tuple(axis.outputs(size) for axis, size in zip(self.axes, sizes, strict=True))
        for axis, size in zip(self.axes, outputs, strict=True):
            if size < 1:
                reach = axis.dilation * (axis.kernel - 1) + 1
                raise ShapeMismatch(
                    f"a kernel that covers {reach} positions needs at least {reach - axis.before - axis.after}",
                    "take a smaller kernel, more padding, or pool less before",
                    key="kernel",
                )
        return outputs


class Convolving(Sliding):
    """The fields of a convolution beside its width."""

    stride: PositionsPerAxis = Field(1, description="Positions between two outputs.")
    padding: Padding = Field(0, description="Zeros around the input; `same` keeps its size.")
    dilation: PositionsPerAxis = Field(1, description="Positions between two taps of the kernel.")

    @model_validator(mode="after")
    def _check_same(self) -> Convolving:
        if self.padding == "same" and set(along(self.stride, self.dimensions)) != {1}:
            raise PydanticCustomError(
                "contradiction",
                "`padding: same` keeps the size, which a stride above 1 does not: give a number",
            )
        return self

    def axis(self, place: int) -> Axis:
        """The kernel along one of the axes."""
        kernel, dilation = at(self.kernel, place), at(self.dilation, place)
        if self.padding == "same":
            before, after = same_padding(kernel, dilation)
        else:
            before = after = at(self.padding, place)
        return Axis(kernel, at(self.stride, place), before, after, dilation)

    @property
    def sliding_details(self) -> tuple[str, ...]:
        """Kernel, and what is not usual about it, for drawings: ("3×3", "stride 2")."""
        words = [sizes_text(self.kernel, self.dimensions)]
        words += [f"stride {short_text(self.stride)}"] if self.stride != 1 else []
        words += [f"dilation {short_text(self.dilation)}"] if self.dilation != 1 else []
        return tuple(words)


def spatial_sizes(shape: Shape, dimensions: int, kind: str) -> Shape:
    """The sizes beside the channels.

    Raises:
        ShapeMismatch: the shape has another number of axes.
    """
    if len(shape) == 1 + dimensions:
        return shape[1:]
    if len(shape) == 1:
        advice = "features in a row have no positions: read an image or a sequence, or take a `linear` node"
    elif (len(shape), dimensions) == (2, 2):
        advice = (
            f"the channels of an image come first, such as [1, {shape[0]}, {shape[1]}]; for a sequence take the "
            "1d form of the kind"
        )
    else:
        advice = f"take the {len(shape) - 1}d form of the kind"
    raise ShapeMismatch(f"a {kind} node reads {_FORMS[dimensions]}", advice)
