"""An edit that gives a trained network more outputs, such as new classes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gromo_graph.arguments import checked
from gromo_graph.errors import GraphError
from gromo_graph.graph.edits.base import Edited, SpecEdit, node_named
from gromo_graph.graph.growth_edits import free_name
from gromo_graph.graph.view import build_graph
from gromo_graph.spec.kinds import Linear, Merge, Node
from gromo_graph.spec.kinds.base import Grow, Weighted
from gromo_graph.spec.model import Spec


@checked
@dataclass(frozen=True)
class WidenOutputs(SpecEdit):
    """More features of the output: a layer beside the old one, whose weights and biases begin at 0.

    The old outputs stay, to the bit, and the new ones are 0 at first. The output `y` becomes a concatenation of the old
    layer, `y.old`, and the new one, `y.new`.

    Attributes:
        features: of the output afterwards, old and new ones.
        output: its name; None if there is one alone.
        freeze: also freeze every node that was there, so that only new nodes are trained.
    """

    features: int
    output: str | None = None
    freeze: bool = False

    def edited(self, spec: Spec) -> Edited:
        """There must be more features than before, and a linear layer must give them."""
        name = self._name(spec)
        before = build_graph(spec).features(name)
        if self.features <= before:
            raise GraphError(
                f"`{name}` has {before} features already and cannot get {self.features}: expected more than {before}, "
                "the old ones included"
            )
        frozen = {key: _frozen(node) if self.freeze else node for key, node in spec.nodes.items()}
        head = _head(spec, name).model_copy(
            update={"features": self.features - before, "frozen": False, "grow": Grow()}
        )
        new = free_name(spec, f"{name}.new")
        total = frozen[name]
        if isinstance(total, Merge) and total.merge == "concat" and total.activation == "identity":
            joined = total.model_copy(update={"sources": (*total.sources, new)})
            return Edited(_replaced(spec, frozen, name, {new: head, name: joined}), {}, {new: "zero"})
        if name in {source for node in spec.nodes.values() for source in node.sources}:
            raise GraphError(f"`{name}` is read inside the network too: its width has to stay as it is")
        old = free_name(spec, f"{name}.old")
        joined = Merge(sources=(old, new), merge="concat")
        nodes = _replaced(spec, frozen, name, {old: total, new: head, name: joined})
        return Edited(nodes, {old: name}, {new: "zero"}, added=frozenset({new, name}))

    def _name(self, spec: Spec) -> str:
        if self.output is not None:
            node_named(spec, self.output)
        names = spec.outputs if self.output is None else (self.output,)
        if len(names) != 1 or names[0] not in spec.outputs:
            found = ", ".join(f"`{each}`" for each in spec.outputs)
            raise GraphError(f"expected the name of an output, one of {found}")
        return names[0]


def _replaced(spec: Spec, nodes: dict[str, Node], name: str, by: dict[str, Node]) -> Spec:
    """The spec with other nodes in the place of one."""
    found: dict[str, Node] = {}
    for key, node in nodes.items():
        found |= by if key == name else {key: node}
    return replace(spec, nodes=found)


def _head(spec: Spec, name: str) -> Linear:
    """The linear layer that gives an output, or its first part."""
    node = spec.nodes[name]
    if isinstance(node, Linear):
        return node
    if isinstance(node, Merge) and node.activation == "identity":
        makers = [each for each in node.sources if isinstance(spec.nodes[each], Linear | Merge)]
        if makers:
            return _head(spec, makers[0])
    raise GraphError(
        f"the output `{name}` is a {node.kind}: expected a linear layer, to put another beside it"
    )


def _frozen(node: Node) -> Node:
    """A node that keeps its weights."""
    update = {"frozen": True} if isinstance(node, Weighted) else {}
    return node.model_copy(update=update)
