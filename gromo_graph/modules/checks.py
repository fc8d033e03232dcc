"""Checks whose message names the module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from gromo_graph.errors import GrowthError

if TYPE_CHECKING:
    from gromo_graph.modules.links import Linkable


def expect_shape(module: Linkable, what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a tensor of another shape."""
    if tuple(tensor.shape) != tuple(shape):
        raise GrowthError(f"{module.name}: {what} has shape {tuple(tensor.shape)}: expected {tuple(shape)}")
