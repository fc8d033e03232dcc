"""The difference between two specs: nodes and edges that were added, removed or changed, and values that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from gromo_graph.arguments import checked
from gromo_graph.display import Displayed, printed
from gromo_graph.graph.view import Graph, build_graph
from gromo_graph.spec.kinds import Layer, Node, Shape
from gromo_graph.spec.model import HasSpec, Spec, spec_of_given


@dataclass(frozen=True)
class ValueChange:
    """A value of a node or a section that differs; None if one of the two specs has no such value.

    Attributes:
        key: of a node: `features`; of a section with its path: `growth.stop.parameters`.
    """

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class NodeChange:
    """The difference between a node and the node of the same name in the other spec.

    Attributes:
        what: "changed" also if only its input got another width.
        before, after: its output shape; None if the spec has no such node.
        values: its own options that differ, without `from`, which the edges tell.
        delta_parameters, delta_madds: how many trainable numbers and multiply-adds it has more.
    """

    name: str
    what: Literal["added", "removed", "changed"]
    before: Shape | None
    after: Shape | None
    values: tuple[ValueChange, ...]
    delta_parameters: int
    delta_madds: int

    @property
    def is_own(self) -> bool:
        """False if only its input got another width: then its numbers differ, and a picture does not light it up."""
        return self.what != "changed" or self.before != self.after or bool(self.values)

    @property
    def added_features(self) -> int:
        """The number of features that it has more; 0 if it is new, gone, or no layer."""
        widths = [(each.before, each.after) for each in self.values if each.key == "features"]
        return sum(after - before for before, after in widths if None not in (before, after))


@dataclass(frozen=True)
class Difference(Displayed):
    """The differences between two specs; false if there are none.

    Attributes:
        old, new: their graphs.
        nodes: the ones that differ: first those of the new spec in its order, then those that are gone.
        added_edges, removed_edges: by id, `"source->target"`.
        values: of the name, the outputs and the sections `growth` and `train`.

    >>> from gromo_graph.spec import parse_spec
    >>> text = "nodes:\\n  x: {kind: input, shape: [2]}\\n  y: {kind: linear, from: x, features: 3}\\noutput: y"
    >>> found = diff(parse_spec(text), parse_spec(text.replace("features: 3", "features: 5")))
    >>> bool(found), found.delta_parameters, found.nodes[0].added_features
    (True, 6, 2)
    >>> print(found)
       node  kind    shape  options  parameters  multiply-adds
    ~  y     linear  3 → 5                   +6             +4
    parameters 9 → 15 (+6), multiply-adds 6 → 10 (+4)
    """

    old: Graph
    new: Graph
    nodes: tuple[NodeChange, ...]
    added_edges: tuple[str, ...]
    removed_edges: tuple[str, ...]
    values: tuple[ValueChange, ...]

    def __repr__(self) -> str:
        return printed(self, "difference_text")

    def __bool__(self) -> bool:
        return bool(self.nodes or self.added_edges or self.removed_edges or self.values)

    @property
    def delta_parameters(self) -> int:
        """Trainable numbers that the new network has more."""
        return self.new.parameter_count - self.old.parameter_count

    @property
    def delta_madds(self) -> int:
        """Multiply-adds of one sample that it takes more."""
        return self.new.multiply_adds - self.old.multiply_adds

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "nodes": [
                {
                    "name": node.name,
                    "what": node.what,
                    "before": None if node.before is None else list(node.before),
                    "after": None if node.after is None else list(node.after),
                    "values": _plain(node.values),
                    "delta_parameters": node.delta_parameters,
                    "delta_madds": node.delta_madds,
                }
                for node in self.nodes
            ],
            "added_edges": list(self.added_edges),
            "removed_edges": list(self.removed_edges),
            "values": _plain(self.values),
            "delta_parameters": self.delta_parameters,
            "delta_madds": self.delta_madds,
        }


@checked
def diff(old: Spec | HasSpec, new: Spec | HasSpec) -> Difference:
    """The differences between two specs. Nodes of the same name are compared.

    Args:
        old, new: specs, or what has one: networks, runs.

    Raises:
        GraphError: one has no spec, or a spec that was put together in Python is no graph.
    """
    old, new = spec_of_given(old, "compare"), spec_of_given(new, "compare")
    before, after = build_graph(old), build_graph(new)
    changes = [_node_change(name, before, after) for name in new.nodes]
    gone = [_node_change(name, before, after) for name in old.nodes if name not in new.nodes]
    old_edges, new_edges = ({edge.id: None for edge in graph.edges} for graph in (before, after))
    return Difference(
        before,
        after,
        tuple(change for change in (*changes, *gone) if change is not None),
        tuple(edge for edge in new_edges if edge not in old_edges),
        tuple(edge for edge in old_edges if edge not in new_edges),
        tuple(_values_of_specs(old, new)),
    )


def _node_change(name: str, old: Graph, new: Graph) -> NodeChange | None:
    parameters = _of(new, name, Graph.parameters) - _of(old, name, Graph.parameters)
    madds = _of(new, name, Graph.madds) - _of(old, name, Graph.madds)
    before, after = old.shapes.get(name), new.shapes.get(name)
    if before is None or after is None:
        return NodeChange(
            name, "added" if before is None else "removed", before, after, (), parameters, madds
        )
    values = tuple(_changes(*_comparable(old.spec.nodes[name], new.spec.nodes[name])))
    if not values and before == after and not parameters and not madds:
        return None
    return NodeChange(name, "changed", before, after, values, parameters, madds)


def _of(graph: Graph, name: str, cost: Any) -> int:
    return int(cost(graph, name)) if name in graph.spec.nodes else 0


def _values_of_specs(old: Spec, new: Spec) -> Iterator[ValueChange]:
    return _changes(_sections(old), _sections(new))


def _sections(spec: Spec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "outputs" if spec.named_outputs else "output": list(spec.outputs),
        "growth": spec.growth.model_dump(),
        "train": spec.train.model_dump(),
        **({"data": spec.data.model_dump()} if spec.data is not None else {}),
    }


def _comparable(old: Node, new: Node) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of two nodes; of nodes of two kinds the kind says it all."""
    if old.kind != new.kind:
        return {"kind": old.kind}, {"kind": new.kind}
    return options_of(old), options_of(new)


def options_of(node: BaseModel) -> dict[str, Any]:
    """The options of a node as they are compared: plain values, without what it reads and limits that are not set."""
    fields = node.model_dump(by_alias=True)
    fields.pop("from", None)
    if isinstance(node, Layer) and isinstance(fields["grow"], Mapping):
        fields["grow"] = {key: value for key, value in fields["grow"].items() if value is not None}
    return fields


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[ValueChange]:
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _changes(before, after, f"{path}{key}.")
        else:
            yield ValueChange(f"{path}{key}", before, after)


def _plain(values: tuple[ValueChange, ...]) -> list[dict[str, Any]]:
    return [{"key": each.key, "before": each.before, "after": each.after} for each in values]
