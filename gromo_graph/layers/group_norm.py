"""`group_norm`: it grows by whole groups, which start as close to the identity as a group norm can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph.errors import GrowthError
from gromo_graph.layers.operation import (
    NO_WEIGHTS,
    Channels,
    Features,
    NewChannels,
    OperationAdapter,
    Passed,
    register_operation,
)
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.spec.kinds import GroupNorm, Shape


def build(node: GroupNorm, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node."""
    return torch.nn.GroupNorm(node.groups, inputs[0][0], eps=node.eps)


class GroupNormAdapter(OperationAdapter):
    """New groups see new channels alone.

    Their weight is √(s² · spread² + ε), the size that the channels have at the scaling factor s, and their bias 0: then
    a group gives what it gets less its own mean, up to how much one sample differs in size from another; and to first
    order in s exactly that. Where the spread is not known, weight 1 as in a new norm.
    """

    operation_type = torch.nn.GroupNorm
    needs_spread = True

    def obstacle(self, operation: Any, entering: Features) -> str | None:
        if operation.num_channels != entering.width:
            return (
                f"it normalises {operation.num_channels} of something else than the {entering.width} features"
            )
        if entering.segments > 1 or entering.repeated:
            return "its groups would mix the features of several layers or positions"
        if not operation.affine:
            return NO_WEIGHTS
        return None

    def unit(self, operation: Any) -> int:
        return int(operation.num_channels // operation.num_groups)

    def new_alone(self, operation: Any, new: NewChannels) -> Tensor:
        size = self._checked(operation, new.values.shape[1])
        weight = self._weight(operation, size, new.factor, new.spread, new.values)
        groups = size // self.unit(operation)
        return functional.group_norm(new.values, groups, weight, None, operation.eps)

    def tangent(self, operation: Any, channels: Channels) -> Channels:
        self._checked(operation, channels.values.shape[1])
        grouped = channels.values.unflatten(1, (-1, self.unit(operation)))
        mean = grouped.mean(dim=tuple(range(2, grouped.dim())), keepdim=True)
        return Channels((grouped - mean).flatten(1, 2), 0.0)

    def average(self, operation: Any, maps: Tensor) -> Tensor:
        return maps

    def check(self, operation: Any, size: int, passed: Passed) -> None:
        self._checked(operation, size)

    def grow(self, operation: Any, at: int, size: int, passed: Passed) -> list[Replaced]:
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
        self, operation: Any, size: int, factor: Tensor, spread: Tensor | None, like: Tensor
    ) -> Tensor:
        if spread is None:
            return like.new_ones(size)
        weight: Tensor = ((factor * spread.to(like)).square() + operation.eps).sqrt()
        return weight

    def _checked(self, operation: Any, size: int) -> int:
        unit = self.unit(operation)
        if size % unit:
            raise GrowthError(
                f"{operation} grows by whole groups of {unit} channels: found {size} new ones, expected a multiple "
                f"of {unit}"
            )
        return size


register_operation(GroupNormAdapter())
