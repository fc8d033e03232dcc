"""Factors that bring pending weights to a wanted standard deviation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gromo_graph.errors import GrowthError


@dataclass(frozen=True)
class Spreads:
    """Standard deviations of pending weights; None if there is nothing, or nothing but zeros.

    Attributes:
        delta: of the optimal delta. fan_out: of ω (the extension of the layer's input).
        fan_in: of α (the extension of the previous layer's output).
    """

    delta: float | None
    fan_out: float | None
    fan_in: float | None


@dataclass(frozen=True)
class Factors:
    """The factors of the pending weights, named as in `Spreads`."""

    delta: float
    fan_out: float
    fan_in: float


def spread_of(weight: Tensor | None) -> float | None:
    """Standard deviation of all entries; the magnitude of a single one; None if it is zero.

    >>> import torch
    >>> spread_of(torch.tensor([0.0, 2.0, 4.0])), spread_of(torch.zeros(3)), spread_of(None)
    (2.0, None, None)
    """
    if weight is None or weight.numel() == 0:
        return None
    values = weight.detach()
    spread = float(values.std() if values.numel() > 1 else values.abs().sum())
    return spread if spread > 0.0 else None


def normalization_factors(kind: str, spreads: Spreads, target: float, before: float | None = None) -> Factors:
    """The factors of one kind of normalization.

    Args:
        kind: one of
            "equalize_second_layer": delta and ω get the target, α what keeps α·ω in step with delta;
            "equalize_extensions": ω and α get the target, delta what keeps it in step with α·ω;
            "legacy_normalization": delta gets the target, α takes the factor that would bring ω there;
            "match_extending_layer": delta and ω get the target, α that of the layer before.
        spreads: as they are. A missing one takes the factor 1.
        target: the wanted standard deviation, positive. before: that of the layer whose outputs α extends, if it is
            another.

    Raises:
        GrowthError: unknown kind, or a target that is not positive.

    >>> normalization_factors("equalize_extensions", Spreads(1.0, 2.0, 4.0), 1.0)
    Factors(delta=0.125, fan_out=0.5, fan_in=0.25)
    """
    if kind not in NORMALIZATIONS:
        known = ", ".join(sorted(NORMALIZATIONS))
        raise GrowthError(f"unknown normalization {kind!r}: expected one of {known}")
    if not target > 0.0:
        raise GrowthError(f"the target standard deviation is {target}: expected a positive number")
    return NORMALIZATIONS[kind](spreads, target, target if before is None else before)


def _to(target: float, spread: float | None) -> float:
    return 1.0 if spread is None else target / spread


def _equalize_second_layer(spreads: Spreads, target: float, before: float) -> Factors:
    delta, fan_out = _to(target, spreads.delta), _to(target, spreads.fan_out)
    return Factors(delta, fan_out, delta / fan_out)


def _equalize_extensions(spreads: Spreads, target: float, before: float) -> Factors:
    fan_out, fan_in = _to(target, spreads.fan_out), _to(target, spreads.fan_in)
    return Factors(fan_out * fan_in, fan_out, fan_in)


def _legacy(spreads: Spreads, target: float, before: float) -> Factors:
    return Factors(_to(target, spreads.delta), 1.0, _to(target, spreads.fan_out))


def _match_extending_layer(spreads: Spreads, target: float, before: float) -> Factors:
    return Factors(_to(target, spreads.delta), _to(target, spreads.fan_out), _to(before, spreads.fan_in))


NORMALIZATIONS: dict[str, Callable[[Spreads, float, float], Factors]] = {
    "equalize_extensions": _equalize_extensions,
    "equalize_second_layer": _equalize_second_layer,
    "legacy_normalization": _legacy,
    "match_extending_layer": _match_extending_layer,
}
