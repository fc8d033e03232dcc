"""One call in a model, as it was traced, and what its arguments may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gromo_graph.plain_torch.arrangement import (
    FEATURES,
    Arranged,
    Factor,
    along,
    arranged,
    exchanged,
    reshaped,
    settled,
    turn_of_features,
    turned_to_front,
)
from gromo_graph.plain_torch.blueprint import Blueprint, Misread, ModelValue, Source, Unmapped
from gromo_graph.spec.kinds import Node, Shape
from gromo_graph.spec.kinds.again import Again


@dataclass(frozen=True)
class Weight:
    """A parameter or a buffer of the model.

    Attributes:
        path: of it in the model. tensor: its values. original: the tensor of the model, if `tensor` has another form.
        entries: of values that were looked up, the place of each in the flat tensor of the model.
    """

    path: str
    tensor: Tensor
    original: Tensor | None = None
    entries: Tensor | None = None

    @property
    def owned(self) -> Tensor:
        """The tensor of the model."""
        return self.tensor if self.original is None else self.original

    def converted(self, change: Callable[[Tensor], Tensor]) -> Weight:
        """A copy of the values in another form, trained if the original is."""
        values = change(self.tensor.detach()).contiguous().clone()
        entries = None if self.entries is None else change(self.entries)
        return Weight(self.path, trained_like(self.tensor, values), self.owned, entries)

    def looked_up(self, change: Callable[[Tensor], Tensor]) -> Weight:
        """The same of a look-up, after which one value may stand at several places."""
        every = torch.arange(self.tensor.numel(), device=self.tensor.device).reshape(self.tensor.shape)
        return replace(self, entries=every if self.entries is None else self.entries).converted(change)


@dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on the inputs and is no weight as it stands."""


@dataclass(frozen=True)
class Absent:
    """A tensor that a call gives and no node: whoever takes it is in the way.

    Attributes:
        what: its name in messages.
    """

    what: str


class TorchCall:
    """The call that a row reads, and the spec in the making.

    Attributes:
        blueprint: the spec in the making. shape: of the result, without the batch. where: path of the module it is in.
        batch: samples of the model. sizes: of the result, with its first dimension, which may hold more than these.
        operator: what is called. training: the mode of the module that is called; None for a function.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        batch: int,
        sizes: Shape,
        where: str,
        operator: str,
        is_module: bool = False,
        training: bool | None = None,
        owners: dict[Tensor, str],
    ) -> None:
        self.blueprint, self.batch, self.sizes, self.shape = blueprint, batch, sizes, sizes[1:]
        self.where, self.operator = where, operator
        self.is_module, self.training = is_module, training
        self._owners = owners  # of each tensor the node that has it as its weight

    def add(
        self, kind: type[Node], weights: Mapping[str, Weight | None] | None = None, **fields: Any
    ) -> ModelValue:
        """A node for this call.

        Args:
            kind, fields: its model. weights: by their names in the node's torch module; None for one that is not there.

        Raises:
            Unmapped: the language has no such node, or another node has these weights already.
        """
        tensors = {key: weight for key, weight in (weights or {}).items() if weight is not None}
        owner = next(
            (self._owners[each.owned] for each in tensors.values() if each.owned in self._owners), None
        )
        if owner is not None:
            return self._again(owner, kind, tensors, fields)
        name = self.named(kind, tensors)
        source = Source({key: weight.tensor for key, weight in tensors.items()}, self.training)
        view = self.blueprint.add(name, kind, source, **fields)
        for weight in tensors.values():
            self._owners[weight.owned] = view.node
        return view

    def _again(
        self, owner: str, kind: type[Node], tensors: Mapping[str, Weight], fields: Mapping[str, Any]
    ) -> ModelValue:
        """A node whose weights are those of another one.

        Raises:
            Unmapped: it uses them otherwise than that.
        """
        node, known = self.blueprint.nodes.get(owner), self.blueprint.sources.get(owner, Source()).tensors
        sources, shapes = fields["sources"], self.blueprint.shapes
        same = (
            type(node) is kind
            and node.model_copy(update={"sources": sources}) == kind(**fields)
            and shapes[sources[0]] == shapes[node.sources[0]]
            and known.keys() == tensors.keys()
            and all(torch.equal(known[key], weight.tensor) for key, weight in tensors.items())
        )
        if not same:
            raise Unmapped(
                f"it shares its weights with `{owner}`, and uses them otherwise: expected weights of its own"
            )
        return self.blueprint.add(f"{owner}.again", Again, sources=(*sources, owner))

    def owner_of(self, weight: Weight) -> str | None:
        """The node that has a weight already, as it stands in the model; None for a weight of another form."""
        as_it_stands = weight.tensor.shape == weight.owned.shape and torch.equal(weight.tensor, weight.owned)
        return self._owners.get(weight.owned) if as_it_stands else None

    def add_norm(
        self,
        kind: type[Node],
        weights: Mapping[str, Weight | None],
        value: Any,
        normalized: Shape,
        **fields: Any,
    ) -> ModelValue:
        """A node that normalises all values of a sample together, or with `over: features` the last dimension.

        Args:
            kind, weights, fields: of the node. value: that it reads. normalized: sizes of the last dimensions.

        Raises:
            Unmapped: it normalises others.
        """
        view = self.in_any_order(value)
        if normalized == view.shape and self.sizes[0] == self.batch:
            return self.add(kind, weights, sources=(self.exact(view),), **fields)
        if normalized != view.shape[-1:]:
            raise Unmapped(
                f"it normalises {normalized} of {list(view.shape)}: expected all values of a sample together, or the "
                "last dimension"
            )
        source = self.by_features(view)
        found = self.add(kind, weights, sources=(source.node,), over="features", **fields)
        return self.behind_positions(found, source)

    def by_features(self, value: Any) -> ModelValue:
        """The value, of a node whose features are its last dimension; a transpose or shuffle is added if need be.

        Raises:
            Unmapped: no node has such features.
        """
        view = self.in_any_order(value)
        if not isinstance(view, Arranged):
            node = self.blueprint.by_features(view)
            return ModelValue(node, self.blueprint.shapes[node], view.shape, turned=True)
        if len(view.own) == 2 and view.dims[-1] == along(1, view.own[1]):
            view = exchanged(view, self.blueprint.transposed(view.node))
        features = along(FEATURES, view.own[0])
        if view.dims[-1] == features:
            return view
        found = self.in_turns(view, view.dims[-1])
        if found.dims[-1] != features:
            raise Misread(
                f"it reads {list(view.own)} of each sample as {list(view.sizes)} with the batch: expected all features "
                "in the last dimension"
            )
        return found

    def behind_positions(self, found: ModelValue, before: ModelValue | None = None) -> ModelValue:
        """The output of a node, as a model reads it that has the features last.

        Args:
            found: the output. before: what the node reads, if it acts on each position alone.
        """
        if not isinstance(before, Arranged):
            return ModelValue(found.node, found.own, self.shape, turned=True)
        dims = (*before.dims[:-1], along(FEATURES, found.own[0]))
        return settled(Arranged(found.node, found.own, ()).with_dims(dims))

    def inside(self, name: str, shape: Shape) -> TorchCall:
        """The same for a module inside the one that is called.

        Args:
            name: in it. shape: of what it gives.
        """
        return TorchCall(
            self.blueprint,
            batch=self.batch,
            sizes=(self.sizes[0], *shape),
            where=f"{self.where}.{name}".lstrip("."),
            operator=name,
            is_module=True,
            training=self.training,
            owners=self._owners,
        )

    def claim(self, module: nn.Module) -> None:
        """Take the weights of a module that nodes will have in another form.

        Raises:
            Unmapped: another node has some of them already.
        """
        tensors = list(module.parameters())
        for tensor in tensors:
            if tensor in self._owners:
                raise Unmapped(f"it shares its weights with `{self._owners[tensor]}`")
        self._owners.update(dict.fromkeys(tensors, self.where))

    def named(self, kind: type[Node], tensors: Mapping[str, Weight]) -> str:
        """The path of the module, or that of the weights; else that of the module around, and what is called."""
        if self.is_module:
            path = self.where
        elif tensors:
            path = next(iter(tensors.values())).path.rpartition(".")[0]
        else:
            path = f"{self.where}.{self.operator}".lstrip(".")
        if path[:1].isdigit() or not path:
            path = f"{kind.model_fields['kind'].default}.{path}".rstrip(".")
        return path

    def view(self, value: Any) -> ModelValue:
        """A value of the model that depends on its inputs, its features in front of positions or behind them.

        Raises:
            Unmapped: it is something else.
        """
        view = self.in_any_order(value)
        if not isinstance(view, Arranged):
            return view
        found = settled(self.in_turns(view, [factor for dim in view.dims[1:] for factor in dim]))
        if not isinstance(found, Arranged):
            return found
        raise Misread(
            f"it reads {list(view.own)} of each sample as {list(view.sizes)} with the batch, in an order made by "
            f"{view.made_by}: expected the features to go behind all positions, or back to the front"
        )

    def in_turns(self, view: Arranged, factors: Sequence[Factor]) -> Arranged:
        """With the features in the order of some factors, if these are all of them and a channel shuffle does it."""
        order = [factor for factor in factors if factor.axis == FEATURES]
        groups = turn_of_features(order, view.own[0])
        if groups is None:
            return view
        return turned_to_front(view, self.blueprint.shuffled(view.node, groups), order[0])[0]

    def in_any_order(self, value: Any) -> ModelValue:
        """A value of the model that depends on its inputs, which may be `Arranged`.

        Raises:
            Unmapped: it is something else.
        """
        if isinstance(value, ModelValue):
            return self.blueprint.known(value)
        if isinstance(value, Weight):
            raise Unmapped(f"it takes the parameter `{value.path}` for a value: expected values of nodes")
        if isinstance(value, Constant):
            raise Unmapped("it takes a constant tensor: expected values of nodes")
        raise Unmapped(f"it takes {value!r}: expected values of nodes")

    def arranged(self, value: Any) -> Arranged:
        """The same by its dimensions."""
        return arranged(self.in_any_order(value), self.batch)

    def exact(self, value: Any) -> str:
        """The node that gives a value in the shape the model reads it in."""
        return self.blueprint.exact(self.view(value))

    def reshaped(self, value: Any) -> ModelValue:
        """The same numbers in the same order, in the shape that the call gives."""
        return settled(reshaped(self.arranged(value), self.sizes))

    def weight_in(self, module: nn.Module, name: str) -> Weight | None:
        """A parameter or a buffer of the module that is called, or None if it has none."""
        tensor = getattr(module, name)
        return None if tensor is None else Weight(f"{self.where}.{name}".lstrip("."), tensor)

    def weight(self, value: Any, what: str) -> Weight | None:
        """A weight as it stands in the model.

        Raises:
            Unmapped: it is computed.
        """
        if value is None or isinstance(value, Weight):
            return value
        raise Unmapped(f"its {what} is computed in the forward pass: expected a parameter as it stands")


def trained_like(parameter: Tensor, values: Tensor) -> Tensor:
    """Values as a parameter that is trained if the given one is; as a plain tensor if that is none."""
    if not isinstance(parameter, nn.Parameter):
        return values
    return nn.Parameter(values, requires_grad=parameter.requires_grad)


def per_axis(value: Any) -> Any:
    """One number for all axes if it is the same along each, else one for each; a single one or a word stays.

    >>> per_axis((3, 3)), per_axis([1, 7]), per_axis("same"), per_axis([])
    (3, (1, 7), 'same', None)
    """
    if isinstance(value, tuple | list):
        if len(set(value)) > 1:
            return tuple(value)
        return value[0] if value else None
    return value


def weights_of(call: TorchCall, **given: Any) -> dict[str, Weight | None]:
    """Weights by their names in the node's torch module, as they stand in the model."""
    return {key: call.weight(value, key) for key, value in given.items()}


def sizes_of(weight: Weight | None) -> tuple[int, ...]:
    """The shape of a weight that must be there.

    Raises:
        Unmapped: it is not.
    """
    if weight is None:
        raise Unmapped("it has no weight")
    return tuple(weight.tensor.shape)
