"""`roll`: positions move along, and those that leave at one end come back at the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gromo_graph.layers.pool import Resampling, along_axes
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.arrangement import along, settled
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.plain_torch.torch_call import TorchCall, per_axis
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.roll import Roll


class Rolled(torch.nn.Module):
    """x.roll(shifts, dims), along all axes of positions."""

    def __init__(self, shifts: Sequence[int]) -> None:
        super().__init__()
        self.shifts = tuple(shifts)
        self.dims = tuple(range(2, 2 + len(self.shifts)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, ...), shaped like the input."""
        return x.roll(self.shifts, self.dims)

    def extra_repr(self) -> str:
        """The shifts."""
        return str(self.shifts)


def build(node: Roll, inputs: Sequence[Shape]) -> Rolled:
    """The torch module of the node."""
    return Rolled(along_axes(node.shifts, len(inputs[0]) - 1))


def roll(call: TorchCall, input: Any, shifts: Any, dims: Any = None) -> ModelValue:
    """Of positions alone; the model may have them in any dimensions.

    Raises:
        Unmapped: it moves something else.
    """
    value = call.arranged(input)
    numbers, given = ([each] if isinstance(each, int) else list(each or ()) for each in (shifts, dims))
    refused = Unmapped(
        f"it rolls dimensions {given} of {list(value.sizes)}: expected positions along whole axes"
    )
    if len(numbers) != len(given):
        raise refused
    by_axis = [0] * (len(value.own) - 1)
    for number, dim in zip(numbers, given, strict=True):
        factors = value.dims[dim]
        if not factors:  # there is one position
            continue
        axis = factors[0].axis
        if axis < 1 or factors != along(axis, value.own[axis]):
            raise refused
        by_axis[axis - 1] += number
    if not any(by_axis):
        return call.in_any_order(input)
    found = call.add(Roll, sources=(value.node,), shifts=per_axis(by_axis))
    return settled(value.of(found.node, value.own, {}))


TORCH = TorchHalf(
    build,
    [Resampling(Rolled)],
    import_functions={"roll": roll},
    export={Rolled: lambda part: PlainTorch({}, lambda call, x: x.roll(part.shifts, part.dims))},
)
