"""Stages of equal residual blocks, `body.1`, `body.2`, ..., which get another block behind the last one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gromo_graph.errors import GraphError
from gromo_graph.graph.edits.blocks import copied_behind, entry_of, exit_of
from gromo_graph.graph.paths import NoBridge
from gromo_graph.graph.view import Graph
from gromo_graph.spec.kinds import Convolution, Layer, Linear, Merge, Node, is_frozen
from gromo_graph.spec.kinds.norm import Norm
from gromo_graph.spec.model import Spec

_OF_GROWTH = ("new", "deep", "to")


@dataclass(frozen=True)
class Stage:
    """The last block of a stage, and the copy that may stand behind it.

    Attributes:
        name: of the stage, such as `body`. entry: the node that the block reads. end: the node at which it is read.
        names: the new name of each of its nodes.
        closing: the nodes that enter its sums. If their weights are 0, the block gives what it reads.
        copies: nodes of the copy by name, each after those it reads.
    """

    name: str
    entry: str
    end: str
    names: Mapping[str, str]
    closing: tuple[str, ...]
    copies: tuple[tuple[str, Node], ...]

    @property
    def nodes(self) -> tuple[tuple[str, Node], ...]:
        """The new nodes."""
        return self.copies

    def spec_of(self, spec: Spec) -> Spec:
        """The spec with the copy: whoever read the block reads the copy."""
        return copied_behind(spec, self.names, self.entry, self.end)


def stages(graph: Graph) -> Iterator[Stage | NoBridge]:
    """Every stage, by the names of its blocks; with the reason if none can be added."""
    last: dict[str, int] = {}
    for name in graph.spec.nodes:
        parts = name.split(".")
        for place, part in enumerate(parts):
            if place and part.isdecimal() and parts[place - 1] not in _OF_GROWTH:
                stage = ".".join(parts[:place])
                last[stage] = max(last.get(stage, 0), int(part))
    for stage, number in last.items():
        if stage in graph.spec.nodes:
            continue
        try:
            yield _stage(graph, stage, number)
        except GraphError as error:
            yield NoBridge(stage, stage, False, False, str(error))


def _stage(graph: Graph, stage: str, number: int) -> Stage:
    """
    Raises:
        GraphError: its last block cannot be the identity, or is no block.
    """
    spec, block = graph.spec, f"{stage}.{number}"
    names = {
        name: f"{stage}.{number + 1}{name.removeprefix(block)}"
        for name in spec.nodes
        if name == block or name.startswith(f"{block}.")
    }
    entry, end = entry_of(spec, names), exit_of(spec, names)
    if end in spec.outputs:
        raise GraphError("it is an output, which has to stay what it is")
    if graph.shapes[entry] != graph.shapes[end]:
        raise GraphError(f"`{entry}` is {list(graph.shapes[entry])} and `{end}` is {list(graph.shapes[end])}")
    for name in names:
        if is_frozen(spec.nodes[name]):
            raise GraphError(f"`{name}` is frozen")
    closing = tuple(_closing(graph, names, entry, end))
    after = copied_behind(spec, names, entry, end).nodes
    copies = [names[name] for name in sorted(names, key=graph.place.__getitem__)]
    return Stage(stage, entry, end, names, closing, tuple((copy, after[copy]) for copy in copies))


def _closing(graph: Graph, names: Mapping[str, str], entry: str, end: str) -> Iterator[str]:
    """The nodes that enter the sums between the entry and the end of a residual block."""
    nodes, at = graph.spec.nodes, end
    while at != entry:
        node = nodes[at]
        # Behind a block that ends in a ReLU another ReLU changes nothing.
        passing = ("identity", "relu") if at == end else ("identity",)
        if not isinstance(node, Merge) or node.merge != "sum" or node.activation not in passing:
            raise GraphError(
                f"`{at}` is no sum that could leave what passes as it is: expected a residual block"
            )
        through = [name for name in node.sources if name == entry or isinstance(nodes[name], Merge)]
        if len(through) != 1 or not (through[0] == entry or through[0] in names):
            raise GraphError(
                f"`{at}` reads {len(through)} nodes that could be the residual path: expected one"
            )
        for name in node.sources:
            if name != through[0]:
                _check_closes(graph, name)
                yield name
        at = through[0]


def _check_closes(graph: Graph, name: str) -> None:
    """Refuse a node that has no weights which could be 0 at first."""
    node = graph.spec.nodes[name]
    plain = isinstance(node, Linear | Convolution | Norm) and node.activation == "identity"
    if not plain or len(graph.readers(name)) != 1 or (isinstance(node, Layer) and node.tokens is not None):
        raise GraphError(
            f"`{name}` enters a sum: expected a linear or convolution layer or a norm, without an activation"
        )
