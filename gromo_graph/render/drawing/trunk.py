"""The trunk of a network: its longest path, drawn as a straight line around which everything else bows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from gromo_graph.graph import Graph

STRAIGHT = "8"
"""Graphviz's `weight` of the edges of the trunk: they are drawn shorter and straighter than those of weight 1."""


@dataclass(frozen=True)
class Trunk:
    """The nodes of the longest path, and its edges as pairs of nodes."""

    nodes: frozenset[str]
    edges: frozenset[tuple[str, str]]


def trunk_of(graph: Graph) -> Trunk:
    """The trunk of a graph.

    >>> from gromo_graph.graph import build_graph
    >>> from gromo_graph.spec import parse_spec
    >>> nodes = "x: {kind: input, shape: [2]}, a: {kind: linear, from: x, features: 2}, m: {kind: merge, from: [x, a]}"
    >>> sorted(trunk_of(build_graph(parse_spec(f"nodes: {{{nodes}}}\\noutput: m"))).edges)
    [('a', 'm'), ('x', 'a')]
    """
    path = nx.dag_longest_path(graph.digraph)
    return Trunk(frozenset(path), frozenset(pairwise(path)))
