"""How a part that torch has no module for is written in plain torch: one row a module, for export of every form.

A row gives plain modules, which share the weights of the part, and a function that calls them, methods of tensors and
functions of `torch.nn.functional`. It is followed by torch.fx: its calls become those of the exported module, and the
lines of the exported source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn import functional

from gromo_graph.layers.attention import Attend
from gromo_graph.layers.convolution import PointConv1d
from gromo_graph.layers.embedding import Embedding
from gromo_graph.layers.layer_norm import FeatureNorm
from gromo_graph.layers.positions import Positions
from gromo_graph.layers.reorder import AsSequence, Transpose

Written = Callable[..., Any]
"""(call, values...) -> value, where call(key, values...) calls the plain module of that key, or gives a parameter."""

Plainly = tuple[Mapping[str, nn.Module | nn.Parameter], Written]


def in_plain_torch(part: nn.Module) -> Plainly:
    """Plain modules and parameters, by what stands behind the name of the node, and what is done with them.

    >>> modules, written = in_plain_torch(FeatureNorm(4))
    >>> modules
    {'': LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)}
    """
    convert = getattr(part, "as_torch", None)  # of what keeps its weights in another form
    part = part if convert is None else convert()
    row = _ROWS.get(type(part))
    return ({"": part}, lambda call, *values: call("", *values)) if row is None else row(part)


def _feature_norm(part: Any) -> Plainly:
    norm = nn.LayerNorm(part.normalized_shape, eps=part.eps, device="meta")
    norm.weight, norm.bias = part.weight, part.bias
    norm.train(part.training)
    return {"": norm}, lambda call, x: call("", x.movedim(1, -1)).movedim(-1, 1)


def _embedding(part: Any) -> Plainly:
    weight = part.weight
    table = nn.Embedding.from_pretrained(weight.detach().T, freeze=not weight.requires_grad)
    table.train(part.training)
    return {"": table}, lambda call, ids: call("", ids.long()).transpose(1, 2)


def _point_convolution(part: Any) -> Plainly:
    layer = nn.Linear(part.in_channels, part.out_channels, bias=part.bias is not None, device="meta")
    layer.weight = nn.Parameter(part.weight.detach()[:, :, 0], requires_grad=part.weight.requires_grad)
    layer.bias = part.bias
    layer.train(part.training)
    return {"": layer}, lambda call, x: call("", x.transpose(1, 2)).transpose(1, 2)


def _by_head(x: Any, heads: int) -> Any:
    return x.unflatten(1, (-1, heads)).permute(0, 2, 3, 1)


def _attend(part: Any) -> Plainly:
    heads, scale, (sizes, of_key) = part.heads, part.scale, part.positions

    def by_position(x: Any, positions: Sequence[int]) -> Any:
        x = x if len(positions) < 2 else x.flatten(2)
        # With a dimension for one head too: the converter to ONNX knows no other form.
        return x.transpose(1, 2).unsqueeze(1) if heads == 1 else _by_head(x, heads)

    def written(call: Any, query: Any, key: Any, value: Any) -> Any:
        q = by_position(query, sizes)
        k, v = by_position(key, of_key), by_position(value, of_key)
        mixed: Any
        if part.dropout:  # a function would not know whether it is trained
            shares = q.matmul(k.transpose(-2, -1)).mul(scale).softmax(-1)
            mixed = call("_dropout", shares).matmul(v)
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, scale=scale)
        mixed = mixed.squeeze(1).transpose(1, 2) if heads == 1 else mixed.permute(0, 3, 1, 2).flatten(1, 2)
        return mixed if len(sizes) < 2 else mixed.unflatten(2, sizes)

    modules = {"_dropout": nn.Dropout(part.dropout).train(part.training)} if part.dropout else {}
    return modules, written


_ROWS: Mapping[type[nn.Module], Callable[[Any], Plainly]] = {
    Attend: _attend,
    FeatureNorm: _feature_norm,
    PointConv1d: _point_convolution,
    Transpose: lambda part: ({}, lambda call, x: x.transpose(1, 2)),
    AsSequence: lambda part: ({}, lambda call, x: x.flatten(2)),
    Embedding: _embedding,
    Positions: lambda part: ({"": part.weight}, lambda call, x: x + call("")),
}
