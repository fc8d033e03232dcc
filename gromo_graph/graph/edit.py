"""Edits as values: `apply(spec, edit) -> spec`, pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gromo_graph.errors import GraphError
from gromo_graph.graph.widths import WidthGroup
from gromo_graph.spec.kinds import Layer
from gromo_graph.spec.model import Spec


@dataclass(frozen=True)
class Widen:
    """Every producer of one width group gets `neurons` more features.

    Attributes:
        producers, neurons: which layers, and how many.
        operations: nodes the features pass through; those that depend on the width change with it (group norms).
    """

    producers: tuple[str, ...]
    neurons: int
    operations: tuple[str, ...] = ()


def widening(group: WidthGroup, neurons: int) -> Widen:
    """The edit that adds `neurons` features to a group."""
    return Widen(group.producers, neurons, group.operations)


def apply(spec: Spec, edit: Widen) -> Spec:
    """The spec after the edit; the given one is left as it was.

    Raises:
        GraphError: a producer is missing or is no layer, or nothing would be added.
    """
    if edit.neurons < 1:
        raise GraphError(f"a group can be widened by 1 feature or more, found {edit.neurons}")
    nodes = dict(spec.nodes)
    before = 0
    for name in edit.producers:
        node = nodes.get(name)
        if not isinstance(node, Layer):
            raise GraphError(f"`{name}` cannot be widened: it is no layer of this spec")
        before = node.features
        nodes[name] = node.model_copy(update={"features": node.features + edit.neurons})
    for name in edit.operations:
        nodes[name] = nodes[name].widened(before, edit.neurons)
    return replace(spec, nodes=nodes)
