"""`softmax`, `log_softmax`: torch's own modules. They have no adapter, for nothing grows through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import FunctionRow, as_function
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.softmax import LogSoftmax, Softmax


def build(node: Softmax, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node."""
    return torch.nn.LogSoftmax(dim=1) if isinstance(node, LogSoftmax) else torch.nn.Softmax(dim=1)


def shares(kind: type[Softmax]) -> FunctionRow:
    """The row of a kind: along the features, which stand first in a sample or last."""

    def read(call: TorchCall, input: Any, dim: Any = None, *rest: Any, **named: Any) -> ModelValue:
        view = call.in_any_order(input)
        last = len(call.shape)
        axis = dim % (last + 1) if isinstance(dim, int) else None
        if axis == last > 1:
            source = call.by_features(view)
            return call.behind_positions(call.add(kind, sources=(source.node,)), source)
        if axis == 1:
            return call.add(kind, sources=(call.exact(view),))
        raise Unmapped(f"it is taken along dimension {dim}: expected the features, first or last")

    return read


_ROWS = {"softmax": shares(Softmax), "log_softmax": shares(LogSoftmax)}

TORCH = TorchHalf(
    build,
    import_functions={**_ROWS, "_softmax": _ROWS["softmax"], "_log_softmax": _ROWS["log_softmax"]},
    import_modules={
        torch.nn.Softmax: as_function(_ROWS["softmax"], "dim"),
        torch.nn.LogSoftmax: as_function(_ROWS["log_softmax"], "dim"),
    },
)
