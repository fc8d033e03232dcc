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
    return _empty(shape, reference).uniform_(-bound, bound, generator=generator)


def copy_variance(
    shape: Sequence[int], reference: Tensor, fan_in: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """A new tensor with a uniform law of the same standard deviation as a reference; arguments of `copy_uniform`.

    Returns:
        Values in ±√3·std(reference), or ±1/√fan_in if the reference is constant or has one entry.

    >>> copy_variance((2,), torch.tensor([-1.0, 1.0, 0.0]), fan_in=4).abs().max() <= 3**0.5
    tensor(True)
    """
    bound = 3.0**0.5 * _spread(reference) or max(fan_in, 1) ** -0.5
    return _empty(shape, reference).uniform_(-bound, bound, generator=generator)


def copy_normal(
    shape: Sequence[int], reference: Tensor, fan_in: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """A new tensor with a normal law of the same standard deviation as a reference; arguments of `copy_uniform`.

    Returns:
        Values with std(reference), or with 1/√(3 fan_in) if the reference is constant or has one entry.
    """
    std = _spread(reference) or (3.0 * max(fan_in, 1)) ** -0.5
    return _empty(shape, reference).normal_(0.0, std, generator=generator)


def kaiming_uniform(
    shape: Sequence[int], reference: Tensor, fan_in: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """A new tensor with a uniform law of variance 2 / fan_in, for ReLU; arguments of `copy_uniform`.

    >>> kaiming_uniform((2,), torch.zeros(3), fan_in=6).abs().max() <= 1.0
    tensor(True)
    """
    bound = (6.0 / max(fan_in, 1)) ** 0.5
    return _empty(shape, reference).uniform_(-bound, bound, generator=generator)


def kaiming_normal(
    shape: Sequence[int], reference: Tensor, fan_in: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """A new tensor with a normal law of variance 2 / fan_in, for ReLU; arguments of `copy_uniform`."""
    return _empty(shape, reference).normal_(0.0, (2.0 / max(fan_in, 1)) ** 0.5, generator=generator)


def orthogonal(
    shape: Sequence[int], reference: Tensor, fan_in: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """A new tensor whose rows are orthonormal, its columns if there are more rows; arguments of `copy_uniform`.

    A tensor of several dimensions is taken for the matrix (first, all others). One of a single dimension is a bias,
    and gets zeros.

    >>> weight = orthogonal((2, 3), torch.zeros(3), fan_in=3)
    >>> torch.allclose(weight @ weight.T, torch.eye(2), atol=1e-6)
    True
    """
    new = _empty(shape, reference)
    if new.dim() < 2 or not new.numel():
        return new.zero_()
    return torch.nn.init.orthogonal_(new, generator=generator)


def zeros(
    shape: Sequence[int], reference: Tensor, fan_in: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """A new tensor of zeros like the reference; same arguments as `copy_uniform`.

    >>> zeros((2,), torch.ones(3), fan_in=4)
    tensor([0., 0.])
    """
    return torch.zeros(tuple(shape), dtype=reference.dtype, device=reference.device)


KNOWN_INITIALIZATIONS: dict[str, Initialization] = {
    "copy_normal": copy_normal,
    "copy_uniform": copy_uniform,
    "copy_variance": copy_variance,
    "kaiming_normal": kaiming_normal,
    "kaiming_uniform": kaiming_uniform,
    "orthogonal": orthogonal,
    "zeros": zeros,
}


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


def _empty(shape: Sequence[int], reference: Tensor) -> Tensor:
    return torch.empty(tuple(shape), dtype=reference.dtype, device=reference.device)


def _spread(reference: Tensor) -> float:
    if reference.numel() < 2:
        return 0.0
    spread = float(reference.detach().float().std())
    return spread if spread > 0.0 else 0.0
