"""A single call of torch that is kept as it is: a module with the parameters that the call reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from gromo_graph.interop.traces.trace import is_extra
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import Weight


@dataclass(frozen=True)
class _Place:
    """The place of a tensor in the arguments: of a value, by its number, or of a weight, by its name."""

    key: int | str


@dataclass(frozen=True)
class _BatchSize:
    """The place of the number of samples among the sizes of a shape."""


_OF_SHAPES = frozenset(("view", "reshape", "expand", "repeat"))
"""Functions whose numbers are a shape, the batch first."""


class KeptCall(nn.Module):
    """Calls a function, a method of tensors or a module with values in their places, all else as it was in the model.

    Attributes:
        called: its name.
    """

    def __init__(
        self,
        called: str,
        target: Any,
        arguments: tuple[Any, Mapping[str, Any]],
        weights: Mapping[str, Tensor],
    ) -> None:
        super().__init__()
        self.called, self._target, self._arguments = called, target, arguments
        for name, tensor in weights.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)

    def forward(self, *values: Tensor) -> Any:
        """The result of the call."""

        def filled(leaf: Any) -> Any:
            if isinstance(leaf, _BatchSize):
                return len(values[0])
            if not isinstance(leaf, _Place):
                return leaf
            return values[leaf.key] if isinstance(leaf.key, int) else getattr(self, leaf.key)

        args, named = pytree.tree_map(filled, self._arguments)
        if isinstance(self._target, str):
            value, *others = args
            special = f"__{self._target}__"  # of Python's operators, such as `~`
            method = self._target if hasattr(value, self._target) else special
            return getattr(value, method)(*others, **named)
        return self._target(*args, **named)

    def extra_repr(self) -> str:
        """The function."""
        return self.called


def kept_call(
    name: str, target: Any, arguments: Sequence[Any], named: Mapping[str, Any], *, batch: int
) -> tuple[KeptCall, list[ModelValue]]:
    """A call as a module, and the values that it reads. Caches for a later call are left out.

    Args:
        name: of what is called. target: a module, a function, or the name of a method.
        arguments, named: with values of the model in the place of nodes. batch: samples in them.

    Raises:
        Unmapped: it reads something that is neither a value nor a weight of the model.
    """
    values: list[ModelValue] = []
    weights: dict[str, Tensor] = {}

    def placed(leaf: Any) -> Any:
        match leaf:
            case ModelValue():
                values.append(leaf)
                return _Place(len(values) - 1)
            case Weight():
                key = f"weight{len(weights)}"
                weights[key] = leaf.tensor
                return _Place(key)
            case Tensor():
                key = f"constant{len(weights)}"
                weights[key] = leaf
                return _Place(key)
            case (
                None
                | bool()
                | int()
                | float()
                | str()
                | slice()
                | torch.dtype()
                | torch.device()
                | EllipsisType()
            ):
                return leaf
        raise Unmapped(f"it takes {leaf!r}: expected values, weights and numbers")

    if name in _OF_SHAPES:
        arguments = _for_any_batch(arguments, batch)
    arguments = tuple(None if is_extra(each) else each for each in arguments)
    named = {key: None if is_extra(each) else each for key, each in named.items()}
    kept = KeptCall(name, target, pytree.tree_map(placed, (arguments, named)), weights)
    if isinstance(target, nn.Module):
        kept.training = target.training
    return kept, values


def _for_any_batch(arguments: Sequence[Any], batch: int) -> tuple[Any, ...]:
    value, *sizes = arguments
    row = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    if row and row[0] == batch:
        row = [_BatchSize(), *row[1:]]
    return (value, tuple(row))
