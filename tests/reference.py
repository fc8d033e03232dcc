"""Slow, obvious float64 versions of the formulas: sums row by row, full decompositions, no shortcuts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def rows_of(x: Tensor, *, constant: bool) -> list[Tensor]:
    """The rows b of an input, one tensor each, with the trailing 1 where there is a bias."""
    flat = x.detach().double().reshape(-1, x.shape[-1])
    one = torch.ones(1, dtype=torch.float64)
    return [torch.cat((row, one)) if constant else row for row in flat]


def mean_of_outer(left: list[Tensor], right: list[Tensor], samples: int) -> Tensor:
    """(1/n) Σ u vᵀ."""
    total = torch.zeros(len(left[0]), len(right[0]), dtype=torch.float64)
    for u, v in zip(left, right, strict=True):
        total += torch.outer(u, v)
    return total / samples


@dataclass(frozen=True)
class Statistics:
    """S, M, S₋₂, M_prev and C of one pair of layers."""

    s: Tensor
    m: Tensor
    s_growth: Tensor
    m_prev: Tensor
    cross: Tensor


def statistics(
    x_prev: Tensor, x: Tensor, g: Tensor, *, prev_bias: bool = True, bias: bool = True
) -> Statistics:
    """All statistics of a layer with input x, gradient g of the summed loss, and the input before it."""
    n = x.shape[0]
    b, b_prev = rows_of(x, constant=bias), rows_of(x_prev, constant=prev_bias)
    gradients = rows_of(g, constant=False)
    return Statistics(
        s=mean_of_outer(b, b, n),
        m=mean_of_outer(b, gradients, n),
        s_growth=mean_of_outer(b_prev, b_prev, n),
        m_prev=mean_of_outer(b_prev, gradients, n),
        cross=mean_of_outer(b_prev, b, n),
    )


def delta(s: Tensor, m: Tensor) -> Tensor:
    """δ (out, fan_in) by the pseudo-inverse."""
    return (torch.linalg.pinv(s.double(), hermitian=True) @ m.double()).T


def tensor_n(found: Statistics) -> Tensor:
    """N with the projected gradient."""
    return -found.m_prev + found.cross @ delta(found.s, found.m).T


def inverse_root(s: Tensor) -> Tensor:
    """S^{-1/2}, directions of (numerically) zero variance left out."""
    values, vectors = torch.linalg.eigh(s.double())
    keep = values > 1e-12 * values.max().clamp_min(1e-300)
    return (vectors[:, keep] / values[keep].sqrt()) @ vectors[:, keep].T


@dataclass(frozen=True)
class Neurons:
    """α (k, fan_in), ω (out, k), λ (k,)."""

    alpha: Tensor
    omega: Tensor
    values: Tensor


def neurons(s: Tensor, n: Tensor) -> Neurons:
    """New neurons from the singular value decomposition of S^{-1/2} N."""
    root = inverse_root(s)
    u, values, vt = torch.linalg.svd(root @ n.double(), full_matrices=False)
    return Neurons((root @ u * values.sqrt()).T, vt.T * values.sqrt(), values)


def products(alpha: Tensor, omega: Tensor) -> list[Tensor]:
    """ω_k α_k of each neuron: what does not depend on its sign."""
    return [torch.outer(omega[:, k], alpha[k]) for k in range(alpha.shape[0])]


def finite_difference(loss: Callable[[float], float], gamma: float) -> float:
    """(loss(0) − loss(γ)) / γ: the measured decrease per unit of γ."""
    return (loss(0.0) - loss(gamma)) / gamma
