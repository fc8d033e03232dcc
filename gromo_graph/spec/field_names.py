"""The keys a model reads, by the names an author writes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Model = type[BaseModel]


def field_of(model: Model, key: str) -> FieldInfo | None:
    """The field that the key `key` fills, or None."""
    for name, field in model.model_fields.items():
        if (field.alias or name) == key:
            return field
    return None


@cache  # a model's fields never change
def keys_of(model: Model) -> tuple[str, ...]:
    """The keys of a section, in the order they are written.

    >>> from gromo_graph.spec.kinds import KINDS
    >>> keys_of(KINDS["dropout"])
    ('kind', 'from', 'p', 'drop')
    """
    return tuple(
        field.alias or name
        for name, field in model.model_fields.items()
        if field.exclude is not True  # such a field exists in Python alone
    )


def section_of(model: Model, key: str) -> Model | None:
    """The model of the map under `key`, or None if it has a plain value."""
    field = field_of(model, key)
    return None if field is None else _model_in(field.annotation)


def forms_of(annotation: Any) -> Iterator[Any]:
    """The forms that a value may have: each member of a union, not those inside a list or a map.

    >>> list(forms_of(Annotated[float, "most"] | Literal["auto"]))
    [<class 'float'>, typing.Literal['auto']]
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from forms_of(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from forms_of(member)
    else:
        yield annotation


def words_of(annotation: Any) -> tuple[str, ...]:
    """The words that a value may be.

    >>> words_of(int | Literal["auto", "none"])
    ('auto', 'none')
    """
    literals = (form for form in forms_of(annotation) if get_origin(form) is Literal)
    return tuple(word for form in literals for word in get_args(form) if isinstance(word, str))


def number_of(annotation: Any) -> str | None:
    """The kind of number that a value may be, with its article; None if it is no number.

    >>> number_of(float | Literal["auto"]), number_of(int | None), number_of(list[int])
    ('a number', 'an integer', None)
    """
    forms = list(forms_of(annotation))
    return "a number" if float in forms else "an integer" if int in forms else None


def _model_in(annotation: Any) -> Model | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
