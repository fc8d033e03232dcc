"""`fixed`: a module of PyTorch that was imported as it is. It exists in Python alone; no document can name it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from gromo_graph.spec.kinds.base import Node, Shape, ShapeMismatch, WidthRule


class Fixed(Node):
    """An imported module: features can grow neither before nor behind it.

    Attributes:
        module: the class of the module, for drawings. takes: shapes of what it reads. shape: of its output.
        parameters: its trainable numbers.
    """

    width_rule: ClassVar[WidthRule] = WidthRule.FIXED
    drawn_as: ClassVar[Literal["input", "layer", "merge", "operation"]] = "operation"
    max_sources: ClassVar[int | None] = None

    kind: Literal["fixed"] = "fixed"
    module: str
    takes: tuple[Shape, ...]
    shape: Shape
    parameters: int

    @property
    def details(self) -> tuple[str, ...]:
        """The class of the module."""
        return (self.module,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape that was seen at the import."""
        if tuple(inputs) != self.takes:
            wanted = " and ".join(str(list(shape)) for shape in self.takes)
            raise ShapeMismatch(
                f"this {self.module} was imported to read {wanted}", "leave what it reads as it was"
            )
        return self.shape

    def why_ends(self, name: str) -> tuple[str, str]:
        """It was imported as it is."""
        return (
            f"the imported module `{name}` reads it as it is",
            f"its width is that of the imported module `{name}`",
        )

    def parameter_count(self, inputs: Sequence[Shape]) -> int:
        """As many as it had when it was imported."""
        return self.parameters
