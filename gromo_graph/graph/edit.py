"""Edits as values: `apply(spec, edit) -> spec`, pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gromo_graph.errors import GraphError
from gromo_graph.spec.kinds import Layer
from gromo_graph.spec.model import Spec


@dataclass(frozen=True)
class Widen:
    """Every producer of one width group gets `neurons` more features."""

    producers: tuple[str, ...]
    neurons: int


def apply(spec: Spec, edit: Widen) -> Spec:
    """The spec after the edit; the given one is left as it was.

    Raises:
        GraphError: a producer is missing or is no layer, or nothing would be added.
    """
    if edit.neurons < 1:
        raise GraphError(f"a group can be widened by 1 feature or more, found {edit.neurons}")
    nodes = dict(spec.nodes)
    for name in edit.producers:
        node = nodes.get(name)
        if not isinstance(node, Layer):
            raise GraphError(f"`{name}` cannot be widened: it is no layer of this spec")
        nodes[name] = node.model_copy(update={"features": node.features + edit.neurons})
    return replace(spec, nodes=nodes)
