"""The differences between layer kinds, one small file each, looked up by the type of the layer."""

from gromo_graph.modules.adapters import linear as linear  # registers itself
from gromo_graph.modules.adapters.base import ADAPTERS, LayerAdapter, adapter_for, register

__all__ = ["ADAPTERS", "LayerAdapter", "adapter_for", "register"]
