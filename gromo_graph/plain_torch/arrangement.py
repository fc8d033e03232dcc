"""Values of a model whose dimensions are parts of the axes of a node, in any order: heads, windows, moved features.

A model that reshapes and permutes moves no numbers of the spec: a dimension is a row of factors, each of which goes
along an axis of the node in steps of one size. What reads the value decides whether a node must be made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from gromo_graph.plain_torch.blueprint import Misread, ModelValue
from gromo_graph.spec.kinds import Shape

BATCH, FEATURES = -1, 0
"""Axes beside those of the positions, which are counted from 1."""


@dataclass(frozen=True)
class Factor:
    """A part of a dimension: its index i stands for the place i · step along an axis.

    Attributes:
        axis: BATCH, FEATURES, or the number of an axis of positions. size: of the index. step: along the axis.
    """

    axis: int
    size: int
    step: int = 1


Dim = tuple[Factor, ...]
"""The outermost factor first; none at all is a size of 1."""
Dims = tuple[Dim, ...]


@dataclass(frozen=True)
class Arranged(ModelValue):
    """A value by its dimensions.

    Attributes:
        dims: those of the model, the batch included, of which `shape` has the sizes behind the first.
        made_by: the call that brought them into this order, for messages.
    """

    dims: Dims = ()
    made_by: str = ""

    @property
    def sizes(self) -> Shape:
        """Those of all dimensions."""
        return tuple(map(size_of, self.dims))

    def with_dims(self, dims: Iterable[Dim]) -> Arranged:
        """The same node with other dimensions."""
        found = tuple(map(joined, dims))
        return replace(self, dims=found, shape=tuple(map(size_of, found[1:])))

    def of(self, node: str, own: Shape, instead: Mapping[Factor, Factor]) -> Arranged:
        """Another node of this shape, with other factors in the place of some."""
        dims = [[instead.get(factor, factor) for factor in dim] for dim in self.dims]
        return Arranged(node, own, ()).with_dims(map(tuple, dims))


def size_of(dim: Sequence[Factor]) -> int:
    """The size of a dimension."""
    return prod(factor.size for factor in dim)


def joined(dim: Iterable[Factor]) -> Dim:
    """Factors of size 1 left out, and neighbours that are one factor as one."""
    found: list[Factor] = []
    for factor in dim:
        if factor.size == 1:
            continue
        last = found[-1] if found else None
        if last is not None and last.axis == factor.axis and last.step == factor.step * factor.size:
            found[-1] = Factor(factor.axis, last.size * factor.size, factor.step)
        else:
            found.append(factor)
    return tuple(found)


def along(axis: int, size: int) -> Dim:
    """A whole axis."""
    return joined([Factor(axis, size)])


def arranged(view: ModelValue, batch: int) -> Arranged:
    """A value by its dimensions."""
    if isinstance(view, Arranged):
        return view
    axes = [(axis, size) for axis, size in enumerate(view.own)]
    if view.turned:
        axes = [*axes[1:], axes[0]]
    factors = [Factor(BATCH, batch), *(Factor(axis, size) for axis, size in axes)]
    flat = Arranged(view.node, view.own, (), dims=tuple((factor,) for factor in factors))
    return reshaped(flat, (batch, *view.shape))


def settled(value: Arranged) -> ModelValue:
    """The value as features in front of positions, or behind them, if it is one of these; else itself."""
    if not value.dims or value.dims[0] not in ((), (Factor(BATCH, value.sizes[0]),)):
        return value
    features, positions = _in_order(value.own, (FEATURES,)), _in_order(value.own, range(1, len(value.own)))
    rest = joined(factor for dim in value.dims[1:] for factor in dim)
    in_front = rest == joined([*features, *positions])
    behind = rest == joined([*positions, *features])
    if in_front and behind:  # one feature, or one position: the size of the last dimension tells which it is
        shape = value.shape
        behind = len(shape) > 1 and shape[-1] == value.own[0] and shape[0] != value.own[0]
        in_front = not behind
    if in_front or behind:
        return ModelValue(value.node, value.own, value.shape, turned=behind)
    return value


def _in_order(own: Shape, axes: Iterable[int]) -> Dim:
    return tuple(Factor(axis, own[axis]) for axis in axes)


def turn_of_features(dim: Sequence[Factor], features: int) -> int | None:
    """The groups of a channel shuffle that brings all features into the order of a dimension; None if none does.

    >>> turn_of_features((Factor(FEATURES, 2, 1), Factor(FEATURES, 3, 2)), 6)  # (3, 2) becomes (2, 3)
    3
    """
    for place in range(1, len(dim)):
        if joined([*dim[place:], *dim[:place]]) == along(FEATURES, features):
            return size_of(dim[place:])
    return None


def reshaped(value: Arranged, shape: Sequence[int]) -> Arranged:
    """The same numbers in the same order, in another shape.

    Raises:
        Unmapped: it cuts an axis at places that are no multiples, or the batch.
    """
    left = [factor for dim in value.dims for factor in dim]
    dims: list[list[Factor]] = []
    for size in shape:
        dim: list[Factor] = []
        while (rest := size // size_of(dim)) > 1:
            factor = left.pop(0) if left else Factor(BATCH, 0)
            if factor.size and rest % factor.size == 0:
                dim.append(factor)
            elif factor.size % rest == 0 and factor.axis != BATCH:
                inner = factor.size // rest
                dim.append(Factor(factor.axis, rest, factor.step * inner))
                left.insert(0, replace(factor, size=inner))
            else:
                raise Misread(
                    f"it reads {list(value.sizes)} as {list(shape)}, the batch first: expected dimensions that are "
                    "divided or joined as a whole, and all samples"
                )
        dims.append(dim)
    return value.with_dims(map(tuple, dims))


def permuted(value: Arranged, order: Sequence[int]) -> Arranged:
    """Its dimensions in another order."""
    return value.with_dims(value.dims[dim] for dim in order)


def places(value: Arranged) -> Tensor:
    """The place in a flat sample of the node for each number of the model, in the shape that the model has, (...)."""
    found = torch.zeros((), dtype=torch.long)
    for dim in value.dims[1:]:
        along_dim = torch.zeros(1, dtype=torch.long)
        for factor in dim:
            step = factor.step * prod(value.own[factor.axis + 1 :])
            along_dim = (along_dim[:, None] + torch.arange(factor.size) * step).flatten()
        found = found[..., None] + along_dim
    return found


def factors_of(value: Arranged, axis: int) -> list[Factor]:
    """The factors of an axis from the outermost to the innermost.

    Raises:
        Unmapped: they are not the whole axis.
    """
    found = [factor for dim in value.dims for factor in dim if factor.axis == axis]
    inside = sorted(found, key=lambda factor: -factor.step)
    if joined(inside) != along(axis, value.own[axis]):
        raise Misread(f"it reads parts of {list(value.own)} as {list(value.sizes)}: expected all of them")
    return inside


def turned_to_front(value: Arranged, node: str, first: Factor) -> tuple[Arranged, Factor]:
    """The value of a node that has the features in another order, the factors from `first` on in front."""
    inside = factors_of(value, FEATURES)
    place = inside.index(first)
    instead: dict[Factor, Factor] = {}
    step = value.own[FEATURES]
    for factor in [*inside[place:], *inside[:place]]:
        step //= factor.size
        instead[factor] = Factor(FEATURES, factor.size, step)
    return value.of(node, value.own, instead), instead[first]


def exchanged(value: Arranged, node: str) -> Arranged:
    """The value of a node that has the features and the positions of a sequence exchanged."""
    dims = [
        [replace(each, axis=1 - each.axis) if each.axis != BATCH else each for each in dim]
        for dim in value.dims
    ]
    return Arranged(node, value.own[::-1], ()).with_dims(map(tuple, dims))
