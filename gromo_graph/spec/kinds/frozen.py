"""The base of all sections of a spec."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from gromo_graph.spec.python_values import plain_scalar

# The types of the values in a document, which are plain as they are.
_OF_DOCUMENTS = frozenset({bool, int, float, str, type(None), list, dict})


def as_tuple(value: Any) -> Any:
    """A list of a document as a model keeps it."""
    return tuple(value) if isinstance(value, list) else value


class Frozen(BaseModel):
    """A section of a spec: immutable, no unknown keys, nothing converted silently."""

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
