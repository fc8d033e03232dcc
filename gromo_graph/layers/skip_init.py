"""Layers of torch whose first weights are not drawn: the compiler draws them, from a generator."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import torch

M = TypeVar("M", bound=torch.nn.Module)


def skip_init(kind: type[M], *arguments: Any, **options: Any) -> M:
    """`kind(*arguments, **options)` with any numbers as weights, and no number drawn.

    `torch.nn.utils.skip_init` does the same by way of the meta device, which takes five times as long, and half a
    second the first time.
    """
    hashed: Any = kind  # a class is hashable, which mypy does not see
    layer: M = _without_drawing(hashed)(*arguments, **options)
    layer.__class__ = kind
    return layer


@functools.cache
def _without_drawing(kind: Any) -> Any:
    return type(kind.__name__, (kind,), {"reset_parameters": lambda layer: None})
