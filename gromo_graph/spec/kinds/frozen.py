"""The base of all sections of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from gromo_graph.errors import ArgumentError, Problem, SpecError
from gromo_graph.spec.explain import report_refusals
from gromo_graph.spec.python_values import plain, plain_scalar
from gromo_graph.spec.text.locations import Path, path_text
from gromo_graph.spec.wording import Suggester

# The types of the values in a document, which are plain as they are.
_OF_DOCUMENTS = frozenset({bool, int, float, str, type(None), list, dict})


def as_tuple(value: Any) -> Any:
    """A list of a document as a model keeps it."""
    return tuple(value) if isinstance(value, list) else value


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class _Section(ModelMetaclass):
    """Answers a wrong call of a section in Python in the words of the loader."""

    def __call__(self, *args: Any, **values: Any) -> Any:
        if args:
            raise ArgumentError(f"{self.__name__}: expected its values by their names")
        try:
            return super().__call__(**values)
        except ValidationError as error:
            raise _told(error, self, values) from None


def _told(error: ValidationError, model: Any, values: Mapping[str, Any]) -> SpecError:
    problems: list[Problem] = []

    def report(path: Path, message: str, *, key: bool = False) -> None:
        inner = path_text(path[len(model.place) :])
        problems.append(Problem(model.__name__, 0, 0, inner, message))

    report_refusals(error, plain(values), model, model.place, report=report, suggester=Suggester())
    return SpecError(problems)


class Frozen(BaseModel, metaclass=_Section):
    """A section of a spec: immutable, no unknown keys, nothing converted silently.

    Raises:
        SpecError: a call with an unknown key, or with a value of another type or out of its range.
    """

    place: ClassVar[Path] = ("nodes",)
    """Of the section in a document; one that stands in several places has the table of foreign words of nodes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,  # of most kinds a document has no node
    )

    @model_validator(mode="before")
    @classmethod
    def _read_python_values(cls, data: Any) -> Any:
        """Numbers of numpy, paths and enumerations are taken for the plain values that they stand for."""
        if not isinstance(data, dict) or _OF_DOCUMENTS.issuperset(map(type, data.values())):
            return data
        return {key: plain_scalar(value) for key, value in data.items()}
