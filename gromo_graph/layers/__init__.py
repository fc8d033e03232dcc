"""The torch halves of the kinds, a file each, and the two interfaces by which growth knows them.

`base.py` is that of layers, which make features; `operation.py` that of what stands between them.
"""

from gromo_graph.layers.base import Kernel, LayerAdapter
from gromo_graph.layers.operation import OperationAdapter
from gromo_graph.layers.operations import operations_of, operations_with_repeats
from gromo_graph.layers.replaced import Kept, ParameterChange, Replaced
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.layers.torch_half_lookup import (
    adapter_for,
    build_module,
    make_identity,
    operation_adapter,
    operations_behind,
)

__all__ = [
    "Kept",
    "Kernel",
    "LayerAdapter",
    "OperationAdapter",
    "ParameterChange",
    "Replaced",
    "TorchHalf",
    "adapter_for",
    "build_module",
    "make_identity",
    "operation_adapter",
    "operations_behind",
    "operations_of",
    "operations_with_repeats",
]
