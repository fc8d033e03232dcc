"""`attention`: the values of positions, mixed by how well queries match keys."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from gromo_graph.errors import GrowthError
from gromo_graph.layers.operation import Features, OperationAdapter, register_operation
from gromo_graph.spec import kinds


class Attend(torch.nn.Module):
    """Scaled dot-product attention of query, key and value (n, features, ...), the features of heads taking turns.

    Args:
        heads: number of heads. scale: what products of query and key are multiplied by.
        positions: sizes beside the features, of the query and of key and value.
        dropout: share of the weights set to zero in training.
    """

    def __init__(
        self,
        heads: int,
        scale: float,
        positions: tuple[kinds.Shape, kinds.Shape] = ((1,), (1,)),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        self.positions, self.dropout = positions, dropout

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(n, features of the value, *positions of the query)."""
        return self.mixed(query, key, value, dropout=self.dropout if self.training else 0.0)

    def mixed(self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float = 0.0) -> Tensor:
        """The same whatever mode it is in."""
        q, k, v = (by_head(tensor, self.heads) for tensor in (query, key, value))
        mixed: Tensor = scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=self.scale)
        return mixed.permute(0, 3, 1, 2).reshape(*value.shape[:2], *query.shape[2:])

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """The share that each position takes of each, (n, heads, query positions, key positions)."""
        q, k = by_head(query, self.heads), by_head(key, self.heads)
        shares: Tensor = (self.scale * q @ k.transpose(2, 3)).softmax(dim=3)
        return shares

    def extra_repr(self) -> str:
        """Heads and scale."""
        return f"heads={self.heads}, scale={self.scale:g}"


def by_head(tensor: Tensor, heads: int) -> Tensor:
    """(n, features, ...) as (n, heads, positions, features of a head): feature f belongs to head f modulo heads."""
    features = tensor.flatten(2).unflatten(1, (-1, heads))
    parts: Tensor = features.permute(0, 2, 3, 1)
    return parts


def build(node: kinds.Attention, inputs: Sequence[kinds.Shape]) -> Attend:
    """The torch module of the node."""
    return Attend(node.heads, node.scale_for(inputs[0][0]), (inputs[0][1:], inputs[1][1:]), node.dropout)


class Mixing(torch.nn.Module):
    """What attention does to values while query and key stay what they are: a mean over positions, for each sample."""

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


class MixingAdapter(OperationAdapter):
    """Linear in the values. Where nobody asks for a head, sums are taken behind the mean of all."""

    operation_type = Mixing
    slides = True
    sees_samples = True

    def obstacle(self, operation: Any, entering: Features) -> str | None:
        if operation.attend.heads > 1 and (entering.segments > 1 or entering.repeated):
            return "its heads would mix the features of several layers"
        return None

    def unit(self, operation: Any) -> int:
        return int(operation.attend.heads)

    def average(self, operation: Any, maps: Tensor) -> Tensor:
        result: Tensor = operation.average(maps)
        return result

    def of_samples(self, operation: Any, part: slice) -> torch.nn.Module:
        mixing: Mixing = operation.of(part)
        return mixing


class OneHeadAdapter(OperationAdapter):
    """Linear in the values."""

    operation_type = OneHead
    slides = True
    sees_samples = True

    def of_samples(self, operation: Any, part: slice) -> torch.nn.Module:
        return OneHead(operation.mixing.of(part), operation.head)


register_operation(MixingAdapter())
register_operation(OneHeadAdapter())
