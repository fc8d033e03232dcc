"""How a part that torch has no module for is written in plain torch: one row a module, for export of every form.

A row gives plain modules, which share the weights of the part, and a function that calls them, methods of tensors and
functions of `torch.nn.functional`. It is followed by torch.fx: its calls become those of the exported module, and the
lines of the exported source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gromo_graph.modules.adapters.layer_norm import FeatureNorm
from gromo_graph.modules.adapters.reorder import Positions, Transpose

Written = Callable[..., Any]
"""(call, values...) -> value, where call(key, values...) calls the plain module of that key."""

Plainly = tuple[Mapping[str, nn.Module], Written]


def in_plain_torch(part: nn.Module) -> Plainly:
    """Plain modules by what stands behind the name of the node (`""` for nothing), and what is done with them.

    >>> modules, written = in_plain_torch(FeatureNorm(4))
    >>> modules
    {'': LayerNorm((4,), eps=1e-05, elementwise_affine=True)}
    """
    row = _ROWS.get(type(part))
    return ({"": part}, lambda call, *values: call("", *values)) if row is None else row(part)


def _feature_norm(part: Any) -> Plainly:
    norm = nn.LayerNorm(part.normalized_shape, eps=part.eps, device="meta")
    norm.weight, norm.bias = part.weight, part.bias
    norm.train(part.training)
    return {"": norm}, lambda call, x: call("", x.movedim(1, -1)).movedim(-1, 1)


_ROWS: Mapping[type[nn.Module], Callable[[Any], Plainly]] = {
    FeatureNorm: _feature_norm,
    Transpose: lambda part: ({}, lambda call, x: x.transpose(1, 2)),
    Positions: lambda part: ({}, lambda call, x: x.flatten(2)),
}
