"""Values of Python and numpy as a document would have them: a numpy integer is an integer, a path is a text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import Any

_PLAIN = frozenset({bool, int, float, str, type(None)})


def plain(value: Any) -> Any:
    """The value that a document would have, mappings and lists as a whole.

    >>> from pathlib import PurePosixPath
    >>> plain({"shape": (3, 4), "data": PurePosixPath("sets/a.csv")})
    {'shape': [3, 4], 'data': 'sets/a.csv'}
    """
    if isinstance(value, Mapping):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return plain_scalar(value)


def plain_scalar(value: Any) -> Any:
    """The plain value of an enumeration, a path, or a number or an array of numpy or torch; others stay as they are."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "shape") and hasattr(value, "tolist"):
        return value.tolist()
    return value
