"""Types of recorded values, and what is wrong with values of other types in a few words."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator


def _or_null(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return None if value is None else handler(value)


Count = Annotated[int, Field(ge=0)]
"""A whole number from 0."""

Epochs = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number from 0, such as epochs with a part of one."""

Loss = Annotated[float, WrapValidator(_or_null)]
"""A loss; JSON has no infinite numbers, and one that was infinite or NaN comes back as None."""


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found wrong: where, and what was expected.

    >>> from pydantic import TypeAdapter
    >>> try:
    ...     TypeAdapter(dict[str, int]).validate_python({"a": "x"}, strict=True)
    ... except ValidationError as error:
    ...     first_problem(error)
    'a: input should be a valid integer'
    """
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    words = first["msg"][:1].lower() + first["msg"][1:]
    return f"{place}: {words}" if place else words
