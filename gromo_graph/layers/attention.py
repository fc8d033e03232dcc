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
from gromo_graph.layers.windows import Windows
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.attention import bias_sizes
from gromo_graph.spec.kinds.per_axis import along
from gromo_graph.spec.kinds.refusals import MIXED_HEADS


class Attend(torch.nn.Module):
    """Scaled dot-product attention of query, key and value (n, features, ...), the features of heads taking turns.

    Args:
        heads: number of heads. scale: what products of query and key are multiplied by.
        positions: sizes beside the features, of the query and of key and value.
        dropout: share of the weights set to zero in training. causal: whether a position sees none behind it.
        relative_position_bias: whether it has numbers (distances, heads) that are added to the products.
        windows: in which positions see each other; None if each sees all.
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
        windows: Windows | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        self.positions, self.dropout, self.causal = positions, dropout, causal
        self.windows = windows
        self.seen = positions[0] if windows is None else windows.window
        rows = prod(bias_sizes(self.seen))
        table = Parameter(torch.zeros(rows, heads)) if relative_position_bias else None
        self.register_parameter("relative_position_bias_table", table)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, features of the value, *positions of the query)."""
        return self.mixed(query, key, value, mask, dropout=self.dropout if self.training else 0.0)

    def mixed(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, dropout: float = 0.0
    ) -> Tensor:
        """The same whatever mode it is in."""
        q, k, v = (self.by_head(tensor) for tensor in (query, key, value))
        bias = self.bias(q, mask)
        mixed: Tensor = functional.scaled_dot_product_attention(
            q, k, v, bias, dropout_p=dropout, is_causal=self.causal and bias is None, scale=self.scale
        )
        return self._whole(mixed.permute(0, 3, 1, 2).flatten(1, 2), query)

    def by_head(self, tensor: Tensor) -> Tensor:
        """(n, features, ...) as (n · windows, heads, positions of a window, features of a head)."""
        return by_head(self.parted(tensor), self.heads)

    def parted(self, tensor: Tensor) -> Tensor:
        """(n, channels, ...) as (n · windows, channels, positions of a window); there is one window by default."""
        if self.windows is None:
            return tensor.flatten(2)
        parted: Tensor = self.windows.parted(tensor.reshape(*tensor.shape[:2], *self.windows.sizes))
        return parted

    def averaged(self, values: Tensor, weights: Tensor, query: Tensor) -> Tensor:
        """Channels (n, channels, ...) mixed at each position of the query.

        Args:
            weights: (n · windows, positions of a query, positions of a value), the same for all channels.
        """
        return self._whole(self.parted(values) @ weights.transpose(1, 2), query)

    def _whole(self, mixed: Tensor, query: Tensor) -> Tensor:
        """(n · windows, channels, positions of a window) as (n, channels, *positions of the query)."""
        whole = mixed if self.windows is None else self.windows.whole(mixed)
        return whole.reshape(*whole.shape[:2], *query.shape[2:])

    def weights(self, query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
        """The share that each position takes of each, (n · windows, heads, query positions, key positions)."""
        q, k = self.by_head(query), self.by_head(key)
        products: Tensor = self.scale * q @ k.transpose(2, 3)
        bias = self.bias(q, mask)
        if bias is not None:
            products = products + bias
        elif self.causal:
            products = products + later(products)
        return products.softmax(dim=3)

    def bias(self, q: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """The term added to products, which it broadcasts to; None if that is nothing or a causal mask alone.

        Args:
            q: (n · windows, heads, positions, features). mask: (n, ...), 0 for positions of the key that nobody sees.
        """
        table = self.relative_position_bias_table
        found: Tensor | None = None if table is None else by_distance(table, self.seen).to(q.dtype)
        if self.windows is not None and self.windows.has_mask:
            of_windows = self.windows.mask()[:, None].to(q).repeat(len(q) // self.windows.count, 1, 1, 1)
            found = of_windows if found is None else of_windows + found
        if mask is not None:
            hidden = self.parted(mask.reshape(len(mask), 1, -1)).eq(0)[:, None]
            of_keys = q.new_zeros(hidden.shape).masked_fill(hidden, HIDDEN)
            found = of_keys if found is None else of_keys + found
        return (
            found if found is None or not self.causal else found + later(q.new_zeros(q.shape[2], q.shape[2]))
        )

    def extra_repr(self) -> str:
        """Heads, scale, windows, mask and bias."""
        options = {
            "causal": self.causal,
            "relative_position_bias": self.relative_position_bias_table is not None,
        }
        has = "".join(f", {name}=True" for name, there in options.items() if there)
        windows = "" if self.windows is None else f", window={self.windows.window}"
        return f"heads={self.heads}, scale={self.scale:g}{windows}{has}"


HIDDEN = -1e30
"""Added to products of positions that nobody sees. It is finite, so that a sample of padding alone has a mean too."""


def later(products: Tensor) -> Tensor:
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
    return Attend(
        node.heads,
        node.scale_for(inputs[0][0]),
        positions,
        node.dropout,
        causal=node.causal,
        relative_position_bias=node.relative_position_bias,
        windows=_windows(node, positions[0]),
    )


def _windows(node: kinds.Attention, sizes: kinds.Shape) -> Windows | None:
    """The windows of positions of these sizes."""
    if not node.parts_positions:
        return None
    return Windows(sizes, node.seen(sizes), node.grid is not None, along(node.rolled, len(sizes)))


class Mixing(torch.nn.Module):
    """Attention as a linear function of the values, with query and key fixed: a mean over positions."""

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self.attend = attend
        self._seen: tuple[Tensor, ...] | None = None

    def see(self, *tensors: Tensor) -> None:
        """Take query, key and value of a forward pass, and the mask if there is one."""
        self._seen = tuple(tensor.detach() for tensor in tensors)

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
        """Query, key and value of the last forward pass, and the mask if there is one, detached.

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
        query, key, _, *mask = self.seen
        return self.attend.mixed(query, key, value, *mask)

    def average(self, value: Tensor, head: int | None = None) -> Tensor:
        """Any number of channels, each mixed as a head does, or by the mean over the heads."""
        query, key, _, *mask = self.seen
        weights = self.attend.weights(query, key, *mask)
        weights = (weights.mean(dim=1) if head is None else weights[:, head]).to(value)
        return self.attend.averaged(value, weights, query)

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
    heads, scale, windows, (sizes, of_key) = part.heads, part.scale, part.windows, part.positions
    table, is_rolled = part.relative_position_bias_table, windows is not None and windows.has_mask

    def by_position(x: Any, positions: Sequence[int]) -> Any:
        if windows is not None:
            x = windows.parted(x)
        elif len(positions) > 1:
            x = x.flatten(2)
        if heads == 1:  # with a dimension for one head too: the converter to ONNX knows no other form
            return x.transpose(1, 2).unsqueeze(1)
        return x.unflatten(1, (-1, heads)).permute(0, 2, 3, 1)

    def added(call: Any) -> Any:
        """The bias of products with the causal mask, or None."""
        if table is None:
            return None
        bias = by_distance(call("_bias"), part.seen)
        return bias + later(bias) if part.causal else bias

    def in_windows(call: Any, products: Any) -> Any:
        """Products with the mask of each window."""
        assert windows is not None
        by_window = products.unflatten(0, (-1, windows.count))
        return by_window.add(call("_mask")).flatten(0, 1)

    def compute(call: Any, query: Any, key: Any, value: Any, mask: Any = None) -> Any:
        q = by_position(query, sizes)
        k, v = by_position(key, of_key), by_position(value, of_key)
        bias = added(call)
        mixed: Any
        if (
            part.dropout or is_rolled or mask is not None
        ):  # a function would not know whether it is trained, nor which window is which
            products = q.matmul(k.transpose(-2, -1)).mul(scale)
            if bias is not None:
                products = products.add(bias)
            elif part.causal:
                products = products.add(later(products))
            products = in_windows(call, products) if is_rolled else products
            if mask is not None:
                hidden = mask.reshape(-1, 1, *of_key)
                hidden = hidden.flatten(2) if windows is None else windows.parted(hidden)
                products = products.masked_fill(hidden.eq(0).unsqueeze(1), HIDDEN)
            shares = products.softmax(-1)
            mixed = (call("_dropout", shares) if part.dropout else shares).matmul(v)
        elif bias is not None:
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
        else:
            options: dict[str, Any] = {"is_causal": True} if part.causal else {}
            mixed = functional.scaled_dot_product_attention(q, k, v, scale=scale, **options)
        mixed = mixed.squeeze(1).transpose(1, 2) if heads == 1 else mixed.permute(0, 3, 1, 2).flatten(1, 2)
        if windows is not None:
            return windows.whole(mixed)
        return mixed if len(sizes) < 2 else mixed.unflatten(2, sizes)

    modules: dict[str, Any] = {} if table is None else {"_bias": table}
    if windows is not None and windows.has_mask:
        modules["_mask"] = Parameter(windows.mask()[:, None], requires_grad=False)
    if part.dropout:
        modules["_dropout"] = torch.nn.Dropout(part.dropout).train(part.training)
    return PlainTorch(modules, compute)


TORCH = TorchHalf(
    build,
    [MixingAdapter(), OneHeadAdapter()],
    import_modules={torch.nn.MultiheadAttention: multihead_attention},
    export={Attend: _plain},
)
