"""`flip`: positions in reverse order along some axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gromo_graph.layers.pool import Resampling
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.arrangement import along, settled
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.flip import Flip


class Flipped(torch.nn.Module):
    """x.flip(dims)."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ...), shaped like the input."""
        return x.flip(self.dims)

    def extra_repr(self) -> str:
        """The dimensions."""
        return str(self.dims)


def build(node: Flip, inputs: Sequence[Shape]) -> Flipped:
    """The torch module of the node."""
    return Flipped(node.dims)


def flip(call: TorchCall, input: Any, *dims: Any) -> ModelValue:
    """Of positions alone; the model may have them in any dimensions."""
    value = call.arranged(input)
    given = dims[0] if len(dims) == 1 and isinstance(dims[0], tuple | list) else dims
    factors = [
        factor for dim in given for factor in value.dims[dim]
    ]  # a row of an image's positions has both axes
    if any(factor.axis < 1 or (factor,) != along(factor.axis, value.own[factor.axis]) for factor in factors):
        raise Unmapped(f"it reverses dimensions {list(given)} of {list(value.sizes)}: expected positions")
    if not factors:  # there is one position
        return call.in_any_order(input)
    node = call.add(
        Flip, sources=(value.node,), dims=tuple(sorted(factor.axis + 1 for factor in factors))
    ).node
    return settled(value.of(node, value.own, {}))


TORCH = TorchHalf(
    build,
    [Resampling(Flipped)],
    import_functions={"flip": flip},
    export={Flipped: lambda part: PlainTorch({}, lambda call, x: x.flip(part.dims))},
)
