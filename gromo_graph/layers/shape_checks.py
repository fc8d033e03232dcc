"""Checks whose message names the module."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from gromo_graph.errors import GrowthError


class Named(Protocol):
    """Something with a name for messages."""

    name: str


def expect_shape(module: Named, what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a tensor of another shape."""
    if tuple(tensor.shape) != tuple(shape):
        raise GrowthError(f"{module.name}: {what} has shape {tuple(tensor.shape)}: expected {tuple(shape)}")
