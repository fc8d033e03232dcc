"""`flatten`: channel after channel, as torch flattens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gromo_graph.layers.operation import OperationAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import as_function
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Flatten, Shape


def build(node: Flatten, inputs: Sequence[Shape]) -> torch.nn.Flatten:
    """The torch module of the node: (n, channels, ...) becomes (n, channels · positions)."""
    return torch.nn.Flatten()


class FlattenAdapter(OperationAdapter[torch.nn.Flatten]):
    """The positions of a channel become neighbouring features."""

    operation_type = torch.nn.Flatten
    flattens = True


def flatten(call: TorchCall, input: Any, *dims: Any, **named: Any) -> ModelValue:
    """Another view of the value; a node is made only if something reads it flat."""
    return call.reshaped(input)


TORCH = TorchHalf(
    build,
    [FlattenAdapter()],
    import_functions={"flatten": flatten},
    import_modules={torch.nn.Flatten: as_function(flatten)},
)
