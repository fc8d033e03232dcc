"""RMS norms that a model writes out: `x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)` is one node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Merge, Shape
from gromo_graph.spec.kinds.rms_norm import RMSNorm

_NONE = 1e-30
"""The eps of a norm that adds none: a mean square is 0 or larger than it."""


@dataclass(frozen=True, repr=False)
class MeanSquare:
    """The mean square of the features of a value, plus eps, to a power.

    Attributes:
        of: the value. shape: of the mean, without the batch. eps: added to it. power: 1, ½ or −½.
    """

    of: ModelValue
    shape: Shape
    eps: float = 0.0
    power: float = 1.0

    def __repr__(self) -> str:
        return "the mean square of the features"


def mean_square(call: TorchCall, input: Any, dim: Any, keepdim: bool) -> MeanSquare | None:
    """The mean of `x * x`, `x ** 2` or `x.square()` along the features, kept as a dimension; None for other means."""
    if not isinstance(input, ModelValue) or not keepdim:
        return None
    product = call.blueprint.nodes[input.node]
    dims = dim if isinstance(dim, tuple | list) else (dim,)
    last = len(input.shape)
    if (
        not isinstance(product, Merge)
        or product.merge != "product"
        or [d % (last + 1) for d in dims if d] != [last]
    ):
        return None
    first, second = product.sources if len(product.sources) == 2 else ("", "")
    again = call.blueprint.nodes.get(second)
    if not isinstance(again, Merge) or again.sources != (first,) or again.activation != "identity":
        return None
    return MeanSquare(replace(input, node=first, own=call.blueprint.shapes[first]), call.shape)


def add(call: TorchCall, input: Any, other: Any, *, alpha: Any = 1) -> MeanSquare:
    eps = other if isinstance(input, MeanSquare) else input
    squares: MeanSquare = input if isinstance(input, MeanSquare) else other
    if squares.power != 1.0 or alpha != 1 or not isinstance(eps, int | float) or eps < 0:
        raise _REFUSED
    return replace(squares, eps=squares.eps + float(eps))


def power(call: TorchCall, input: MeanSquare, exponent: Any) -> MeanSquare:
    found = input.power * exponent if isinstance(exponent, int | float) else 0.0
    if found not in (0.5, -0.5):
        raise _REFUSED
    return replace(input, power=found)


def rsqrt(call: TorchCall, input: MeanSquare) -> MeanSquare:
    return power(call, input, -0.5)


def sqrt(call: TorchCall, input: MeanSquare) -> MeanSquare:
    return power(call, input, 0.5)


def reciprocal(call: TorchCall, input: MeanSquare) -> MeanSquare:
    return power(call, input, -1)


def mul(call: TorchCall, input: Any, other: Any) -> ModelValue:
    value, squares = (other, input) if isinstance(input, MeanSquare) else (input, other)
    return _norm(call, value, squares, -0.5)


def div(call: TorchCall, input: Any, other: Any, *, rounding_mode: Any = None) -> ModelValue:
    return _norm(call, input, other, 0.5)


def same(call: TorchCall, input: Any, *arguments: Any, **named: Any) -> MeanSquare:
    found: MeanSquare = input
    return found


def _norm(call: TorchCall, value: Any, squares: Any, power: float) -> ModelValue:
    """The value over its root mean square.

    Raises:
        Unmapped: it is another value, or another power.
    """
    if not isinstance(squares, MeanSquare) or squares.power != power:
        raise _REFUSED
    view, of = call.view(value), squares.of
    if (view.node, view.shape, view.turned) != (of.node, of.shape, of.turned):
        raise Unmapped("it scales a value by the mean square of another one: expected that of itself")
    return call.add_norm(
        RMSNorm, {}, view, view.shape[-1:], eps=squares.eps or _NONE, elementwise_affine=False
    )


_REFUSED = Unmapped("it reads a mean of squares otherwise than an RMS norm: expected x / sqrt(mean + eps)")


def _refused(call: TorchCall, *arguments: Any, **named: Any) -> Any:
    raise _REFUSED


_ROWS: Mapping[str, Callable[..., Any]] = {
    "add": add,
    "rsqrt": rsqrt,
    "sqrt": sqrt,
    "reciprocal": reciprocal,
    **dict.fromkeys(("pow", "power"), power),
    **dict.fromkeys(("mul", "multiply"), mul),
    **dict.fromkeys(("div", "truediv", "divide", "true_divide"), div),
    **dict.fromkeys(("to", "float", "double", "type_as", "_to_copy", "contiguous", "clone"), same),
}


def row_of_squares(name: str) -> Callable[..., Any]:
    """The row of a function that reads a mean of squares."""
    return _ROWS.get(name, _refused)
