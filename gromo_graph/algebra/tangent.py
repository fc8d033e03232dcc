"""One-sided derivatives of elementwise functions, measured instead of looked up.

New neurons start at zero output weight, so all that matters of an activation at first order is how it
leaves the value of the new channel to the right and to the left. It is measured on the module itself,
so activations that nobody thought of, and those with parameters, are right too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError

# Steps 2⁻⁷ ... 2⁻¹¹: five levels of Richardson cancel the errors up to h⁴; smaller steps would only
# add rounding, larger ones might step over a kink nearby.
_STEPS = tuple(2.0**-k for k in range(7, 12))
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Tangent:
    """A function near one point: σ(x + t) ≈ value + right·max(t, 0) + left·min(t, 0).

    Attributes:
        value: σ(x). left, right: its derivatives from the left and from the right.
    """

    value: float
    left: float
    right: float

    def apply(self, t: Tensor) -> Tensor:
        """τ(t) = right·max(t, 0) + left·min(t, 0), any shape.

        >>> Tangent(0.0, 0.5, 1.0).apply(torch.tensor([-2.0, 3.0]))
        tensor([-1.,  3.])
        """
        return self.right * t.clamp_min(0) + self.left * t.clamp_max(0)

    @property
    def has_kink(self) -> bool:
        """True if the two derivatives differ by more than they are measured to."""
        return abs(self.right - self.left) > 2.0 * _TOLERANCE * max(1.0, abs(self.left), abs(self.right))

    def then(self, outer: Tangent) -> Tangent:
        """The tangent of outer ∘ self; outer must have been taken at self.value.

        >>> Tangent(0.0, -2.0, 1.0).then(Tangent(0.0, 0.0, 1.0))  # relu after something with a minimum
        Tangent(value=0.0, left=-2.0, right=1.0)
        """
        # Moving left by |t| moves the inner value by −left·|t|: upwards if left is negative.
        left = (outer.left if self.left > 0 else outer.right) * self.left
        right = (outer.right if self.right > 0 else outer.left) * self.right
        return Tangent(outer.value, left, right)


IDENTITY_TANGENT = Tangent(0.0, 1.0, 1.0)


def tangent_of(function: Callable[[Tensor], Tensor], at: float = 0.0) -> Tangent:
    """Measure the tangent of an elementwise function in float64 and evaluation mode.

    Args:
        function: any torch module that acts elementwise, or a plain function of a tensor. A Sequential
            is followed step by step, each member's tangent taken where the one before it left the value.
        at: the point, the channel's value before any growth.

    Raises:
        GrowthError: it does not act elementwise, or has no one-sided derivatives there.

    >>> tangent_of(torch.nn.ReLU())
    Tangent(value=0.0, left=0.0, right=1.0)
    >>> tangent = tangent_of(torch.nn.Sequential(torch.nn.Sigmoid(), torch.nn.Tanh()))
    >>> round(tangent.right, 3)
    0.197
    """
    if isinstance(function, torch.nn.Identity):
        return Tangent(at, 1.0, 1.0)
    if isinstance(function, torch.nn.Sequential):
        tangent = Tangent(at, 1.0, 1.0)
        for member in function:
            tangent = tangent.then(tangent_of(member, tangent.value))
        return tangent
    key = _fingerprint(function, at) if isinstance(function, torch.nn.Module) else None
    if key is None:
        return _measured(function, at)
    known = _MEASURED.setdefault(key[0], {})
    if key[1] not in known:
        known[key[1]] = _measured(function, at)
    return known[key[1]]


_MEASURED: WeakKeyDictionary[torch.nn.Module, dict[tuple[object, ...], Tangent]] = WeakKeyDictionary()
"""Tangents of activations that have no state but a few plain values, by these values."""
_OF_ANY_MODULE = frozenset(vars(torch.nn.Module())) - {"training"}


def _fingerprint(function: torch.nn.Module, at: float) -> tuple[torch.nn.Module, tuple[object, ...]] | None:
    """The function and all else that a tangent depends on, None if that cannot be told from outside."""
    if [*function.children(), *function.parameters(), *function.buffers()]:
        return None
    own = {name: value for name, value in vars(function).items() if name not in _OF_ANY_MODULE}
    if not all(isinstance(value, int | float | str | bool) or value is None for value in own.values()):
        return None
    return function, (at, *own.items())


def _measured(function: Callable[[Tensor], Tensor], at: float) -> Tangent:
    measured = _reference_copy(function)
    steps = torch.tensor((0.0, *_STEPS, *(-step for step in _STEPS)), dtype=torch.float64)
    points = at + steps
    values = _evaluate(measured, points)
    value = values[0]
    count = len(_STEPS)
    right = (values[1 : count + 1] - value) / (points[1 : count + 1] - points[0])
    left = (values[count + 1 :] - value) / (points[count + 1 :] - points[0])
    return Tangent(float(value), _richardson(left, function, at), _richardson(right, function, at))


def _reference_copy(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if isinstance(function, torch.nn.Module):
        if not function.training and not [*function.parameters(), *function.buffers()]:
            return function  # it is already what the copy would be
        return copy.deepcopy(function).to("cpu", torch.float64).eval()
    return function


def _evaluate(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """The function at the points, as samples of one feature and as features of one sample."""
    try:
        with torch.no_grad():
            as_samples = function(points.clone()[:, None])[:, 0]
            as_features = function(points.clone()[None, :])[0]
        elementwise = torch.allclose(as_samples, as_features, rtol=1e-12, atol=1e-12)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise GrowthError(
            f"{function} cannot be followed through growth: expected a function that acts on each "
            f"element alone, found one that fails on single features ({error})"
        ) from error
    if not elementwise:
        raise GrowthError(
            f"{function} cannot be followed through growth: expected a function that acts on each element "
            "alone, found one that mixes the elements or is not finite"
        )
    return as_samples


def _richardson(slopes: Tensor, function: object, at: float) -> float:
    """Limit of the difference quotients for step 0, each step half the one before it."""
    table = slopes
    before = table[-1]
    for level in range(1, len(slopes)):
        before = table[-1]
        weight = 2.0**level
        table = (weight * table[1:] - table[:-1]) / (weight - 1.0)
    limit = float(table[-1])
    if not abs(limit - float(before)) <= _TOLERANCE * max(1.0, abs(limit)):
        raise GrowthError(
            f"{function} has no one-sided derivative at {at:g} (difference quotients {slopes.tolist()}): "
            "expected an activation that is continuous and differentiable from both sides there"
        )
    return limit
