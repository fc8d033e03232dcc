"""The networkx view of a spec: order, links, width groups and edits, without torch."""

from gromo_graph.graph.costs import Cost, widening_cost
from gromo_graph.graph.edit import Widen, apply, widening
from gromo_graph.graph.growability import obstacle
from gromo_graph.graph.links import Unit
from gromo_graph.graph.view import Edge, Graph, build_graph
from gromo_graph.graph.widths import WidthGroup

__all__ = [
    "Cost",
    "Edge",
    "Graph",
    "Unit",
    "Widen",
    "WidthGroup",
    "apply",
    "build_graph",
    "obstacle",
    "widening",
    "widening_cost",
]
