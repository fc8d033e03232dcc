"""The base of kinds with a sliding kernel: their fields and the sizes that follow from them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Shape, ShapeMismatch
from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.kinds.window import Axis, same_padding

Positions = Annotated[int, Field(ge=1, le=10_000)]

_FORMS = {1: "a sequence [channels, length]", 2: "an image [channels, height, width]"}


def _read_padding(value: Any) -> Any:
    if value == "same" or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10_000):
        return value
    raise PydanticCustomError("form", "expected a whole number from 0 to 10,000 or same")


Padding = Annotated[int | Literal["same"], BeforeValidator(_read_padding)]


class Sliding(Frozen):
    """A kernel that slides over one or two axes, the same along each."""

    dimensions: ClassVar[int]
    """Axes beside the channels."""

    kernel: Positions = Field(description="Positions the kernel covers along each axis.")

    def axis(self) -> Axis:
        """The kernel along any of the axes."""
        raise NotImplementedError

    def slid(self, shape: Shape, kind: str) -> Shape:
        """The sizes of the output beside the channels.

        Raises:
            ShapeMismatch: another number of axes, or fewer positions than the kernel covers.
        """
        sizes = spatial_sizes(shape, self.dimensions, kind)
        axis = self.axis()
        outputs = tuple(axis.outputs(size) for size in sizes)
        if min(outputs) < 1:
            reach = axis.dilation * (axis.kernel - 1) + 1
            raise ShapeMismatch(
                f"a kernel that covers {reach} positions needs at least {reach - axis.before - axis.after}",
                "take a smaller kernel, more padding, or pool less before",
                key="kernel",
            )
        return outputs


class Convolving(Sliding):
    """The fields of a convolution beside its width."""

    stride: Positions = Field(1, description="Positions between two outputs.")
    padding: Padding = Field(0, description="Zeros around the input; `same` keeps its size.")
    dilation: Positions = Field(1, description="Positions between two taps of the kernel.")

    @model_validator(mode="after")
    def _check_same(self) -> Convolving:
        if self.padding == "same" and self.stride != 1:
            raise PydanticCustomError(
                "contradiction",
                "`padding: same` keeps the size, which a stride above 1 does not: give a number",
            )
        return self

    def axis(self) -> Axis:
        """The kernel along any of the axes."""
        if self.padding == "same":
            before, after = same_padding(self.kernel, self.dilation)
        else:
            before = after = self.padding
        return Axis(self.kernel, self.stride, before, after, self.dilation)

    @property
    def sliding_details(self) -> tuple[str, ...]:
        """Kernel, and what is not usual about it, for drawings: ("3×3", "stride 2")."""
        words = ["×".join([str(self.kernel)] * self.dimensions)]
        words += [f"stride {self.stride}"] if self.stride != 1 else []
        words += [f"dilation {self.dilation}"] if self.dilation != 1 else []
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
