"""Blocks that are drawn as one box: nodes with a common prefix, such as those of `body: {use: ...}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from gromo_graph.errors import RenderError
from gromo_graph.graph import Graph

ALL = "all"

LARGE = 100
"""The most nodes of a drawing with labels on its edges; of larger networks blocks are collapsed by default."""


@dataclass(frozen=True)
class NodeBlock:
    """Nodes that are drawn as one.

    Attributes:
        name: the common prefix of their names. nodes: their names.
    """

    name: str
    nodes: tuple[str, ...]


def blocks_of(graph: Graph, wanted: Sequence[str]) -> Mapping[str, NodeBlock]:
    """The wanted blocks by the nodes in them.

    Raises:
        RenderError: there is no block of that name.

    >>> from gromo_graph.graph import build_graph
    >>> from gromo_graph.spec import parse_spec
    >>> text = '''
    ... nodes:
    ...   x: {kind: input, shape: [2]}
    ...   body.1: {kind: linear, from: x, features: 2}
    ...   body.2: {kind: linear, from: body.1, features: 2}
    ... output: body.2
    ... '''
    >>> {name: block.name for name, block in blocks_of(build_graph(parse_spec(text)), ["all"]).items()}
    {'body.1': 'body', 'body.2': 'body'}
    """
    names = list(graph.spec.nodes)
    known = block_names(names)
    outermost = [name for name in known if not any(name.startswith(f"{other}.") for other in known)]
    chosen = list(dict.fromkeys(name for each in wanted for name in (outermost if each == ALL else [each])))
    found: dict[str, NodeBlock] = {}
    for name in sorted(chosen, key=len, reverse=True):  # of blocks in blocks the outer one is drawn
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            listed = ", ".join(known[:12]) or "none"
            raise RenderError(f"no block `{name}`: {hint}The blocks are {listed}")
        nodes = tuple(node for node in names if node.startswith(f"{name}."))
        found |= dict.fromkeys(nodes, NodeBlock(name, nodes))
    return found


def collapsed_by_default(graph: Graph) -> tuple[str, ...]:
    """The blocks to draw as one box if nobody asked for any: none, unless the network is large.

    Innermost blocks are collapsed first, so that as much as possible of the structure remains.
    """
    names = list(graph.spec.nodes)
    if len(names) <= LARGE:
        return ()
    known = block_names(names)
    innermost = tuple(name for name in known if not any(other.startswith(f"{name}.") for other in known))
    boxes = len(names) - len(blocks_of(graph, innermost)) + len(innermost)
    return innermost if boxes <= LARGE // 2 else (ALL,) if known else ()


def block_names(names: Sequence[str]) -> list[str]:
    """The prefixes, up to a dot, that are blocks: no node has that name, and several parts follow it.

    Names that growth gives (`stem.to.join`, `lift.linear`, `new.3`) make no block.

    >>> block_names(["x", "body.1.a", "body.1.b", "body.2.a", "y.z", "x.to.a", "x.linear", "new.1", "new.2"])
    ['body', 'body.1']
    """
    nodes = set(names)
    following: dict[str, set[str]] = {}
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts)):
            following.setdefault(".".join(parts[:length]), set()).add(parts[length])
    grown = {"to", "linear"}
    return [
        prefix
        for prefix, parts in following.items()
        if prefix not in nodes and prefix.split(".")[-1] not in ("new", "to") and len(parts - grown) > 1
    ]
