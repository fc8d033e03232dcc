"""`TorchHalf`: the record in which a kind says how it is built, how it grows, and how it is imported and exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from gromo_graph.layers.base import LayerAdapter
from gromo_graph.layers.operation import OperationAdapter
from gromo_graph.plain_torch.rows import ExportRow, FunctionRow, ModuleRow
from gromo_graph.spec.kinds.base import Shape

Builder = Callable[[Any, Sequence[Shape]], torch.nn.Module]
"""(node, shapes of what it reads, without the batch) -> module, whose first weights the caller draws."""

Adapter = LayerAdapter[Any] | OperationAdapter[Any]


@dataclass(frozen=True)
class TorchHalf:
    """The torch half of a kind, beside the model of its nodes, which knows no torch.

    Attributes:
        build: makes the module of a node.
        adapters: how modules of these torch classes grow; none for an operation on each value alone.
        identity: gives a new module, in place, the weights with which it passes what it reads unchanged, and says
            whether there are such; None if there never are. An edit that inserts a node asks for it.
        behind: makes, of the module of a layer, the operation that its output passes first; None if there is none.
        import_functions: by the name of a function of `torch.nn.functional`, of a tensor method or of an operator.
        import_modules: by the class of torch; a subclass with the same forward pass is read as that.
        import_named: by the name of a class that torch has not, but several libraries. That it computes what the row
            says is checked as for all others.
        export: by the class of a module that `build` makes; torch's own modules need no row.
    """

    build: Builder
    adapters: Sequence[Adapter] = ()
    identity: Callable[[Any], bool] | None = None
    behind: Callable[[Any], torch.nn.Module] | None = None
    import_functions: Mapping[str, FunctionRow] = field(default_factory=dict)
    import_modules: Mapping[type[torch.nn.Module], ModuleRow] = field(default_factory=dict)
    import_named: Mapping[str, ModuleRow] = field(default_factory=dict)
    export: Mapping[type[torch.nn.Module], ExportRow] = field(default_factory=dict)
