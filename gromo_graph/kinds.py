"""For authors of kinds: the bases of both halves, and the helpers they are written with.

The torch-free ones are there at once; the others are imported when they are first asked for, so that a module which
registers kinds can be loaded without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gromo_graph.spec.kinds import Layer, Operation, Shape, ShapeMismatch
from gromo_graph.spec.kinds.registry import register_kind

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
    from gromo_graph.translation.blueprint import Unmapped, View
    from gromo_graph.translation.rows import PlainTorch, as_function
    from gromo_graph.translation.torch_call import TorchCall, weights_of

_TORCH = {
    "Channels": "layers.operation",
    "Features": "layers.operation",
    "LayerAdapter": "layers.base",
    "NewChannels": "layers.operation",
    "OperationAdapter": "layers.operation",
    "Passed": "layers.operation",
    "PlainTorch": "translation.rows",
    "Replaced": "layers.replaced",
    "TorchCall": "translation.torch_call",
    "TorchHalf": "layers.torch_half",
    "Unchanging": "layers.operation",
    "Unmapped": "translation.blueprint",
    "View": "translation.blueprint",
    "Weighted": "layers.weighted",
    "as_function": "translation.rows",
    "grown": "layers.replaced",
    "weights_of": "translation.torch_call",
    "with_entries": "layers.operation",
}

__all__ = [
    "Channels",
    "Features",
    "Layer",
    "LayerAdapter",
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
    "View",
    "Weighted",
    "as_function",
    "grown",
    "register_kind",
    "weights_of",
    "with_entries",
]


def __getattr__(name: str) -> Any:
    if name not in _TORCH:
        raise AttributeError(f"module 'gromo_graph.kinds' has no attribute {name!r}")
    return getattr(import_module(f"gromo_graph.{_TORCH[name]}"), name)
