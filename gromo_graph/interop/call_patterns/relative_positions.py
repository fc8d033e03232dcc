"""A learned bias of attention that a model looks up in a table by how far apart two positions are."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from gromo_graph.layers.attention import by_distance
from gromo_graph.plain_torch.blueprint import Unmapped
from gromo_graph.plain_torch.torch_call import Weight
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.attention import bias_sizes


def bias_table(bias: Weight, heads: int, sizes: Shape) -> Weight:
    """The numbers of a bias for each distance and head, (distances, heads).

    Args:
        bias: (heads, positions, positions), behind dimensions of size 1. sizes: positions along each axis.

    Raises:
        Unmapped: it was not looked up in a table, with an entry of its own for each distance and head.
    """
    positions, distances = prod(sizes), prod(bias_sizes(sizes))
    expected = f"expected a table of {distances} distances for {heads} heads, and an index of a buffer"
    if bias.entries is None or bias.entries.numel() != heads * positions**2:
        raise Unmapped(f"it adds `{bias.path}` of {list(bias.tensor.shape)} to products: {expected}")
    rows = by_distance(torch.arange(distances)[:, None], sizes).flatten()

    def table_of(values: Tensor) -> Tensor:
        by_pair = values.reshape(heads, -1).T
        return by_pair.new_zeros(distances, heads).index_copy(0, rows.to(values.device), by_pair)

    table = bias.converted(table_of)
    assert table.entries is not None
    by_pair = by_distance(table.entries, sizes).reshape(bias.entries.shape)
    if table.entries.unique().numel() < table.entries.numel() or not torch.equal(by_pair, bias.entries):
        raise Unmapped(
            f"the index of its bias `{bias.path}` is not one of distances along each axis: {expected}"
        )
    return table
