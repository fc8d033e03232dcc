"""Spec -> GrowingNetwork, and the one way to change it."""

from gromo_graph.network.compiler import compile_network
from gromo_graph.network.network import GrowingNetwork

__all__ = ["GrowingNetwork", "compile_network"]
