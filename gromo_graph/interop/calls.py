"""One call in a model, as it was traced, and what its arguments may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gromo_graph.interop.blueprint import Blueprint, Source, Unmapped, View
from gromo_graph.spec.kinds import Fixed, Node, Shape


@dataclass(frozen=True)
class Weight:
    """A parameter or a buffer of the model, by its path."""

    path: str
    tensor: Tensor


@dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on the inputs and is no weight as it stands."""


class Call:
    """What a handler works with.

    Attributes:
        blueprint: the spec in the making. shape: of the result, without the batch. where: path of the module it is in.
        operator: what is called. training: the mode of the module that is called; None for a function.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        shape: Shape,
        where: str,
        operator: str,
        is_module: bool = False,
        training: bool | None = None,
        owners: dict[int, str],
    ) -> None:
        self.blueprint, self.shape, self.where, self.operator = blueprint, shape, where, operator
        self.is_module, self.training = is_module, training
        self._owners = owners  # of each tensor the node that has it as its weight

    def add(
        self, kind: type[Node], weights: Mapping[str, Weight | None] | None = None, **fields: Any
    ) -> View:
        """A node for this call.

        Args:
            kind, fields: its model. weights: by their names in the node's torch module; None for one that is not there.

        Raises:
            Unmapped: the language has no such node, or another node has these weights already.
        """
        tensors = {key: weight for key, weight in (weights or {}).items() if weight is not None}
        for weight in tensors.values():
            if id(weight.tensor) in self._owners:
                raise Unmapped(
                    f"it shares its weights with `{self._owners[id(weight.tensor)]}`: expected weights of its own"
                )
        name = self.named(kind, tensors)
        source = Source({key: weight.tensor for key, weight in tensors.items()}, self.training)
        view = self.blueprint.add(name, kind, source, **fields)
        for weight in tensors.values():
            self._owners[id(weight.tensor)] = view.node
        return view

    def inside(self, name: str, shape: Shape) -> Call:
        """The same for a module inside the one that is called.

        Args:
            name: in it. shape: of what it gives.
        """
        return Call(
            self.blueprint,
            shape=shape,
            where=f"{self.where}.{name}".lstrip("."),
            operator=name,
            is_module=True,
            training=self.training,
            owners=self._owners,
        )

    def claim(self, owner: nn.Module | Weight) -> None:
        """Take the weights of a module, or one of them, that nodes will have in another form.

        Raises:
            Unmapped: another node has some of them already.
        """
        tensors = [owner.tensor] if isinstance(owner, Weight) else list(owner.parameters())
        for tensor in tensors:
            if id(tensor) in self._owners:
                raise Unmapped(f"it shares its weights with `{self._owners[id(tensor)]}`")
        self._owners.update(dict.fromkeys(map(id, tensors), self.where))

    def keep(self, module: nn.Module, values: Sequence[Any]) -> View:
        """A node that is the module itself.

        Raises:
            Unmapped: it shares weights, or reads or gives something that no node does.
        """
        self.claim(module)
        if not 1 <= len(self.shape) <= 3:
            raise Unmapped(f"it gives {list(self.shape)} of a sample: expected 1 to 3 dimensions")
        sources = self.blueprint.different([self.view(value) for value in values])
        return self.blueprint.add(
            self.named(Fixed, {}),
            Fixed,
            Source(training=self.training, module=module),
            sources=sources,
            module=type(module).__name__,
            takes=tuple(self.blueprint.shapes[source] for source in sources),
            shape=self.shape,
            parameters=sum(parameter.numel() for parameter in module.parameters()),
        )

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

    def view(self, value: Any) -> View:
        """A value of the model that depends on its inputs.

        Raises:
            Unmapped: it is something else.
        """
        if isinstance(value, View):
            return self.blueprint.known(value)
        if isinstance(value, Weight):
            raise Unmapped(f"it takes the parameter `{value.path}` for a value: expected values of nodes")
        if isinstance(value, Constant):
            raise Unmapped("it takes a constant tensor: expected values of nodes")
        raise Unmapped(f"it takes {value!r}: expected values of nodes")

    def exact(self, value: Any) -> str:
        """The node that gives a value in the shape the model reads it in."""
        return self.blueprint.exact(self.view(value))

    def weight(self, value: Any, what: str) -> Weight | None:
        """A weight as it stands in the model.

        Raises:
            Unmapped: it is computed.
        """
        if value is None or isinstance(value, Weight):
            return value
        raise Unmapped(f"its {what} is computed in the forward pass: expected a parameter as it stands")


def same_along_axes(value: Any, what: str) -> Any:
    """One number for all axes.

    Raises:
        Unmapped: they differ.

    >>> same_along_axes((3, 3), "kernel"), same_along_axes("same", "padding"), same_along_axes([], "stride")
    (3, 'same', None)
    """
    if isinstance(value, tuple | list):
        if len(set(value)) > 1:
            raise Unmapped(f"its {what} is {tuple(value)}: expected the same along all axes")
        return value[0] if value else None
    return value


def weights_of(call: Call, **given: Any) -> dict[str, Weight | None]:
    """Weights by their names in the node's torch module, as they stand in the model."""
    return {key: call.weight(value, key) for key, value in given.items()}


def size_of(weight: Weight | None, dim: int) -> int:
    """A size of a weight that must be there.

    Raises:
        Unmapped: it is not.
    """
    if weight is None:
        raise Unmapped("it has no weight")
    return int(weight.tensor.shape[dim])
