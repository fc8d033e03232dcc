"""For authors of kinds: the bases of both halves, and what they are written with.

The torch-free ones are there at once; the others are imported when they are first asked for, so that a module which
registers kinds can be loaded without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gromo_graph.spec.kinds import Layer, Operation, Shape, ShapeMismatch
from gromo_graph.spec.kinds.own import register_kind

if TYPE_CHECKING:
    from gromo_graph.layers import LayerAdapter
    from gromo_graph.layers.operation import (
        Channels,
        Features,
        NewChannels,
        OperationAdapter,
        Passed,
        with_entries,
    )
    from gromo_graph.layers.replaced import Replaced, grown
    from gromo_graph.layers.weighted import Weighted

_TORCH = {
    "Channels": "operation",
    "Features": "operation",
    "LayerAdapter": "base",
    "NewChannels": "operation",
    "OperationAdapter": "operation",
    "Passed": "operation",
    "Replaced": "replaced",
    "Weighted": "weighted",
    "grown": "replaced",
    "with_entries": "operation",
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
    "Replaced",
    "Shape",
    "ShapeMismatch",
    "Weighted",
    "grown",
    "register_kind",
    "with_entries",
]


def __getattr__(name: str) -> Any:
    if name not in _TORCH:
        raise AttributeError(f"module 'gromo_graph.kinds' has no attribute {name!r}")
    return getattr(import_module(f"gromo_graph.layers.{_TORCH[name]}"), name)
