"""`rotary`: pairs of features are turned by an angle that grows with the position; new features are not turned.

How models write it is read by `interop/call_patterns/rotary.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.errors import GrowthError
from gromo_graph.layers.operation import Features, Passed, Unchanging
from gromo_graph.layers.replaced import Replaced
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.refusals import MIXED_HEADS
from gromo_graph.spec.kinds.rotary import Rotary


class Turned(torch.nn.Module):
    """x · cos + partner(x) · sin, of (n, features, length) with heads that take turns.

    Args:
        heads: number of heads. cos, sin: (features of a head that are turned, length); sin has the sign of its place
            in the pair. whole: whether these are all of its features. interleaved: whether neighbours are pairs, or
            halves.
    """

    by_rows: ClassVar[dict[str, tuple[int, ...]]] = {"cos": (), "sin": ()}
    """The dimensions of the tables that belong to features of the node: none, for those of a head take turns."""
    cos: Tensor
    sin: Tensor

    def __init__(self, heads: int, cos: Tensor, sin: Tensor, *, whole: bool, interleaved: bool) -> None:
        super().__init__()
        self.heads, self.whole, self.interleaved = heads, whole, interleaved
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, length), shaped like the input."""
        found: Tensor = self.turn(x, self.cos, self.sin)
        return found

    def turn(self, x: Any, cos: Any, sin: Any) -> Any:
        """The same with given tables."""
        dim = self.cos.shape[0]
        by_head = x.unflatten(1, (-1, self.heads)).permute(0, 2, 3, 1)  # (n, heads, length, features)
        turned = by_head if self.whole else by_head[..., :dim]
        if self.interleaved:
            partner = turned.unflatten(3, (-1, 2)).flip(4).flatten(3)
        else:
            partner = torch.cat((turned[..., dim // 2 :], turned[..., : dim // 2]), dim=-1)
        turned = turned * cos.transpose(0, 1) + partner * sin.transpose(0, 1)
        whole = turned if self.whole else torch.cat((turned, by_head[..., dim:]), dim=-1)
        return whole.permute(0, 3, 1, 2).flatten(1, 2)

    def extra_repr(self) -> str:
        """Heads, and the features of each that are turned."""
        return f"heads={self.heads}, dim={self.cos.shape[0]}"


class TurnedAdapter(Unchanging[Turned]):
    """New features of a head stand behind those that are turned."""

    operation_type = Turned

    def obstacle(self, operation: Turned, entering: Features) -> str | None:
        return MIXED_HEADS if entering.segments > 1 or entering.repeated else None

    def unit(self, operation: Turned) -> int:
        return operation.heads

    def grow(self, operation: Turned, at: int, size: int, passed: Passed) -> list[Replaced]:
        operation.whole = False
        return []

    def left(self, operation: Turned, places: Tensor) -> torch.nn.Module:
        raise GrowthError(f"{operation} cannot lose features: they are turned in pairs")


def tables(dim: int, length: int, base: float, *, interleaved: bool) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (dim, length) of position · base^(−2i/dim) for pair i."""
    speed = base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = speed[:, None] * torch.arange(length, dtype=torch.float64)
    cos, sin = angles.cos(), angles.sin()
    if interleaved:
        return cos.repeat_interleave(2, 0), torch.stack((-sin, sin), 1).flatten(0, 1)
    return torch.cat((cos, cos)), torch.cat((-sin, sin))


def build(node: Rotary, inputs: Sequence[Shape]) -> Turned:
    """The torch module of the node."""
    features, length = inputs[0]
    dim, dtype = node.turned(features), torch.get_default_dtype()
    cos, sin = (table.to(dtype) for table in tables(dim, length, node.base, interleaved=node.interleaved))
    return Turned(node.heads, cos, sin, whole=dim * node.heads == features, interleaved=node.interleaved)


def _plain(part: Turned) -> PlainTorch:
    if part.cos.shape[1] == 1:  # at the first position nothing is turned
        return PlainTorch({}, lambda call, x: x)
    held = {f"_{name}": Parameter(table, requires_grad=False) for name, table in part.named_buffers()}
    return PlainTorch(held, lambda call, x: part.turn(x, call("_cos"), call("_sin")))


TORCH = TorchHalf(build, [TurnedAdapter()], export={Turned: _plain})
