"""Shape inference: every node's output shape from the shapes of the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gromo_graph.spec.kinds import Node, Shape, ShapeMismatch


@dataclass(frozen=True)
class Shapes:
    """What is known of the shapes.

    Attributes:
        known: output shape by node name; a node behind a mismatch is missing.
        mismatches: what is wrong, by the name of the node whose inputs do not fit.
    """

    known: Mapping[str, Shape] = field(default_factory=dict)
    mismatches: Mapping[str, str] = field(default_factory=dict)


def infer_shapes(nodes: Mapping[str, Node], order: Iterable[str]) -> Shapes:
    """Walk the nodes in topological order; go on behind a mismatch so that all are found at once."""
    known: dict[str, Shape] = {}
    mismatches: dict[str, str] = {}
    for name in order:
        node = nodes[name]
        if any(source not in known for source in node.sources):
            continue
        try:
            known[name] = node.output_shape([known[source] for source in node.sources])
        except ShapeMismatch as mismatch:
            mismatches[name] = str(mismatch)
    return Shapes(known, mismatches)
