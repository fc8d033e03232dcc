"""`max_pool*`, `avg_pool*`, `adaptive_avg_pool*`: neighbouring positions become one, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Operation, Shape
from gromo_graph.spec.kinds.sliding import Positions, Sliding, spatial_sizes
from gromo_graph.spec.kinds.window import Axis


class Pool(Sliding, Operation):
    """A pool with a window."""

    stride: Positions | None = Field(
        None, description="Positions between two windows; by default the kernel."
    )
    padding: Annotated[int, Field(ge=0)] = Field(0, description="Positions added around the input.")

    @model_validator(mode="after")
    def _check_padding(self) -> Pool:
        if 2 * self.padding > self.kernel:
            raise PydanticCustomError(
                "contradiction",
                "a padding of {padding} is more than half of the kernel of {kernel}: a window would see padding alone",
                {"padding": self.padding, "kernel": self.kernel},
            )
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Kernel and stride."""
        kernel = "×".join([str(self.kernel)] * self.dimensions)
        return (kernel,) if self.stride in (None, self.kernel) else (kernel, f"stride {self.stride}")

    def axis(self) -> Axis:
        """The window along any of the axes."""
        return Axis(self.kernel, self.stride or self.kernel, self.padding, self.padding)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, *sizes)."""
        return (inputs[0][0], *self.slid(inputs[0], self.kind))


class MaxPool1d(Pool):
    """The largest value of each window of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["max_pool1d"] = "max_pool1d"


class MaxPool2d(Pool):
    """The largest value of each window of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["max_pool2d"] = "max_pool2d"


class AvgPool1d(Pool):
    """The mean of each window of a sequence, zeros of the padding included."""

    dimensions: ClassVar[int] = 1
    kind: Literal["avg_pool1d"] = "avg_pool1d"


class AvgPool2d(Pool):
    """The mean of each window of an image, zeros of the padding included."""

    dimensions: ClassVar[int] = 2
    kind: Literal["avg_pool2d"] = "avg_pool2d"


class AdaptivePool(Operation):
    """As many windows as are asked for, whatever the input's size."""

    dimensions: ClassVar[int]
    size: Positions = Field(1, description="Positions of the output along each axis; 1 is the global mean.")

    @property
    def details(self) -> tuple[str, ...]:
        """Size of the output."""
        return ("to " + "×".join([str(self.size)] * self.dimensions),)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, size, ...)."""
        spatial_sizes(inputs[0], self.dimensions, self.kind)
        return (inputs[0][0], *([self.size] * self.dimensions))


class AdaptiveAvgPool1d(AdaptivePool):
    """Means of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["adaptive_avg_pool1d"] = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(AdaptivePool):
    """Means of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["adaptive_avg_pool2d"] = "adaptive_avg_pool2d"
