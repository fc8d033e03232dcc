"""The judgement of a run as its pages show it; the file that it comes from may hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shown_matrix(found: Any) -> dict[str, Any] | None:
    """A confusion matrix: `part` of the data, `classes` and `counts`, a row for each true class; None if it is none.

    >>> shown_matrix({"part": "test", "classes": ["no", "yes"], "counts": [[5, 1], [0, 3]]})["counts"][0]
    [5, 1]
    >>> shown_matrix({"classes": ["no"], "counts": [[5, 1]]}) is None
    True
    """
    if not isinstance(found, Mapping):
        return None
    classes, counts = found.get("classes"), found.get("counts")
    if not (isinstance(classes, list | tuple) and _square(counts, len(classes))):
        return None
    return {
        "part": str(found.get("part", "test")),
        "classes": [str(each) for each in classes],
        "counts": counts,
    }


def shown_notes(found: Any) -> list[str]:
    """The sentences about a run; none if they are something else."""
    return [each for each in found if isinstance(each, str)] if isinstance(found, list | tuple) else []


def _square(counts: Any, size: int) -> bool:
    """True if there are as many rows of as many whole numbers."""
    rows = counts if isinstance(counts, list | tuple) else ()
    return len(rows) == size > 0 and all(
        isinstance(row, list | tuple) and len(row) == size and all(isinstance(each, int) for each in row)
        for row in rows
    )
