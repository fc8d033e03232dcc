"""The reading order of a spec's nodes, by networkx."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx

from gromo_graph.spec.kinds import Node


def reading_graph(nodes: Mapping[str, Node]) -> nx.DiGraph[str]:
    """One networkx node for each name and one edge `source -> target` for each reading."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((source, name) for name, node in nodes.items() for source in node.sources)
    return graph


def topological_order(nodes: Mapping[str, Node]) -> tuple[str, ...]:
    """Names so that every node stands after its sources; ties in the order of the document.

    Raises:
        networkx.NetworkXUnfeasible: the nodes form a cycle.
    """
    place = {name: index for index, name in enumerate(nodes)}
    return tuple(nx.lexicographical_topological_sort(reading_graph(nodes), key=place.__getitem__))
