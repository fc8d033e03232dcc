"""Options of kinds that slide over positions: one number for all axes, or a list of one for each."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from gromo_graph.spec.kinds.frozen import Frozen, as_tuple

MOST = 10_000

Positions = Annotated[int, Field(ge=1, le=MOST)]
Margin = Annotated[int, Field(ge=0, le=MOST)]


def form(value: Any) -> str:
    """Whether an option is one number for all axes or one for each."""
    return "each" if isinstance(value, tuple | list) else "all"


# The discriminator keeps the messages to the form that was written.
PositionsPerAxis = Annotated[
    Annotated[Positions, Tag("all")]
    | Annotated[tuple[Positions, ...], Field(min_length=2, max_length=2), Tag("each")],
    Discriminator(form),
    BeforeValidator(as_tuple),
]
MarginPerAxis = Annotated[
    Annotated[Margin, Tag("all")]
    | Annotated[tuple[Margin, ...], Field(min_length=2, max_length=2), Tag("each")],
    Discriminator(form),
    BeforeValidator(as_tuple),
]

Value = TypeVar("Value")


class WithAxes(Frozen):
    """A kind for positions along one or two axes; a list gives each axis a number of its own, height first."""

    dimensions: ClassVar[int]
    """Axes beside the channels."""

    @model_validator(mode="after")
    def _check_axes(self) -> WithAxes:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if self.dimensions == 1 and isinstance(value, tuple) and name not in ("sources", "margins"):
                raise PydanticCustomError(
                    "contradiction", "`{name}` is one number here, for there is one axis", {"name": name}
                )
        return self


def at(value: Value | tuple[Value, ...], axis: int) -> Value:
    """An option along one axis.

    >>> at((1, 7), 1), at(3, 1)
    (7, 3)
    """
    return value[axis] if isinstance(value, tuple) else value


def along(value: Value | tuple[Value, ...], axes: int) -> tuple[Value, ...]:
    """An option along each axis."""
    return tuple(at(value, axis) for axis in range(axes))


def sizes_text(value: int | tuple[int, ...], axes: int) -> str:
    """An option in a drawing.

    >>> sizes_text(3, 2), sizes_text((1, 7), 2), sizes_text(3, 1)
    ('3×3', '1×7', '3')
    """
    return "×".join(map(str, along(value, axes)))


def short_text(value: int | tuple[int, ...]) -> str:
    """The same, and one number if it is the same along all axes."""
    return sizes_text(value, len(value)) if isinstance(value, tuple) else str(value)
