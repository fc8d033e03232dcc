"""The public names for authors of kinds: `register_kind`, the bases of both halves, and helpers.

The torch-free ones are there at once; the others are imported when they are first asked for, so that a module which
registers kinds can be loaded without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gromo_graph.spec.kinds import Layer, Operation, Shape, ShapeMismatch
from gromo_graph.spec.kinds.kind_registry import register_kind

if TYPE_CHECKING:
    from gromo_graph.layers.base import LayerAdapter
    from gromo_graph.layers.operation import (
        Channels,
        Features,
        NewChannels,
        OperationAdapter,
        Passed,
        Unchanging,
        with_entries,
    )
    from gromo_graph.layers.replaced import Replaced, grown
    from gromo_graph.layers.torch_half import TorchHalf
    from gromo_graph.layers.weighted import Weighted
    from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
    from gromo_graph.plain_torch.rows import PlainTorch, as_function
    from gromo_graph.plain_torch.torch_call import TorchCall, weights_of

_HOMES = (
    "layers.base",
    "layers.operation",
    "layers.replaced",
    "layers.torch_half",
    "layers.weighted",
    "plain_torch.blueprint",
    "plain_torch.rows",
    "plain_torch.torch_call",
)

__all__ = [
    "Channels",
    "Features",
    "Layer",
    "LayerAdapter",
    "ModelValue",
    "NewChannels",
    "Operation",
    "OperationAdapter",
    "Passed",
    "PlainTorch",
    "Replaced",
    "Shape",
    "ShapeMismatch",
    "TorchCall",
    "TorchHalf",
    "Unchanging",
    "Unmapped",
    "Weighted",
    "as_function",
    "grown",
    "register_kind",
    "weights_of",
    "with_entries",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = import_module(f"gromo_graph.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'gromo_graph.kinds' has no attribute {name!r}")
