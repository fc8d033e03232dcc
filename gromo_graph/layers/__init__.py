"""The torch halves of the kinds, a file each: layers that grow (base.py), operations between them (operation.py)."""

from gromo_graph.layers import (
    attention as attention,
)
from gromo_graph.layers import (  # register themselves
    batch_norm as batch_norm,
)
from gromo_graph.layers import (
    conv_transpose as conv_transpose,
)
from gromo_graph.layers import (
    convolution as convolution,
)
from gromo_graph.layers import (
    depthwise as depthwise,
)
from gromo_graph.layers import (
    dropout as dropout,
)
from gromo_graph.layers import (
    embedding as embedding,
)
from gromo_graph.layers import (
    flatten as flatten,
)
from gromo_graph.layers import (
    group_norm as group_norm,
)
from gromo_graph.layers import (
    layer_norm as layer_norm,
)
from gromo_graph.layers import (
    linear as linear,
)
from gromo_graph.layers import (
    pool as pool,
)
from gromo_graph.layers import (
    positions as positions,
)
from gromo_graph.layers import (
    reorder as reorder,
)
from gromo_graph.layers import (
    upsample as upsample,
)
from gromo_graph.layers.base import ADAPTERS, Kernel, LayerAdapter, adapter_for, register
from gromo_graph.layers.operation import (
    OperationAdapter,
    operation_adapter,
    operations_of,
    operations_with_repeats,
)
from gromo_graph.layers.replaced import Kept, ParameterChange, Replaced

__all__ = [
    "ADAPTERS",
    "Kept",
    "Kernel",
    "LayerAdapter",
    "OperationAdapter",
    "ParameterChange",
    "Replaced",
    "adapter_for",
    "operation_adapter",
    "operations_of",
    "operations_with_repeats",
    "register",
]
