"""Random edits of a spec, most of which are possible."""

from __future__ import annotations

import random
from collections.abc import Iterator

from gromo_graph import (
    AddEdge,
    AddNode,
    DuplicateBlock,
    InsertBetween,
    RemoveEdge,
    RemoveNode,
    RenameNode,
    SetFeatures,
    SetOptions,
    Spec,
)
from gromo_graph.graph import build_graph
from gromo_graph.graph.edits import SpecEdit
from gromo_graph.spec.kinds import Layer


def proposed(spec: Spec, chance: random.Random) -> SpecEdit:
    """One edit, drawn at random."""
    names = list(spec.nodes)
    edges = build_graph(spec).edges
    layers = [name for name, node in spec.nodes.items() if isinstance(node, Layer)]
    edge = chance.choice(edges)
    new = f"n{chance.randrange(10**6)}"
    image = len(build_graph(spec).shapes[edge.source]) == 3
    inserted = [
        {"kind": "conv2d", "kernel": 3, "padding": "same"} if image else {"kind": "linear"},
        {"kind": "dropout", "p": 0.3},
        {"kind": "batch_norm"},
    ]
    choices: list[SpecEdit] = [
        InsertBetween(edge.source, edge.target, new, chance.choice(inserted)),
        SetFeatures(chance.choice(layers), chance.randint(1, 9)),
        AddEdge(chance.choice(names), chance.choice(names)),
        AddEdge(chance.choice(names), chance.choice(names), direct=True),
        RemoveEdge(edge.source, edge.target),
        RemoveNode(chance.choice(names)),
        RenameNode(chance.choice(names), new),
        SetOptions(chance.choice(layers), {"activation": chance.choice(["relu", "tanh"])}),
        DuplicateBlock([chance.choice(names)], f"{new}."),
        AddNode(
            new,
            {"kind": "merge", "from": [edge.source, edge.target], "merge": "concat"},
            read_by=[chance.choice(names)],
        ),
    ]
    return chance.choice(choices)


def sequence(spec: Spec, chance: random.Random, length: int) -> Iterator[SpecEdit]:
    """Edits each of which leads to a sound spec."""
    from gromo_graph import GromoGraphError, check_spec

    for _ in range(length * 4):
        edit = proposed(spec, chance)
        try:
            after = edit.spec_of(spec)
        except GromoGraphError:
            continue
        layers = any(isinstance(node, Layer) for node in after.nodes.values())
        if layers and not check_spec(after):
            spec = after
            yield edit
            length -= 1
        if length == 0:
            return
