"""The sizes that a run has grown, taken over into the spec of its author."""

from __future__ import annotations

from dataclasses import replace

from gromo_graph.errors import GraphError
from gromo_graph.spec.kinds import Node
from gromo_graph.spec.load import check_spec
from gromo_graph.spec.model import Spec

_SIZES = ("features", "groups", "sources")


def grown(author: Spec, start: Spec, end: Spec, *, sizes: bool = False) -> Spec:
    """The author's spec with what a run changed: its own settings (`--set`) stay out.

    Args:
        start, end: the spec that the run began with, and that of the step that is wanted.
        sizes: take widths and sources as they were at that step, whatever the author's are now.

    Raises:
        GraphError: the run is of another network.
    """
    inputs = [(name, author.nodes.get(name)) for name in start.inputs]
    if list(author.inputs) != list(start.inputs) or any(node != start.nodes[name] for name, node in inputs):
        raise GraphError(
            f"the run is of another network, `{start.name}`: its inputs are not those of `{author.name}`"
        )
    nodes = {
        name: _changed(node, author.nodes.get(name), start.nodes.get(name), sizes=sizes)
        for name, node in end.nodes.items()
    }
    found = replace(author, nodes=nodes, outputs=end.outputs, named_outputs=end.named_outputs)
    return replace(found, nodes=end.nodes) if check_spec(found) else found


def _changed(end: Node, author: Node | None, start: Node | None, *, sizes: bool) -> Node:
    """The author's node with the fields that differ between the start and the end of a run."""
    if author is None or type(author) is not type(end) or type(start) is not type(end):
        return end
    changed = {
        key: getattr(end, key)
        for key in type(end).model_fields
        if getattr(end, key) != getattr(start, key) or (sizes and key in _SIZES)
    }
    return author.model_copy(update=changed)
