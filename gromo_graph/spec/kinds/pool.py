"""The base of pools with a window: neighbouring positions become one, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Family, Operation, Shape
from gromo_graph.spec.kinds.per_axis import MarginPerAxis, PositionsPerAxis, at, short_text, sizes_text
from gromo_graph.spec.kinds.sliding import Sliding
from gromo_graph.spec.kinds.window import Axis


class Pool(Sliding, Operation):
    """A pool with a window: (channels, *sizes) becomes (channels, *smaller sizes)."""

    family: ClassVar[Family] = "pool"

    stride: PositionsPerAxis | None = Field(
        None, description="Positions between two windows; by default the kernel."
    )
    padding: MarginPerAxis = Field(0, description="Positions added around the input.")
    ceil_mode: bool = Field(
        False, description="Include a last window that starts inside the input and extends beyond its end."
    )

    @model_validator(mode="after")
    def _check_padding(self) -> Pool:
        for place in range(self.dimensions):
            padding, kernel = at(self.padding, place), at(self.kernel, place)
            if 2 * padding > kernel:
                raise PydanticCustomError(
                    "contradiction",
                    "a padding of {padding} is more than half of the kernel of {kernel}: a window would see padding "
                    "alone",
                    {"padding": padding, "kernel": kernel},
                )
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Kernel and stride."""
        kernel = sizes_text(self.kernel, self.dimensions)
        return (
            (kernel,) if self.stride in (None, self.kernel) else (kernel, f"stride {short_text(self.stride)}")
        )

    def axis(self, place: int) -> Axis:
        """The window along one of the axes."""
        kernel, padding = at(self.kernel, place), at(self.padding, place)
        stride = kernel if self.stride is None else at(self.stride, place)
        return Axis(kernel, stride, padding, padding, ceil_mode=self.ceil_mode)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(channels, *sizes)."""
        return (inputs[0][0], *self.slid(inputs[0], self.kind))
