"""`roll`: positions move along, and those that leave at one end come back at the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from gromo_graph.spec.kinds.base import Operation, Shape, ShapeMismatch
from gromo_graph.spec.kinds.frozen import as_tuple
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.per_axis import MOST, form, short_text

_Shift = Annotated[int, Field(ge=-MOST, le=MOST)]


class Roll(Operation):
    """Moves positions along each axis, as torch's `roll`; new channels pass it."""

    kind: Literal["roll"] = "roll"
    shifts: Annotated[
        Annotated[_Shift, Tag("all")]
        | Annotated[tuple[_Shift, ...], Field(min_length=2, max_length=2), Tag("each")],
        Discriminator(form),
        BeforeValidator(as_tuple),
    ] = Field(
        description="Positions to move by, to the end or, below 0, to the front; a list gives each axis a number, "
        "height first."
    )

    @property
    def details(self) -> tuple[str, ...]:
        """The shifts."""
        if isinstance(self.shifts, tuple):
            return (" ".join(map(str, self.shifts)),)
        return (short_text(self.shifts),)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the input.

        Raises:
            ShapeMismatch: it has no positions, or not as many axes as there are numbers.
        """
        axes = len(inputs[0]) - 1
        if not axes or (axes == 1 and isinstance(self.shifts, tuple)):
            raise ShapeMismatch(
                f"a roll node with `shifts: {self.details[0]}` reads {'images' if axes else 'positions'}",
                "write one number for a sequence" if axes else "put it before the `flatten`, or take it out",
                key="shifts",
            )
        return inputs[0]


register_kind(Roll, "gromo_graph.layers.roll:TORCH")
