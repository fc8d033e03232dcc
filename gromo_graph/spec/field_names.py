"""The keys a model reads, by the names an author writes."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

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


def _model_in(annotation: Any) -> Model | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
