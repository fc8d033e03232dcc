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
        here = place(key)
        if here == key:
            nodes[key] = values
        elif here not in nodes:
            nodes[here] = _block(here[1], blocks[here[1]], parts)
    edges: dict[PartKey, Values] = {}
    ends: dict[PartKey, tuple[PartKey, PartKey]] = {}
    for key, values in parts.edges.items():
        tail, head = map(place, parts.ends[key])
        if tail == head:
            continue
        new = ("edge", f"{tail[1]}->{head[1]}") if head[0] == "node" else key
        edges.setdefault(new, values)
        ends[new] = tail, head
    on_trunk = {place(("node", name))[1] for name in parts.trunk.nodes}
    along = {(place(("node", a))[1], place(("node", b))[1]) for a, b in parts.trunk.edges}
    trunk = Trunk(frozenset(on_trunk), frozenset((a, b) for a, b in along if a != b))
    return Parts(nodes, edges, ends, trunk)


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
