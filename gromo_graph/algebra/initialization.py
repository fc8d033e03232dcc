"""First values of weights that are added without being solved for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError

Initialization = Callable[..., Tensor]


def copy_uniform(
    shape: Sequence[int], reference: Tensor, fan_in: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """A new tensor with a uniform law whose bound follows the spread of a reference.

    Args:
        shape: of the new tensor. reference: its dtype and device are taken, and its standard deviation.
        fan_in: number of input features, used if the reference has no spread to copy.
        generator: source of random numbers; None takes torch's default one.

    Returns:
        Values in ±√std(reference), or ±1/√fan_in if the reference is constant or has one entry.

    >>> copy_uniform((2,), torch.zeros(4), fan_in=4).abs().max() <= 0.5
    tensor(True)
    """
    bound = _spread(reference) ** 0.5 or max(fan_in, 1) ** -0.5
    empty = torch.empty(tuple(shape), dtype=reference.dtype, device=reference.device)
    return empty.uniform_(-bound, bound, generator=generator)


def zeros(
    shape: Sequence[int], reference: Tensor, fan_in: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """A new tensor of zeros like the reference; same arguments as `copy_uniform`.

    >>> zeros((2,), torch.ones(3), fan_in=4)
    tensor([0., 0.])
    """
    return torch.zeros(tuple(shape), dtype=reference.dtype, device=reference.device)


KNOWN_INITIALIZATIONS: dict[str, Initialization] = {"copy_uniform": copy_uniform, "zeros": zeros}


def initialization(name: str) -> Initialization:
    """The initialization of that name.

    Raises:
        GrowthError: there is none; the message lists those there are.

    >>> initialization("zeros") is zeros
    True
    """
    if name not in KNOWN_INITIALIZATIONS:
        known = ", ".join(sorted(KNOWN_INITIALIZATIONS))
        raise GrowthError(f"unknown initialization {name!r}: expected one of {known}")
    return KNOWN_INITIALIZATIONS[name]


def _spread(reference: Tensor) -> float:
    if reference.numel() < 2:
        return 0.0
    spread = float(reference.detach().float().std())
    return spread if spread > 0.0 else 0.0
