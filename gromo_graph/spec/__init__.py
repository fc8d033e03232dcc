"""YAML text <-> spec. No torch."""

from gromo_graph.spec.model import Spec

__all__ = ["Spec"]
