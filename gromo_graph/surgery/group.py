"""The places of a width group in its operations, and copies of modules that share the old parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers import operations_with_repeats

Module = TypeVar("Module", bound=torch.nn.Module)


@dataclass(frozen=True)
class Insertion:
    """New features of a group at an operation.

    Attributes:
        index: of the operation in its function. at: features before the new ones, with those of the group as it was.
        size: how many are new.
    """

    operation: torch.nn.Module
    index: int
    at: int
    size: int


def insertions(
    function: torch.nn.Module, positions: int, place: GroupPlace, size: int
) -> Iterator[Insertion]:
    """The places of the new features of a place, for each operation of a function.

    Args:
        positions: values that a flatten in the function makes of each feature, else 1. size: new channels of the group.
    """
    repeat, start = place.repeat // positions, place.start // positions
    for index, (operation, times) in enumerate(operations_with_repeats(function, positions)):
        repeat, start = repeat * times, start * times
        yield Insertion(operation, index, start + place.width * repeat, size * repeat)


def features_of(place: GroupPlace, channels: Tensor, positions: int = 1) -> Tensor:
    """The features that some channels of a group are at a place, (channels, repeat).

    Args:
        positions: as for `insertions`, for the features before the function; 1 for those of the output.
    """
    start, repeat = place.start // positions, place.repeat // positions
    return start + channels[:, None] * repeat + torch.arange(repeat)


def light_copy(module: Module) -> Module:
    """A module with the same parameters and buffers, which can get others without a change of the given one."""
    new = copy.copy(module)
    new.__dict__.update(
        {name: value.copy() for name, value in vars(module).items() if isinstance(value, dict | set)}
    )
    return new


def take_over(old: torch.nn.Module, new: torch.nn.Module) -> None:
    """Give a module all that a copy of it has become; whoever holds the module sees the change."""
    old.__dict__.update(new.__dict__)
