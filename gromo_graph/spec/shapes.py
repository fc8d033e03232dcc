"""Shape inference: every node's output shape from the shapes of the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from gromo_graph.amounts import amount
from gromo_graph.spec.kinds import Node, Shape, ShapeMismatch
from gromo_graph.spec.text.locations import clipped
from gromo_graph.spec.wording import listed, with_article

MAX_VALUES = 1_000_000_000
"""The most values that the output of a node may have for one sample."""


@dataclass(frozen=True)
class Shapes:
    """The shapes that could be inferred.

    Attributes:
        known: output shape by node name; a node behind a mismatch is missing.
        mismatches: messages, by the name of the node whose inputs do not fit. keys: the key that is to blame.
    """

    known: Mapping[str, Shape] = field(default_factory=dict)
    mismatches: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


def infer_shapes(nodes: Mapping[str, Node], order: Iterable[str]) -> Shapes:
    """Walk the nodes in topological order; go on behind a mismatch so that all are found at once."""
    known: dict[str, Shape] = {}
    mismatches: dict[str, str] = {}
    keys: dict[str, str] = {}
    for name in order:
        node = nodes[name]
        if any(source not in known for source in node.sources):
            continue
        wrong_count = count_problem(node)
        if wrong_count is not None:
            mismatches[name] = wrong_count
            continue
        inputs = [known[source] for source in node.sources]
        try:
            shape = node.output_shape(inputs)
        except ShapeMismatch as mismatch:
            found = _edges_text(name, node.sources, inputs)
            mismatches[name] = f"{mismatch.expected}, but {found}: {mismatch.advice}"
            keys[name] = mismatch.key
            continue
        if prod(shape) > MAX_VALUES:
            mismatches[name] = (
                f"the output {list(shape)} has {prod(shape):,} values, at most {MAX_VALUES:,} fit"
            )
            continue
        known[name] = shape
    return Shapes(known, mismatches, keys)


def count_problem(node: Node) -> str | None:
    """Say why a node cannot read as many nodes as it does; None if it can."""
    found, most = len(node.sources), node.max_sources
    if (most is None or found <= most) and found >= len(node.source_names):
        return None
    kind = with_article(node.kind)
    if most is not None and found > most:
        wanted = {0: "nothing", 1: "one node"}.get(most, f"at most {amount(most, 'node')}")
        advice = "put a `merge` node between" if most else "leave `from` out"
        return f"{kind} node reads {wanted}, found {found}: {advice}"
    return f"{kind} node reads {listed(node.source_names)}, found {found} of them: name all in `from`"


def _edges_text(name: str, sources: Sequence[str], inputs: Sequence[Shape]) -> str:
    """`a->b is 4 wide, c->b is 6 wide`: the first edge of each size, at most four."""
    first: dict[Shape, str] = {}
    for source, shape in zip(sources, inputs, strict=True):
        first.setdefault(shape, source)
    texts = [f"`{clipped(source)}->{clipped(name)}` is {_size(shape)}" for shape, source in first.items()]
    return ", ".join(texts[:4]) + (", …" if len(texts) > 4 else "")


def _size(shape: Shape) -> str:
    return f"{shape[0]} wide" if len(shape) == 1 else str(list(shape))
