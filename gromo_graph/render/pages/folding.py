"""A state of a network with each block folded into one node."""

from __future__ import annotations

from collections.abc import Sequence

from gromo_graph.amounts import amount
from gromo_graph.render.drawing.frames import every_frame, frames_of, repeats_of
from gromo_graph.render.drawing.trunk import Trunk
from gromo_graph.render.pages.parts import Parts, Values
from gromo_graph.render.placing.parsed_drawing import PartKey


def folded(parts: Parts) -> Parts:
    """The state with each innermost block as one node; edges inside a block are left out."""
    names = [name for what, name in parts.nodes if what == "node"]
    blocks = {frame.name: frame.nodes for frame in every_frame(frames_of(names)) if not frame.inner}
    block_of = {name: block for block, inside in blocks.items() for name in inside}

    def place(key: PartKey) -> PartKey:
        return (key[0], block_of.get(key[1], key[1])) if key[0] == "node" else key

    nodes: dict[PartKey, Values] = {}
    for key, values in parts.nodes.items():
        kind, here = place(key)
        if (kind, here) not in nodes:
            folds = (kind, here) != key
            nodes[kind, here] = _block(here, blocks[here], parts) if folds else values
    edges: dict[PartKey, Values] = {}
    ends: dict[PartKey, tuple[PartKey, PartKey]] = {}
    for key, (tail, head) in parts.ends.items():
        tail, head = place(tail), place(head)
        if tail != head:
            new = ("edge", f"{tail[1]}->{head[1]}") if head[0] == "node" else key
            edges.setdefault(new, parts.edges[key])
            ends[new] = tail, head
    on_trunk = frozenset(block_of.get(name, name) for name in parts.trunk.nodes)
    along = [(block_of.get(a, a), block_of.get(b, b)) for a, b in parts.trunk.edges]
    return Parts(nodes, edges, ends, Trunk(on_trunk, frozenset((a, b) for a, b in along if a != b)))


def _block(name: str, inside: Sequence[str], parts: Parts) -> Values:
    """The values of a block: sums over its nodes, and the shape of the last one."""
    states = [parts.nodes["node", each] for each in inside]
    parameters = sum(state["parameters"] for state in states)
    repeats = repeats_of(name, inside)
    return {
        "role": "layer",
        "kind": "block" if repeats == 1 else f"block ×{repeats}",
        "words": amount(len(inside), "node"),
        "shape": states[-1]["shape"],
        "parameters": parameters,
        "madds": sum(state["madds"] for state in states),
        # As options these show in what a block differs from another state.
        "options": {"nodes": len(inside), "parameters": parameters},
    }
