"""`attention`: each position takes a mean of values, weighted by the products of its query with the keys.

The multi-head attention of torch, which it is read from, stands in `multihead.py`; attention that a model writes out is
read by `interop/call_patterns/attention.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter, functional

from gromo_graph.errors import GrowthError
from gromo_graph.layers.multihead import multihead_attention
from gromo_graph.layers.operation import Features, OperationAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.attention import bias_sizes
from gromo_graph.spec.kinds.refusals import MIXED_HEADS


class Attend(torch.nn.Module):
    """Scaled dot-product attention of query, key and value (n, features, ...), the features of heads taking turns.

    Args:
        heads: number of heads. scale: what products of query and key are multiplied by.
        positions: sizes beside the features, of the query and of key and value.
        dropout: share of the weights set to zero in training. causal: whether a position sees none behind it.
        relative_position_bias: whether it has numbers (distances, heads) that are added to the products.
    """

    by_rows: ClassVar[Mapping[str, tuple[int, ...]]] = {"relative_position_bias_table": ()}

    def __init__(
        self,
        heads: int,
        scale: float,
        positions: tuple[kinds.Shape, kinds.Shape] = ((1,), (1,)),
        dropout: float = 0.0,
        *,
        causal: bool = False,
        relative_position_bias: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        self.positions, self.dropout, self.causal = positions, dropout, causal
        rows = prod(bias_sizes(positions[0]))
        table = Parameter(torch.zeros(rows, heads)) if relative_position_bias else None
        self.register_parameter("relative_position_bias_table", table)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(n, features of the value, *positions of the query)."""
        return self.mixed(query, key, value, dropout=self.dropout if self.training else 0.0)

    def mixed(self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float = 0.0) -> Tensor:
        """The same whatever mode it is in."""
        q, k, v = (by_head(tensor, self.heads) for tensor in (query, key, value))
        bias = self.bias(q)
        mixed: Tensor = functional.scaled_dot_product_attention(
            q, k, v, bias, dropout_p=dropout, is_causal=self.causal and bias is None, scale=self.scale
        )
        return mixed.permute(0, 3, 1, 2).reshape(*value.shape[:2], *query.shape[2:])

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """The share that each position takes of each, (n, heads, query positions, key positions)."""
        q, k = by_head(query, self.heads), by_head(key, self.heads)
        products: Tensor = self.scale * q @ k.transpose(2, 3)
        bias = self.bias(q)
        if bias is not None:
            products = products + bias
        elif self.causal:
            products = products + later(products)
        return products.softmax(dim=3)

    def bias(self, q: Tensor) -> Tensor | None:
        """The learned bias of products, (heads, i, j), with the causal mask on top; None if there is none."""
        table = self.relative_position_bias_table
        if table is None:
            return None
        found = by_distance(table, self.positions[0]).to(q.dtype)
        masked: Tensor = found + later(found) if self.causal else found
        return masked

    def extra_repr(self) -> str:
        """Heads, scale, mask and bias."""
        options = {
            "causal": self.causal,
            "relative_position_bias": self.relative_position_bias_table is not None,
        }
        has = "".join(f", {name}=True" for name, there in options.items() if there)
        return f"heads={self.heads}, scale={self.scale:g}{has}"


def later(products: Any) -> Any:
    """The mask added to products (..., i, j): −∞ for all positions j after i, 0 elsewhere."""
    return torch.full_like(products, float("-inf")).triu(1)


def by_distance(table: Any, sizes: kinds.Shape) -> Any:
    """Numbers for distances as numbers for pairs of positions, (heads, i, j).

    Args:
        table: (distances, heads); along an axis of n positions, row i − j + n − 1 is that of positions i and j.
        sizes: positions along each axis.

    >>> by_distance(torch.arange(5.0)[:, None], (3,))
    tensor([[[2., 1., 0.],
             [3., 2., 1.],
             [4., 3., 2.]]])
    """
    axes, found = len(sizes), table.unflatten(0, bias_sizes(sizes))
    for axis, size in enumerate(sizes):
        found = found.unfold(axis, size, 1)  # (i..., heads, n − 1 − j...): row i + (n − 1 − j)
    found = found.flip(tuple(range(axes + 1, 2 * axes + 1)))
    return found.permute(axes, *range(axes), *range(axes + 1, 2 * axes + 1)).flatten(1, axes).flatten(2)


def by_head(tensor: Tensor, heads: int) -> Tensor:
    """(n, features, ...) as (n, heads, positions, features of a head): feature f belongs to head f modulo heads."""
    features = tensor.flatten(2).unflatten(1, (-1, heads))
    parts: Tensor = features.permute(0, 2, 3, 1)
    return parts


def build(node: kinds.Attention, inputs: Sequence[kinds.Shape]) -> Attend:
    """The torch module of the node."""
    positions = inputs[0][1:], inputs[1][1:]
    return Attend(node.heads, node.scale_for(inputs[0][0]), positions, node.dropout, **node.sight)


class Mixing(torch.nn.Module):
    """Attention as a linear function of the values, with query and key fixed: a mean over positions."""

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self.attend = attend
        self._seen: tuple[Tensor, ...] | None = None

    def see(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Take query, key and value of a forward pass."""
        self._seen = (query.detach(), key.detach(), value.detach())

    @contextmanager
    def seeing(self, *tensors: Tensor) -> Iterator[None]:
        """See other ones for a while."""
        before = self._seen
        self.see(*tensors)
        try:
            yield
        finally:
            self._seen = before

    @property
    def seen(self) -> tuple[Tensor, ...]:
        """Query, key and value of the last forward pass, detached.

        Raises:
            GrowthError: there was none.
        """
        if self._seen is None:
            raise GrowthError("an attention has seen no query and key: run the network on a batch first")
        return self._seen

    def of(self, part: slice) -> Mixing:
        """The same for some of the samples."""
        mixing = Mixing(self.attend)
        mixing.see(*(tensor[part] for tensor in self.seen))
        return mixing

    def forward(self, value: Tensor) -> Tensor:
        """Any number of channels that is a multiple of the heads."""
        query, key, _ = self.seen
        return self.attend.mixed(query, key, value)

    def average(self, value: Tensor, head: int | None = None) -> Tensor:
        """Any number of channels, each mixed as a head does, or by the mean over the heads."""
        query, key, _ = self.seen
        weights = self.attend.weights(query, key)
        weights = (weights.mean(dim=1) if head is None else weights[:, head]).to(value)
        return (value.flatten(2) @ weights.transpose(1, 2)).reshape(*value.shape[:2], *query.shape[2:])

    def __deepcopy__(self, memo: dict[int, Any]) -> Mixing:
        return Mixing(copy.deepcopy(self.attend, memo))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": None}


class OneHead(torch.nn.Module):
    """One head of a mixing, on any number of channels; stands for it where sums are taken for that head alone."""

    def __init__(self, mixing: Mixing, head: int) -> None:
        super().__init__()
        self.mixing, self.head = mixing, head

    def forward(self, value: Tensor) -> Tensor:
        """As `Mixing.average`."""
        return self.mixing.average(value, self.head)


class MixingAdapter(OperationAdapter[Mixing]):
    """Linear in the values. Unless one head is asked for, sums are taken behind the mean of all."""

    operation_type = Mixing
    slides = True
    sees_samples = True

    def obstacle(self, operation: Mixing, entering: Features) -> str | None:
        if operation.attend.heads > 1 and (entering.segments > 1 or entering.repeated):
            return MIXED_HEADS
        return None

    def unit(self, operation: Mixing) -> int:
        return operation.attend.heads

    def average(self, operation: Mixing, maps: Tensor) -> Tensor:
        return operation.average(maps)

    def left(self, operation: Mixing, places: Tensor) -> torch.nn.Module:
        return operation  # it has weights for heads, and none for features

    def of_samples(self, operation: Mixing, part: slice) -> torch.nn.Module:
        return operation.of(part)


class OneHeadAdapter(OperationAdapter[OneHead]):
    """Linear in the values."""

    operation_type = OneHead
    slides = True
    sees_samples = True

    def of_samples(self, operation: OneHead, part: slice) -> torch.nn.Module:
        return OneHead(operation.mixing.of(part), operation.head)


def _plain(part: Attend) -> PlainTorch:
    heads, scale, (sizes, of_key) = part.heads, part.scale, part.positions
    table = part.relative_position_bias_table

    def by_position(x: Any, positions: Sequence[int]) -> Any:
        x = x if len(positions) < 2 else x.flatten(2)
        if heads == 1:  # with a dimension for one head too: the converter to ONNX knows no other form
            return x.transpose(1, 2).unsqueeze(1)
        return x.unflatten(1, (-1, heads)).permute(0, 2, 3, 1)

    def compute(call: Any, query: Any, key: Any, value: Any) -> Any:
        q = by_position(query, sizes)
        k, v = by_position(key, of_key), by_position(value, of_key)
        bias = None if table is None else by_distance(call("_bias"), sizes)
        mixed: Any
        if part.dropout:  # a function would not know whether it is trained
            products = q.matmul(k.transpose(-2, -1)).mul(scale)
            products = products if bias is None else products.add(bias)
            shares = (products.add(later(products)) if part.causal else products).softmax(-1)
            mixed = call("_dropout", shares).matmul(v)
        elif bias is not None:
            bias = bias + later(bias) if part.causal else bias
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
        else:
            mask: dict[str, Any] = {"is_causal": True} if part.causal else {}
            mixed = functional.scaled_dot_product_attention(q, k, v, scale=scale, **mask)
        mixed = mixed.squeeze(1).transpose(1, 2) if heads == 1 else mixed.permute(0, 3, 1, 2).flatten(1, 2)
        return mixed if len(sizes) < 2 else mixed.unflatten(2, sizes)

    modules: dict[str, Any] = {} if table is None else {"_bias": table}
    if part.dropout:
        modules["_dropout"] = torch.nn.Dropout(part.dropout).train(part.training)
    return PlainTorch(modules, compute)


TORCH = TorchHalf(
    build,
    [MixingAdapter(), OneHeadAdapter()],
    import_modules={torch.nn.MultiheadAttention: multihead_attention},
    export={Attend: _plain},
)
