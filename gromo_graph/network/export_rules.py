"""Parts written in plain torch, for export of every form: by the row of their kind, or as they are."""

from __future__ import annotations

from torch import nn

from gromo_graph.layers.torch_half_lookup import rows
from gromo_graph.plain_torch.rows import PlainTorch


def in_plain_torch(part: nn.Module) -> PlainTorch:
    """The part as modules of torch and parameters, and what is computed with them.

    A module that has a method `as_torch`, which returns a module of torch, needs no row.

    >>> from gromo_graph.layers.layer_norm import FeatureNorm
    >>> in_plain_torch(FeatureNorm(4)).modules
    {'': LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)}
    """
    row = rows().export.get(type(part))
    if row is not None:
        return row(part)
    convert = getattr(part, "as_torch", None)
    return PlainTorch({"": part if convert is None else convert()})
