"""Attention written out in a model: products of queries and keys, a softmax, and the product with values.

    scores = q @ k.transpose(-2, -1) * scale       # `Scores`
    x = scores.softmax(dim=-1) @ v                 # an `attention` node
    x = functional.scaled_dot_product_attention(q, k, v)      # the same at once

Heads are a factor of the features of q, k and v, as `Arranged` values say; that they take turns in a spec costs a
`channel_shuffle`, which `folding` takes into the layers before and behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose, sqrt
from typing import Any

import torch
from torch import nn

from gromo_graph.interop.arithmetic import ARITHMETIC, repeated_heads
from gromo_graph.interop.call_patterns.relative_positions import bias_table
from gromo_graph.interop.call_patterns.windows import common_windows, in_words, shifts_of, windows_of
from gromo_graph.layers.linear import linear
from gromo_graph.layers.multihead import is_causal
from gromo_graph.plain_torch.arrangement import (
    FEATURES,
    Arranged,
    Dim,
    Factor,
    along,
    joined,
    reshaped,
    settled,
    size_of,
)
from gromo_graph.plain_torch.blueprint import Misread, ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall, Weight, trained_like
from gromo_graph.spec.kinds import Attention, Conv1d, Flatten, Linear, Shape
from gromo_graph.spec.kinds.scale import Scale


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


def matmul(call: TorchCall, input: Any, other: Any) -> Any:
    """A layer of a parameter; of queries and keys their products; of shares and values an attention."""
    if isinstance(input, Scores):
        return attend(call, input, call.arranged(other))
    if isinstance(other, Weight) and other.tensor.dim() == 2:
        return linear(call, input, other.converted(torch.t))
    if isinstance(other, Scores):
        raise Unmapped(
            "it multiplies by products of queries and keys from the left: expected `scores @ values`"
        )
    query, key = call.arranged(input), call.arranged(other)
    return products(query, key.with_dims((*key.dims[:-2], *key.dims[:-3:-1])))


def addmm(call: TorchCall, input: Any, mat1: Any, mat2: Any) -> ModelValue:
    """A layer of parameters: `input + mat1 @ mat2`."""
    if not isinstance(mat2, Weight):
        raise Unmapped("it multiplies two values: expected a parameter")
    return linear(call, mat1, mat2.converted(torch.t), input)


def products(query: Arranged, key: Arranged) -> Scores:
    """Along the last dimension of both.

    Raises:
        Unmapped: it is not that of features, or other dimensions differ.
    """
    if len(query.dims) < 3 or len(query.dims) != len(key.dims):
        raise Misread(f"it multiplies {list(query.sizes)} and {list(key.sizes)}: expected as many dimensions")
    if not all(dim and all(each.axis == FEATURES for each in dim) for dim in (query.dims[-1], key.dims[-1])):
        raise Misread("it adds products up over positions: expected those of queries and keys, over features")
    if query.sizes[:-2] != key.sizes[:-2] or query.sizes[-1] != key.sizes[-1]:
        raise Misread(f"it multiplies {list(query.sizes)} and {list(key.sizes)}: expected the same sizes")
    return Scores(query, key)


def einsum(call: TorchCall, equation: Any, *operands: Any) -> Any:
    """`...id,...jd->...ij` for queries and keys, `...ij,...jd->...id` for shares and values, by any letters."""
    terms, _, result = str(equation).replace(" ", "").partition("->")
    given = list(operands[0] if len(operands) == 1 and isinstance(operands[0], tuple | list) else operands)
    names = terms.split(",")
    refused = Unmapped(
        f"it computes {equation!r}: expected products of queries and keys, or of shares and values"
    )
    if len(given) != 2 or len(names) != 2 or not result:
        raise refused
    if isinstance(given[1], Scores):
        names, given = names[::-1], given[::-1]
    summed = _summed_values if isinstance(given[0], Scores) else _summed_features
    found = summed(call, given, names, result)
    if found is None:
        raise refused
    return found


def _summed_values(
    call: TorchCall, given: Sequence[Any], names: Sequence[str], result: str
) -> Arranged | ModelValue | None:
    """Values added up by their shares, dimensions by letters; None if the letters say something else."""
    first, second = names
    key = (set(first) & set(second)) - set(result)
    last = [letter for letter in result if letter not in first]
    if len(key) != 1 or len(last) != 1 or first[-1:] != min(key):
        return None
    value = call.arranged(given[1])
    order = [second.index(letter) for letter in (*first[:-2], first[-1], last[0]) if letter in second]
    if len(order) != len(second) or len(order) != len(value.dims):
        return None
    written = (*first[:-1], last[0])
    view = call.arranged(attend(call, given[0], value.with_dims(value.dims[at] for at in order)))
    return settled(view.with_dims(view.dims[written.index(letter)] for letter in result))


def _summed_features(
    call: TorchCall, given: Sequence[Any], names: Sequence[str], result: str
) -> Scores | None:
    """Products of queries and keys, dimensions by letters; None if the letters say something else."""
    common, front = set(names[0]) & set(names[1]), result[:-2]
    summed = common - set(result)
    if len(summed) != 1 or not set(front) <= common:
        return None
    sides, ordered = [call.arranged(value) for value in given], []
    for side, letters, place in zip(sides, names, (result[-2:-1], result[-1:]), strict=True):
        wanted = (*front, place, *summed)
        if sorted(letters) != sorted(wanted):
            return None
        ordered.append(side.with_dims(side.dims[letters.index(each)] for each in wanted))
    return products(*ordered)


def dot_product_attention(
    call: TorchCall,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> ModelValue:
    """`functional.scaled_dot_product_attention`, of any number of heads."""
    views = [call.arranged(each) for each in (query, key, value)]
    if enable_gqa and len(views[0].dims) > 2:
        times = views[0].sizes[-3] // views[1].sizes[-3]
        views[1:] = [repeated_heads(call, view, len(view.dims) - 3, times) for view in views[1:]]
    scores = products(*views[:2])
    scale = scores.query.sizes[-1] ** -0.5 if scale is None else scale
    scores = replace(scores, scale=float(scale), causal=bool(is_causal), dropout=float(dropout_p))
    if attn_mask is not None:
        scores = with_added(scores, attn_mask)
    return attend(call, replace(scores, are_shares=True), views[2])


def attend(call: TorchCall, scores: Scores, value: Arranged) -> ModelValue:
    """An `attention` node of shares and values (..., positions, features of a head).

    Raises:
        Unmapped: an attention of a spec is another one.
    """
    if not scores.are_shares:
        raise Unmapped("it multiplies products of queries and keys by values: expected a softmax between")
    if scores.sizes[:-2] != value.sizes[:-2] or scores.sizes[-1] != value.sizes[-2]:
        raise Misread(
            f"it multiplies {list(scores.sizes)} and {list(value.sizes)}: expected as many positions"
        )
    (query, by_query), (key, by_key) = _unscaled(call, scores.query), _unscaled(call, scores.key)
    sides = [_in_heads(call, side) for side in (_at_one_position(call, query), key, value)]
    heads = _heads(sides)
    query, key, value = sides
    if key.dims[-2] != value.dims[-2]:
        raise Unmapped("its keys and values are at different positions: expected the same")
    scale = scores.scale * by_query * by_key
    features = query.sizes[-1]
    is_default = isclose(scale, 1 / sqrt(features), rel_tol=1e-9)
    plain = [ModelValue(side.node, side.own, side.own) for side in sides]
    windows = common_windows(sides)
    table = None if scores.bias is None else bias_table(scores.bias, heads, windows.window)
    mixed = call.inside("mixed", call.shape).add(
        Attention,
        {"relative_position_bias_table": table},
        sources=call.blueprint.different(plain),
        heads=heads,
        scale=None if is_default else scale,
        dropout=scores.dropout,
        causal=scores.causal,
        relative_position_bias=table is not None,
        **in_words(windows, scores.rolled),
    )
    dims = [
        tuple(replace(each, step=1) if each.axis == FEATURES else each for each in dim)
        for dim in query.dims[:-1]
    ]
    last = (Factor(FEATURES, value.sizes[-1], heads),)
    return settled(Arranged(mixed.node, mixed.own, ()).with_dims((*dims, last)))


def _at_one_position(call: TorchCall, query: Arranged) -> Arranged:
    """A query that a layer makes of the row of one position, such as that of a class token, as a sequence of one."""
    blueprint = call.blueprint
    node = blueprint.nodes[query.node]
    before = blueprint.nodes[node.sources[0]] if isinstance(node, Linear) else None
    if not isinstance(node, Linear) or not isinstance(before, Flatten) or blueprint.readers(query.node):
        return query
    if len(blueprint.shapes[before.sources[0]]) != 2 or blueprint.shapes[before.sources[0]][1] != 1:
        return query
    source = blueprint.sources[query.node]
    weights = {
        key: trained_like(tensor, tensor.detach()[..., None].clone()) if key == "weight" else tensor
        for key, tensor in source.tensors.items()
    }
    blueprint.nodes[query.node] = Conv1d(
        sources=before.sources, features=node.features, bias=node.bias, kernel=1
    )
    blueprint.shapes[query.node] = (node.features, 1)
    blueprint.sources[query.node] = replace(source, tensors=weights)
    return replace(query, own=(node.features, 1))


def _in_heads(call: TorchCall, side: Arranged) -> Arranged:
    """A value of a node in which the heads take turns.

    Raises:
        Unmapped: its dimensions are not the batch and the heads, then all positions, then the features of a head.
    """
    in_front = joined(factor for dim in side.dims[:-2] for factor in dim)
    refused = Misread(
        f"it reads {list(side.own)} of each sample as {list(side.sizes)}: expected the batch, windows and heads, then "
        "all positions of a window, then the features of a head"
    )
    if windows_of(side) is None:
        raise refused
    heads = [factor for factor in in_front if factor.axis == FEATURES]
    if len(heads) > 1:
        raise refused
    found = call.in_turns(side, [*side.dims[-1], *heads])
    if joined(
        [*found.dims[-1], *(each for dim in found.dims[:-2] for each in dim if each.axis == FEATURES)]
    ) != along(FEATURES, side.own[FEATURES]):
        raise refused
    return found


def _heads(sides: Sequence[Arranged]) -> int:
    """Their number, if all three have the same dimensions in front.

    Raises:
        Unmapped: they have not.
    """
    fronts = [[[(each.axis, each.size) for each in dim] for dim in side.dims[:-2]] for side in sides]
    if fronts[0] != fronts[1] or fronts[0] != fronts[2]:
        raise Unmapped("its queries, keys and values have different heads: expected the same for all three")
    features: Dim = tuple(each for dim in sides[0].dims[:-2] for each in dim if each.axis == FEATURES)
    return size_of(features)


def _unscaled(call: TorchCall, side: Arranged) -> tuple[Arranged, float]:
    """The value that a positive factor multiplies, and the factor."""
    found = call.blueprint.nodes[side.node]
    if isinstance(found, Scale) and found.offset == 0 and found.factor > 0:
        return replace(side, node=found.sources[0]), found.factor
    return side, 1.0


# What a model does with products and shares


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


ATTENTION: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("matmul", "bmm", "mm"), matmul),
    "addmm": addmm,
    "einsum": einsum,
    "scaled_dot_product_attention": dot_product_attention,
}
"""By the names of functions, methods and operators: of values."""

_OF_SCORES: Mapping[str, Callable[..., Any]] = {
    **ATTENTION,
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
    """The row of a function that reads products of queries and keys."""
    return _OF_SCORES.get(name, _refused)


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
