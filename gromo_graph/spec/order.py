"""The reading order of a spec's nodes, by networkx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx

from gromo_graph.spec.kinds import Node
from gromo_graph.spec.text.locations import clipped


def reading_graph(nodes: Mapping[str, Node]) -> nx.DiGraph[str]:
    """One networkx node for each name and one edge `source -> target` for each reading."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((source, name) for name, node in nodes.items() for source in node.sources)
    return graph


def topological_order(graph: nx.DiGraph[str]) -> tuple[str, ...]:
    """Names of a reading graph so that every node stands after its sources; ties in the order of the document.

    Raises:
        networkx.NetworkXUnfeasible: the nodes form a cycle.
    """
    place = {name: index for index, name in enumerate(graph)}
    if all(place[source] < place[name] for source, name in graph.edges):
        return tuple(graph)  # the document has them in such an order, as it mostly has
    return tuple(nx.lexicographical_topological_sort(graph, key=place.__getitem__))


def cycles_in_order(graph: nx.DiGraph[str], names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """One shortest cycle for each knot of nodes that reach each other, in the direction of the edges.

    Each begins with the knot's first name in the order of `names`. A node with an edge to itself is no knot.

    >>> cycles_in_order(nx.DiGraph([("a", "b"), ("b", "c"), ("c", "b")]), ["a", "b", "c"])
    (('b', 'c'),)
    """
    place = {name: index for index, name in enumerate(names)}
    found: list[tuple[str, ...]] = []
    for knot in nx.strongly_connected_components(graph):
        if len(knot) > 1:
            first = min(knot, key=place.__getitem__)
            backwards = graph.subgraph(knot).reverse(copy=False)
            # towards[x] is the node after x on a shortest way back to `first`; nearer nodes come earlier
            towards = {node: after for after, node in nx.bfs_edges(backwards, first)}
            after = next(node for node in towards if graph.has_edge(first, node))
            cycle = [first]
            while after != first:
                cycle.append(after)
                after = towards[after]
            found.append(tuple(cycle))
    return tuple(sorted(found, key=lambda cycle: place[cycle[0]]))


def cycle_text(cycle: Sequence[str]) -> str:
    """`a -> b -> a`; the middle of a very long cycle is left out.

    >>> cycle_text(("a", "b"))
    'a -> b -> a'
    """
    names = [clipped(name) for name in (*cycle, cycle[0])]
    if len(names) > 20:
        names = [*names[:12], "…", *names[-6:]]
    return " -> ".join(names)
