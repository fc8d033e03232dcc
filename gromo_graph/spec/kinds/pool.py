"""The base of pools with a window: neighbouring positions become one, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.base import Family, Operation, Shape
from gromo_graph.spec.kinds.sliding import Positions, Sliding
from gromo_graph.spec.kinds.window import Axis


class Pool(Sliding, Operation):
    """A pool with a window: (channels, *sizes) becomes (channels, *smaller sizes)."""

    family: ClassVar[Family] = "pool"

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
