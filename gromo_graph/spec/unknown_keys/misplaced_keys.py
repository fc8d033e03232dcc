"""The places of a key that stands in a section of another level than its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from gromo_graph.spec.field_names import Model, field_of, forms_of, keys_of
from gromo_graph.spec.text.locations import UNKNOWN, Path, path_text
from gromo_graph.spec.wording import folded

# Levels up and down from a section to the place of its key; farther away the same word says something else.
_FARTHEST = 3
# What a value of the right form may be refused for.
_BOUNDS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"})


@dataclass(frozen=True)
class Tree:
    """A section with all sections inside it.

    Attributes:
        path: of the section, () for a whole document. model: of the section.
    """

    path: Path
    model: Model


def place_in_words(key: str, section: Path, around: Tree, value: Any = UNKNOWN) -> str | None:
    """The nearest places of a key in words; None if no section near by has it.

    Args:
        section: the path of the section that it stands in. around: what is searched.
        value: of the key; sections that take no value of such a form are left out.
    """
    found = places_of(key, section, around, value)
    if not found:
        return None
    *others, last = map(_named, found)
    return f"{', '.join(others)} or {last}" if others else last


def _named(place: Path) -> str:
    return f"`{path_text(place)}`{' at the top of the document' if len(place) == 1 else ''}"


def places_of(key: str, section: Path, around: Tree, value: Any = UNKNOWN) -> list[Path]:
    """The nearest places of a key; the arguments are those of `place_in_words`.

    >>> from gromo_graph.spec.settings import Growth
    >>> places_of("beyond", ("growth", "stop"), Tree(("growth",), Growth))
    [('growth', 'beyond')]
    >>> places_of("steps", ("growth",), Tree(("growth",), Growth))
    [('growth', 'when', 'steps'), ('growth', 'stop', 'steps')]
    """
    found: dict[Path, int] = {}
    for inner, model, known in _sections_with(around.model).get(folded(key), ()):
        path = (*around.path, *inner)
        levels = _levels_between(section, path)
        if 0 < levels <= _FARTHEST and _takes(model, known, value):
            found[*path, known] = levels
    nearest = min(found.values(), default=0)
    return [path for path, levels in found.items() if levels == nearest]


@cache  # a model's fields never change, and a document may hold thousands of unknown keys
def _sections_with(model: Model) -> Mapping[str, Sequence[tuple[Path, Model, str]]]:
    """For each key, folded, the sections inside a section that have it: path, model, and the key as it is written."""
    found: dict[str, list[tuple[Path, Model, str]]] = {}
    for path, section in _sections((), model):
        for key in keys_of(section):
            found.setdefault(folded(key), []).append((path, section, key))
    return found


def _sections(path: Path, model: Model) -> Iterator[tuple[Path, Model]]:
    """A section, and each one inside it."""
    yield path, model
    for key in keys_of(model):
        field = field_of(model, key)
        for form in forms_of(None if field is None else field.annotation):
            if isinstance(form, type) and issubclass(form, BaseModel):
                yield from _sections((*path, key), form)


def _levels_between(one: Path, other: Path) -> int:
    """Levels up to the section that holds both, and down again."""
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return len(one) + len(other) - 2 * same


def _takes(model: Model, key: str, value: Any) -> bool:
    """True if a section takes values of such a form under a key, whatever their size."""
    if value is UNKNOWN:
        return True
    try:
        model.model_validate({key: value})
    except ValidationError as error:
        details = error.errors(include_url=False)
        return all(each["loc"][:1] != (key,) or each["type"] in _BOUNDS for each in details)
    return True
