"""`group_norm`: it grows by whole groups, which start as close to the identity as a group norm can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import GroupNorm as TorchGroupNorm
from torch.nn import functional

from gromo_graph.algebra import Tangent
from gromo_graph.errors import GrowthError
from gromo_graph.layers.operation import (
    NO_WEIGHTS,
    Channels,
    Features,
    NewChannels,
    OperationAdapter,
    Passed,
)
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import as_function
from gromo_graph.plain_torch.torch_call import TorchCall, weights_of
from gromo_graph.spec.kinds import GroupNorm, Shape
from gromo_graph.spec.kinds.refusals import MIXED_GROUPS


def build(node: GroupNorm, inputs: Sequence[Shape]) -> TorchGroupNorm:
    """The torch module of the node."""
    return TorchGroupNorm(node.groups, inputs[0][0], eps=node.eps)


class GroupNormAdapter(OperationAdapter[TorchGroupNorm]):
    """New groups see new channels alone (docs/maths.md, "Norms").

    Their weight is √(s² · spread² + ε), the size that the channels have at the scaling factor s, and their bias is 0.
    So a group subtracts its own mean and changes nothing else: exactly to first order in s, and otherwise up to the
    difference in size between samples. If the spread is not known, the weight is 1 as in a new norm.
    """

    operation_type = TorchGroupNorm
    needs_spread = True

    def obstacle(self, operation: TorchGroupNorm, entering: Features) -> str | None:
        if operation.num_channels != entering.width:
            return (
                f"it normalises {operation.num_channels} of something else than the {entering.width} features"
            )
        if entering.segments > 1 or entering.repeated:
            return MIXED_GROUPS
        if not operation.affine:
            return NO_WEIGHTS
        return None

    def unit(self, operation: TorchGroupNorm) -> int:
        return operation.num_channels // operation.num_groups

    def new_alone(self, operation: TorchGroupNorm, new: NewChannels) -> Tensor:
        size = self._checked(operation, new.values.shape[1])
        weight = self._weight(operation, size, new.factor, new.spread, new.values)
        groups = size // self.unit(operation)
        return functional.group_norm(new.values, groups, weight, None, operation.eps)

    def tangent(self, operation: TorchGroupNorm, channels: Channels) -> Channels:
        self._checked(operation, channels.values.shape[1])
        grouped = channels.values.unflatten(1, (-1, self.unit(operation)))
        mean = grouped.mean(dim=tuple(range(2, grouped.dim())), keepdim=True)
        return Channels((grouped - mean).flatten(1, 2), 0.0)

    def gain(self, operation: TorchGroupNorm, resting: float) -> Tangent:
        """A new group subtracts the value at which its channels rest."""
        return Tangent(0.0, 1.0, 1.0)

    def average(self, operation: TorchGroupNorm, maps: Tensor) -> Tensor:
        return maps

    def check(self, operation: TorchGroupNorm, size: int, passed: Passed) -> None:
        self._checked(operation, size)

    def grow(self, operation: TorchGroupNorm, at: int, size: int, passed: Passed) -> list[Replaced]:
        operation.num_groups += size // self.unit(operation)
        operation.num_channels += size
        old = operation.weight
        factor = old.new_tensor(passed.factor)
        weight = self._weight(operation, size, factor, passed.spread, old)
        return [
            grown(operation, "weight", weight, dim=0, at=at),
            grown(operation, "bias", old.new_zeros(size), dim=0, at=at),
        ]

    def _weight(
        self, operation: TorchGroupNorm, size: int, factor: Tensor, spread: Tensor | None, like: Tensor
    ) -> Tensor:
        if spread is None:
            return like.new_ones(size)
        return ((factor * spread.to(like)).square() + operation.eps).sqrt()

    def _checked(self, operation: TorchGroupNorm, size: int) -> int:
        unit = self.unit(operation)
        if size % unit:
            raise GrowthError(
                f"{operation} grows by whole groups of {unit} channels: found {size} new ones, expected a multiple "
                f"of {unit}"
            )
        return size


def group_norm(
    call: TorchCall,
    input: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> ModelValue:
    """The groups of torch are those of the node."""
    if weight is None or bias is None:
        raise Unmapped("it has no weight and bias: expected affine=True")
    weights = weights_of(call, weight=weight, bias=bias)
    return call.add(GroupNorm, weights, sources=(call.exact(input),), groups=num_groups, eps=float(eps))


TORCH = TorchHalf(
    build,
    [GroupNormAdapter()],
    import_functions={"group_norm": group_norm},
    import_modules={TorchGroupNorm: as_function(group_norm, "num_groups", "weight", "bias", "eps")},
)
