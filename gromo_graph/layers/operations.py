"""The operations of a function between layers, in the order in which they apply."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gromo_graph.layers.torch_half_lookup import operation_adapter


def operations_of(function: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The operations of a function in the order they apply; sequences are followed, identities left out.

    >>> list(operations_of(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Identity())))
    [ReLU()]
    """
    if isinstance(function, torch.nn.Sequential):
        for member in function:
            yield from operations_of(member)
    elif not isinstance(function, torch.nn.Identity):
        yield function


def operations_with_repeats(
    function: torch.nn.Module, positions: int
) -> Iterator[tuple[torch.nn.Module, int]]:
    """Each operation with the number of features it makes of each channel: only the first flatten finds positions.

    >>> [repeat for _, repeat in operations_with_repeats(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU()), 4)]
    [4, 1]
    """
    for operation in operations_of(function):
        flattens = operation_adapter(operation).flattens
        yield operation, positions if flattens else 1
        if flattens:
            positions = 1
