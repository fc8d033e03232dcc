"""The scores of an attention that a model writes out, and what it may do to them before it multiplies by the values.

    scores = scores * scale + mask                 # `Scores`, as products of queries and keys
    scores = dropout(scores.softmax(dim=-1))       # `Scores`, as shares

All else is refused, with the reason. `attention.py` makes scores, and an attention of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from gromo_graph.interop.arithmetic import ARITHMETIC
from gromo_graph.interop.call_patterns.windows import shifts_of
from gromo_graph.layers.multihead import is_causal
from gromo_graph.plain_torch.arrangement import FEATURES, Arranged, reshaped
from gromo_graph.plain_torch.blueprint import Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall, Weight
from gromo_graph.spec.kinds import Shape


@dataclass(frozen=True)
class Scores:
    """The products of all queries with all keys, or the shares that a softmax makes of them.

    Attributes:
        query, key: (..., positions, features of a head), with the same dimensions in front.
        scale: what the products are multiplied by. causal: whether a position sees none behind it.
        bias: a parameter (..., heads, positions, positions) that is added to the products.
        rolled: positions by which shifted windows were moved along each axis; their mask is added to the products.
        are_shares: whether the softmax is done. dropout: of the shares.
    """

    query: Arranged
    key: Arranged
    scale: float = 1.0
    causal: bool = False
    bias: Weight | None = None
    rolled: Shape = ()
    are_shares: bool = False
    dropout: float = 0.0

    @property
    def sizes(self) -> Shape:
        """Of all dimensions."""
        return (*self.query.sizes[:-1], self.key.sizes[-2])

    @property
    def shape(self) -> Shape:
        """Without the first."""
        return self.sizes[1:]

    def __repr__(self) -> str:
        return "the shares of an attention" if self.are_shares else "the products of queries and keys"


def softmax(call: TorchCall, input: Scores, dim: Any = None, *rest: Any, **named: Any) -> Scores:
    if dim is None or dim % len(input.sizes) != len(input.sizes) - 1:
        raise Unmapped(f"its dim is {dim}: expected that of the keys, the last")
    if input.are_shares:
        raise Unmapped("it is the second softmax of an attention: expected one")
    return replace(input, are_shares=True)


def dropout(
    call: TorchCall, input: Scores, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Scores:
    if not training or not p:
        return input
    if not input.are_shares:
        raise Unmapped("it drops products of queries and keys: expected their shares, behind the softmax")
    if input.dropout:
        raise Unmapped("it drops shares of attention twice: expected one dropout")
    return replace(input, dropout=float(p))


def mul(call: TorchCall, input: Any, other: Any) -> Scores:
    scores, factor = (input, other) if isinstance(input, Scores) else (other, input)
    return _times(scores, _number(factor))


def div(call: TorchCall, input: Any, other: Any, *, rounding_mode: Any = None) -> Scores:
    if not isinstance(input, Scores) or rounding_mode is not None:
        raise Unmapped("it divides by products of queries and keys: expected a number")
    return _times(input, 1 / _number(other))


def _number(value: Any) -> float:
    if isinstance(value, Weight) and value.tensor.numel() == 1 and not isinstance(value.owned, nn.Parameter):
        return float(value.tensor)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Unmapped("it multiplies products of queries and keys by something that changes: expected a number")


def _times(scores: Scores, factor: float) -> Scores:
    if scores.are_shares or factor <= 0:
        raise Unmapped(
            "it multiplies the shares of an attention: expected a positive factor before the softmax"
        )
    if scores.causal or scores.rolled or scores.bias is not None:
        raise Unmapped(
            "it multiplies what is masked already: expected the factor before the mask and the bias"
        )
    return replace(scores, scale=scores.scale * factor)


def add(call: TorchCall, input: Any, other: Any, *, alpha: Any = 1) -> Scores:
    scores, mask = (input, other) if isinstance(input, Scores) else (other, input)
    if scores.are_shares or alpha != 1:
        raise Unmapped("it adds to the shares of an attention: expected a mask before the softmax")
    return with_added(scores, mask)


def with_added(scores: Scores, added: Any) -> Scores:
    """With a bias of a parameter, or a mask of a buffer.

    Raises:
        Unmapped: there is a bias already, or the mask is another one than none and a causal one.
    """
    if not isinstance(added, Weight) or not isinstance(added.tensor, nn.Parameter):
        return masked(scores, added)
    is_of_heads = all(each.axis == FEATURES for each in scores.query.dims[-3])
    if not is_of_heads and added.tensor.dim() > 2 and added.tensor.shape[-3] > 1:
        raise Unmapped(f"it adds `{added.path}` to products by window: expected numbers for heads")
    if scores.bias is not None:
        raise Unmapped("it adds two parameters to the products of an attention: expected one")
    return replace(scores, bias=added)


def masked(scores: Scores, mask: Any) -> Scores:
    """With a mask of a buffer, which is added, or of true where a position is seen.

    Raises:
        Unmapped: it is another one than none and a causal one.
    """
    if not isinstance(mask, Weight) or isinstance(mask.owned, nn.Parameter):
        raise Unmapped(
            "it adds something that is computed to products: expected a mask of a buffer, or a table of a parameter"
        )
    causal = is_causal(mask.tensor, scores.sizes[-2:])
    if causal is not None:
        return replace(scores, causal=causal or scores.causal)
    rolled = shifts_of(scores.query, mask.tensor)
    if rolled is None or scores.rolled:
        raise Unmapped(
            f"its mask `{mask.path}` is not causal: expected none, one of all positions before, or that of shifted "
            "windows"
        )
    return replace(scores, rolled=rolled)


def masked_fill(call: TorchCall, input: Any, mask: Any, value: Any) -> Scores:
    if not isinstance(mask, Weight) or mask.tensor.dtype is not torch.bool:
        raise Unmapped("its mask is computed of the inputs: expected a buffer")
    if not isinstance(input, Scores) or input.are_shares or _lowest(value) is False:
        raise Unmapped(f"it fills products with {value!r}: expected -inf before the softmax")
    return masked(input, replace(mask, tensor=~mask.tensor))


def where(call: TorchCall, condition: Any, input: Any, other: Any) -> Scores:
    if not isinstance(condition, Weight) or condition.tensor.dtype is not torch.bool:
        raise Unmapped("its mask is computed of the inputs: expected a buffer")
    if not isinstance(input, Scores) or input.are_shares or _lowest(other) is False:
        raise Unmapped("it puts other numbers in the place of products: expected -inf before the softmax")
    return masked(input, condition)


def _lowest(value: Any) -> bool:
    number = float(value.tensor) if isinstance(value, Weight) and value.tensor.numel() == 1 else value
    return isinstance(number, float | int) and number <= torch.finfo(torch.float16).min


def reshaped_scores(call: TorchCall, input: Scores, *sizes: Any, **named: Any) -> Scores:
    """With other dimensions before those of queries and keys."""
    if call.sizes[-2:] != input.sizes[-2:]:
        raise Unmapped(
            f"it reads products {list(input.sizes)} as {list(call.sizes)}: expected those of queries and keys last"
        )
    query = reshaped(input.query, (*call.sizes[:-1], input.query.sizes[-1]))
    key = reshaped(input.key, (*call.sizes[:-2], *input.key.sizes[-2:]))
    return replace(input, query=query, key=key)


def same(call: TorchCall, input: Scores, *arguments: Any, **named: Any) -> Scores:
    return input


def cast(call: TorchCall, input: Scores, *arguments: Any, **named: Any) -> Scores:
    lower = {torch.float16, torch.bfloat16}.intersection(
        each for each in (*arguments, *named.values()) if isinstance(each, torch.dtype)
    )
    if lower:
        raise Unmapped(f"it computes attention in {lower.pop()}: expected the precision of the model")
    return input


def _in_mode(call: TorchCall, training: bool) -> TorchCall:
    """A call of a module that is in the mode of the model: the dropout of an attention has none of its own."""
    if call.training != training:
        raise Unmapped("its mode is not that of the model: call train() or eval() of the whole model first")
    return call


def _refused(call: TorchCall, *arguments: Any, **named: Any) -> Any:
    raise Unmapped(
        "it is called for the products of queries and keys: expected a factor, a mask, a softmax and a dropout, then "
        "the product with the values"
    )


_ROWS: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("softmax", "_softmax", "Softmax"), softmax),
    "dropout": dropout,
    **{name: mul for name in ARITHMETIC if ARITHMETIC[name] is ARITHMETIC["mul"]},
    **{name: div for name in ARITHMETIC if ARITHMETIC[name] is ARITHMETIC["div"]},
    "add": add,
    "masked_fill": masked_fill,
    "where": where,
    **dict.fromkeys(("contiguous", "clone", "float", "type_as"), same),
    **dict.fromkeys(("view", "reshape", "unflatten", "flatten", "_unsafe_view"), reshaped_scores),
    "to": cast,
}


def row_of_scores(name: str) -> Callable[..., Any]:
    """The row of a function that reads scores and gives scores."""
    return _ROWS.get(name, _refused)


def module_of_scores(module: nn.Module, training: bool) -> Callable[..., Any]:
    """The same of a module.

    Args:
        training: the mode of the model, which is that of its attentions too.
    """
    match module:
        case nn.Softmax():
            return lambda call, scores: softmax(call, scores, module.dim)
        case nn.Dropout():
            return lambda call, scores: dropout(_in_mode(call, training), scores, module.p)
        case nn.Identity():
            return same
    return _refused
