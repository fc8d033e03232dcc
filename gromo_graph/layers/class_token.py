"""`class_token`: learned positions in front of a sequence, where new features begin with zeros."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter, functional

from gromo_graph.layers.operation import (
    Channels,
    Features,
    NewChannels,
    OperationAdapter,
    Passed,
    refuse_moving_rest,
    with_entries,
)
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import PlainCall, PlainTorch
from gromo_graph.plain_torch.torch_call import TorchCall, Weight
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.class_token import ClassToken
from gromo_graph.spec.kinds.pad import Pad


class TokenInFront(torch.nn.Module):
    """(n, features, length) with a weight (features, count) before it."""

    def __init__(self, features: int, count: int) -> None:
        super().__init__()
        self.weight = Parameter(torch.zeros(features, count))

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, count + length)."""
        return torch.cat((self.weight.expand(x.shape[0], -1, -1), x), dim=2)

    def extra_repr(self) -> str:
        """Its shape."""
        return str(tuple(self.weight.shape))


def build(node: ClassToken, inputs: Sequence[kinds.Shape]) -> TokenInFront:
    """The torch module of the node; its weights are drawn by the compiler, from a generator."""
    return TokenInFront(inputs[0][0], node.count)


class TokenAdapter(OperationAdapter[TokenInFront]):
    """A new feature has zeros at the new positions: to it the operation is a padding."""

    operation_type = TokenInFront
    slides = separable = True

    def obstacle(self, operation: TokenInFront, entering: Features) -> str | None:
        if operation.weight.shape[0] != entering.width:
            return f"it has numbers for {operation.weight.shape[0]} features, not for {entering.width}"
        return None

    def average(self, operation: TokenInFront, maps: Tensor) -> Tensor:
        return functional.pad(maps, (operation.weight.shape[1], 0))

    def new_alone(self, operation: TokenInFront, new: NewChannels) -> Tensor:
        return self.average(operation, new.values)

    def tangent(self, operation: TokenInFront, channels: Channels) -> Channels:
        refuse_moving_rest(operation, channels.resting)
        return Channels(self.average(operation, channels.values), 0.0)

    def grow(self, operation: TokenInFront, at: int, size: int, passed: Passed) -> list[Replaced]:
        old = operation.weight
        return [grown(operation, "weight", old.new_zeros(size, old.shape[1]), dim=0, at=at)]

    def left(self, operation: TokenInFront, places: Tensor) -> torch.nn.Module:
        return with_entries(operation, places)


def token_in_front(call: TorchCall, weight: Weight, value: ModelValue) -> ModelValue:
    """A parameter put before positions, in the order that these have in the model: (1, count, features) if turned."""
    own = weight.converted(lambda given: given.reshape(given.shape[-2:]))
    if not value.features_last:
        return call.add(ClassToken, {"weight": own}, sources=(call.exact(value),), count=own.tensor.shape[1])
    own = own.converted(torch.t)
    source = call.blueprint.sequence(call.blueprint.by_features(value))
    node = call.add(ClassToken, {"weight": own}, sources=(source,), count=own.tensor.shape[1])
    return call.behind_positions(node)


def token_itself(call: TorchCall, weight: Weight) -> ModelValue | None:
    """The first positions of what a parameter was put before, as a model reads them that adds to its token alone."""
    owner = call.owner_of(weight)
    node = None if owner is None else call.blueprint.nodes.get(owner)
    if owner is None or not isinstance(node, ClassToken):
        return None
    features, length = call.blueprint.shapes[owner]
    found = call.add(Pad, sources=(owner,), padding=(0, node.count - length))
    is_last = weight.tensor.shape[-1] == features
    return ModelValue(found.node, found.own, (node.count, features) if is_last else found.own, turned=is_last)


def _plain(part: TokenInFront) -> PlainTorch:
    def compute(call: PlainCall, x: Tensor) -> Tensor:
        return torch.cat((call("").expand(x.size(0), -1, -1), x), dim=2)

    return PlainTorch({"": part.weight}, compute)


TORCH = TorchHalf(build, [TokenAdapter()], export={TokenInFront: _plain})
"""A model that concatenates a parameter and a value is read by `token_in_front`, from `interop/arithmetic.py`."""
