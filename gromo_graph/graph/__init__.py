"""The networkx view of a spec: order, links, width groups and edits, without torch."""

from gromo_graph.graph.call_order import Call
from gromo_graph.graph.costs import Cost, widening_cost
from gromo_graph.graph.growability import obstacle
from gromo_graph.graph.growth_edits import AddPath, Edit, Narrow, Widen, apply, narrowing, widening
from gromo_graph.graph.neighbours import Unit
from gromo_graph.graph.new_heads import HeadPlace, head_name, head_places, new_head
from gromo_graph.graph.paths import (
    Bridge,
    Middle,
    NoBridge,
    bridges,
    new_edge,
    new_node,
    path_cost,
    with_inputs,
)
from gromo_graph.graph.view import Edge, Graph, build_graph
from gromo_graph.graph.widths import WidthGroup

__all__ = [
    "AddPath",
    "Bridge",
    "Call",
    "Cost",
    "Edge",
    "Edit",
    "Graph",
    "HeadPlace",
    "Middle",
    "Narrow",
    "NoBridge",
    "Unit",
    "Widen",
    "WidthGroup",
    "apply",
    "bridges",
    "build_graph",
    "head_name",
    "head_places",
    "narrowing",
    "new_edge",
    "new_head",
    "new_node",
    "obstacle",
    "path_cost",
    "widening",
    "widening_cost",
    "with_inputs",
]
