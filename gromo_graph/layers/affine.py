"""`affine`: a learned factor and a learned offset for each feature, or one for all; new features pass unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.layers.operation import Features, Passed, Unchanging, with_entries
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.plain_torch.torch_call import TorchCall, Weight
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.affine import Affine


class SharedAffine(torch.nn.Module):
    """weight · x + bias, one number each; None for one that is not there. It acts on each value alone.

    Args:
        size: numbers of each.
    """

    def __init__(self, *, weight: bool, bias: bool, size: int = 1) -> None:
        super().__init__()
        self.weight = Parameter(torch.ones(size)) if weight else None
        self.bias = Parameter(torch.zeros(size)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, ...), shaped like the input."""
        return self.applied(x, self.weight, self.bias)

    def applied(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """The same with given numbers."""
        scaled = x if weight is None else x * weight
        return scaled if bias is None else scaled + bias


class FeatureAffine(SharedAffine):
    """The same with a number for each feature of an input with so many positions.

    Args:
        axes: dimensions of the positions.
    """

    def __init__(self, features: int, axes: int, *, weight: bool, bias: bool) -> None:
        super().__init__(weight=weight, bias=bias, size=features)
        self.axes = axes

    def applied(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """The same with given numbers, one for each feature."""
        ones = [1] * self.axes
        return super().applied(
            x,
            None if weight is None else weight.reshape(-1, *ones),
            None if bias is None else bias.reshape(-1, *ones),
        )


def build(node: Affine, inputs: Sequence[kinds.Shape]) -> SharedAffine:
    """The torch module of the node: the identity at first."""
    if node.shared:
        return SharedAffine(weight=node.weight, bias=node.bias)
    return FeatureAffine(inputs[0][0], len(inputs[0]) - 1, weight=node.weight, bias=node.bias)


def _size(operation: FeatureAffine) -> int:
    return next(operation.parameters()).shape[0]


class FeatureAffineAdapter(Unchanging[FeatureAffine]):
    """A new feature gets a factor of 1 and an offset of 0."""

    operation_type = FeatureAffine

    def obstacle(self, operation: FeatureAffine, entering: Features) -> str | None:
        if _size(operation) != entering.width:
            return f"it has numbers for {_size(operation)} features, not for {entering.width}"
        return None

    def grow(self, operation: FeatureAffine, at: int, size: int, passed: Passed) -> list[Replaced]:
        return [
            grown(
                operation, name, parameter.new_full((size,), 1.0 if name == "weight" else 0.0), dim=0, at=at
            )
            for name, parameter in list(operation.named_parameters())
        ]

    def left(self, operation: FeatureAffine, places: Tensor) -> torch.nn.Module:
        return with_entries(operation, places)


def make_identity(affine: SharedAffine) -> bool:
    """Factors of 1, offsets of 0."""
    with torch.no_grad():
        for name, parameter in affine.named_parameters():
            parameter.fill_(1.0 if name == "weight" else 0.0)
    return True


def affine(call: TorchCall, value: ModelValue, half: str, weight: Weight) -> ModelValue | None:
    """`x * parameter` or `x + parameter` in a model, with a number for each feature or one for all; None for others.

    Args:
        half: "weight" or "bias". weight: the parameter.
    """
    fields = {name: name == half for name in ("weight", "bias")}
    sizes = _beside(tuple(weight.tensor.shape), len(value.shape))
    if sizes is None:
        return None
    own = weight.converted(lambda given: given.reshape(-1))
    if prod(sizes) == 1:
        node = call.add(Affine, {half: own}, sources=(value.node,), shared=True, **fields)
        return replace(value, node=node.node)
    if len(value.shape) == 2 and prod(sizes) == sizes[-1] > 1 and not value.features_last:
        value = call.by_features(value)
    feature_axis = len(value.shape) - 1 if value.features_last else 0
    if prod(sizes) != sizes[feature_axis] or sizes[feature_axis] != value.shape[feature_axis]:
        return None
    if value.turned or value.own[:1] == value.shape[:1]:
        if value.turned and not value.features_last:
            return None
        return replace(value, node=call.add(Affine, {half: own}, sources=(value.node,), **fields).node)
    return call.add(Affine, {half: own}, sources=(call.exact(value),), **fields)


def _beside(given: tuple[int, ...], dimensions: int) -> tuple[int, ...] | None:
    """The sizes of a parameter along the dimensions of a sample; None if it differs from sample to sample."""
    if len(given) > dimensions:
        if given[0] != 1 or len(given) > dimensions + 1:
            return None
        given = given[1:]
    return (*[1] * (dimensions - len(given)), *given)


def _plain(part: SharedAffine) -> PlainTorch:
    named = dict(part.named_parameters())
    return PlainTorch(
        {f"__{name}": parameter for name, parameter in named.items()},
        lambda call, x: part.applied(
            x, *(call(f"__{name}") if name in named else None for name in ("weight", "bias"))
        ),
    )


TORCH = TorchHalf(
    build,
    [FeatureAffineAdapter()],
    identity=make_identity,
    export={SharedAffine: _plain, FeatureAffine: _plain},
)
"""A model that multiplies by a parameter or adds one is read by `affine`, from `interop/arithmetic.py`."""
