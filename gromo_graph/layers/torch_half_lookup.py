"""The torch halves of all registered kinds, loaded when first asked for, by kind and by torch class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module
from typing import TypeVar

import torch

from gromo_graph.errors import CompileError, GrowthError
from gromo_graph.layers.base import LayerAdapter
from gromo_graph.layers.operation import Elementwise, OperationAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import ExportRow, FunctionRow, ModuleRow
from gromo_graph.spec.kinds import Node, Shape
from gromo_graph.spec.kinds.kind_registry import TORCH_HALVES, TorchHalfSource

M = TypeVar("M", bound=torch.nn.Module)

_ELEMENTWISE = Elementwise()


@dataclass(frozen=True)
class Rows:
    """The rows of all torch halves together.

    Attributes:
        layers, operations: adapters by the torch class they serve. functions, modules, named: for import.
        export: for export.
    """

    layers: dict[type[torch.nn.Module], LayerAdapter[torch.nn.Module]] = field(default_factory=dict)
    operations: dict[type[torch.nn.Module], OperationAdapter[torch.nn.Module]] = field(default_factory=dict)
    functions: dict[str, FunctionRow] = field(default_factory=dict)
    modules: dict[type[torch.nn.Module], ModuleRow] = field(default_factory=dict)
    named: dict[str, ModuleRow] = field(default_factory=dict)
    export: dict[type[torch.nn.Module], ExportRow] = field(default_factory=dict)


def rows() -> Rows:
    """The rows of all kinds that are registered now."""
    return _gathered(tuple(TORCH_HALVES.values()))


@lru_cache(maxsize=1)
def _gathered(sources: tuple[TorchHalfSource, ...]) -> Rows:
    found = Rows()
    for source in dict.fromkeys(sources):
        half = _loaded(source)
        for adapter in half.adapters:
            if isinstance(adapter, OperationAdapter):
                found.operations[adapter.operation_type] = adapter
            else:
                found.layers[adapter.layer_type] = adapter
        found.functions.update(half.import_functions)
        found.modules.update(half.import_modules)
        found.named.update(half.import_named)
        found.export.update(half.export)
    return found


@cache
def _loaded(source: TorchHalfSource) -> TorchHalf:
    if isinstance(source, str):
        module, _, name = source.partition(":")
        found = getattr(import_module(module), name)
    else:
        found = source()
    if isinstance(found, TorchHalf):
        return found
    build, adapter = found
    return TorchHalf(build, () if adapter is None else (adapter,))


def torch_half(kind: str) -> TorchHalf:
    """The torch half of a kind.

    Raises:
        CompileError: it has none.
    """
    if kind not in TORCH_HALVES:
        raise CompileError(f"the kind `{kind}` has no torch half: expected one of {', '.join(TORCH_HALVES)}")
    return _loaded(TORCH_HALVES[kind])


def build_module(node: Node, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of a node that reads these shapes, its first weights not drawn yet.

    Raises:
        CompileError: the kind has no torch half.
    """
    return torch_half(node.kind).build(node, inputs)


def operations_behind(kind: str, part: torch.nn.Module) -> list[torch.nn.Module]:
    """The operation that the output of a layer passes before its activation, if its kind has one."""
    make = torch_half(kind).behind
    return [] if make is None else [make(part)]


def make_identity(kind: str, part: torch.nn.Module) -> bool:
    """Give a new part, in place, the weights with which it passes its input unchanged; False if there are none."""
    make = torch_half(kind).identity
    return make is not None and make(part)


def adapter_for(layer: M) -> LayerAdapter[M]:
    """The adapter of a layer, by its class or the nearest class it descends from.

    Raises:
        GrowthError: the kind is not known (the message lists those that are), or an option of the layer is not.
    """
    adapters = rows().layers
    for kind in type(layer).__mro__:
        if kind in adapters:
            adapters[kind].check(layer)
            return adapters[kind]
    known = ", ".join(
        sorted(kind.__name__ for kind in adapters if not kind.__module__.startswith("gromo_graph."))
    )
    raise GrowthError(
        f"a layer of type {type(layer).__name__} cannot grow: expected one of {known}, or a layer that compile_network "
        "makes of a spec"
    )


def operation_adapter(operation: torch.nn.Module) -> OperationAdapter[torch.nn.Module]:
    """The adapter of an operation, by its class or the nearest class it descends from.

    >>> type(operation_adapter(torch.nn.ReLU())).__name__
    'Elementwise'
    """
    adapters = rows().operations
    for kind in type(operation).__mro__:
        if kind in adapters:
            return adapters[kind]
    return _ELEMENTWISE
