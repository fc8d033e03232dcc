"""May a width group grow in this version, and if not, why."""

from __future__ import annotations

from gromo_graph.graph.view import Graph
from gromo_graph.graph.widths import WidthGroup


def obstacle(graph: Graph, group: WidthGroup) -> str | None:
    """Why the group cannot grow, or None: what the graph forbids, then what is not there yet.

    One producer directly before one consumer can grow; growth through merges and fan-outs cannot yet.
    """
    if group.reason is not None:
        return group.reason
    if group.merges:
        return f"it passes through the merge `{group.merges[0]}`: growth through merges is not available yet"
    if len(group.consumers) > 1:
        readers = ", ".join(f"`{name}`" for name in group.consumers)
        return f"it is read by {readers}: growth of a fan-out is not available yet"
    if graph.units[group.consumers[0]].previous != group.producers:
        return f"`{group.consumers[0]}` does not read it directly: growth across merges is not available yet"
    return None
