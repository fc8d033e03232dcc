"""The torch halves of the kinds, a file each: layers that grow (base.py), operations between them (operation.py)."""

from gromo_graph.modules.adapters import (
    attention as attention,
)
from gromo_graph.modules.adapters import (  # register themselves
    batch_norm as batch_norm,
)
from gromo_graph.modules.adapters import (
    conv_transpose as conv_transpose,
)
from gromo_graph.modules.adapters import (
    convolution as convolution,
)
from gromo_graph.modules.adapters import (
    depthwise as depthwise,
)
from gromo_graph.modules.adapters import (
    dropout as dropout,
)
from gromo_graph.modules.adapters import (
    embedding as embedding,
)
from gromo_graph.modules.adapters import (
    flatten as flatten,
)
from gromo_graph.modules.adapters import (
    group_norm as group_norm,
)
from gromo_graph.modules.adapters import (
    layer_norm as layer_norm,
)
from gromo_graph.modules.adapters import (
    linear as linear,
)
from gromo_graph.modules.adapters import (
    pool as pool,
)
from gromo_graph.modules.adapters import (
    positions as positions,
)
from gromo_graph.modules.adapters import (
    reorder as reorder,
)
from gromo_graph.modules.adapters import (
    upsample as upsample,
)
from gromo_graph.modules.adapters.base import ADAPTERS, Kernel, LayerAdapter, adapter_for, register
from gromo_graph.modules.adapters.operation import (
    OperationAdapter,
    operation_adapter,
    operations_of,
    operations_with_repeats,
)
from gromo_graph.modules.adapters.replaced import Kept, ParameterChange, Replaced

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
