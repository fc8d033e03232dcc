"""The products that make an attention in a model: those of queries and keys, and that of their shares with values.

    scores = q @ k.transpose(-2, -1)               # `Scores`; `scores.py` says what may happen to them
    x = scores.softmax(dim=-1) @ v                 # an `attention` node
    x = functional.scaled_dot_product_attention(q, k, v)      # the same at once

Heads are a factor of the features of q, k and v, as `Arranged` values say; that they take turns in a spec costs a
`channel_shuffle`, which `folding` takes into the layers before and behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isclose, sqrt
from typing import Any

import torch

from gromo_graph.interop.arithmetic import repeated_heads
from gromo_graph.interop.call_patterns.relative_positions import bias_table
from gromo_graph.interop.call_patterns.scores import Scores, with_added
from gromo_graph.interop.call_patterns.windows import common_windows, in_words, windows_of
from gromo_graph.layers.linear import linear
from gromo_graph.plain_torch.arrangement import (
    FEATURES,
    Arranged,
    Dim,
    Factor,
    along,
    joined,
    settled,
    size_of,
)
from gromo_graph.plain_torch.blueprint import Misread, ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall, Weight, trained_like
from gromo_graph.spec.kinds import Attention, Conv1d, Flatten, Linear
from gromo_graph.spec.kinds.scale import Scale


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


ATTENTION: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("matmul", "bmm", "mm"), matmul),
    "addmm": addmm,
    "einsum": einsum,
    "scaled_dot_product_attention": dot_product_attention,
}
"""By the names of functions, methods and operators, of values and of scores."""
