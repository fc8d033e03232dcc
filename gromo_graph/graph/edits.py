"""Edits by name: what an author would do to a document, as values. Pure; a sequence of them is checked at its end.

Nodes are given as they stand in a document, `{"kind": "linear", "features": 8}`, or as models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gromo_graph.errors import GraphError
from gromo_graph.graph.edit import free_name, narrowing, widening
from gromo_graph.graph.paths import bridges, new_edge
from gromo_graph.graph.view import Graph, build_graph
from gromo_graph.spec.kinds import Input, Layer, Merge, Node
from gromo_graph.spec.model import Spec
from gromo_graph.spec.pieces import node_of, with_values
from gromo_graph.spec.wording import Suggester

Start = Literal["zero", "identity"]
"""The first weights of a new layer that leave the function of a network as it is."""

Written = Mapping[str, Any] | Node


@dataclass(frozen=True)
class Edited:
    """What an edit makes of a spec.

    Attributes:
        renamed: the old name of each node that has a new one. starts: first weights of new layers.
        copies: of each node that is a copy, the node whose weights it has.
        added: nodes that were not there before, whatever they are called.
    """

    spec: Spec
    renamed: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, Start] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    added: frozenset[str] = frozenset()


class SpecEdit:
    """Base of the edits: a change of a spec that may be one of several."""

    def edited(self, spec: Spec) -> Edited:
        """The spec after it, with what a live network has to know.

        Raises:
            GraphError, SpecError: it is not possible.
        """
        raise NotImplementedError

    def spec_of(self, spec: Spec) -> Spec:
        """The spec after it."""
        return self.edited(spec).spec


@dataclass(frozen=True)
class AddNode(SpecEdit):
    """A new node, put behind the last one that it reads; `read_by` are nodes that read it from then on too."""

    name: str
    node: Written
    read_by: Sequence[str] = ()

    def edited(self, spec: Spec) -> Edited:
        """The node must be new."""
        _check_free(spec, self.name)
        node = node_of(self.name, self.node)
        nodes = _inserted(spec.nodes, self.name, node, after=_last(spec, node.sources))
        for reader in self.read_by:
            old = _node(spec, reader)
            nodes[reader] = old.model_copy(update={"sources": (*old.sources, self.name)})
        return Edited(replace(spec, nodes=nodes))


@dataclass(frozen=True)
class RemoveNode(SpecEdit):
    """Take a node out. What read it reads what it read; a merge just loses it."""

    name: str

    def edited(self, spec: Spec) -> Edited:
        """The network must still have an output, and each reader something to read."""
        gone = _node(spec, self.name)
        nodes: dict[str, Node] = {}
        for name, node in spec.nodes.items():
            if name != self.name:
                nodes[name] = _without(name, node, self.name, gone.sources)
        outputs = _replaced_outputs(spec, self.name, gone.sources)
        return Edited(replace(spec, nodes=nodes, outputs=outputs))


def _without(name: str, node: Node, gone: str, instead: Sequence[str]) -> Node:
    if gone not in node.sources:
        return node
    left = tuple(source for source in node.sources if source != gone)
    if node.max_sources == 1 or not left:
        if len(instead) != 1:
            raise GraphError(
                f"`{name}` reads `{gone}` and nothing else: take `{name}` out first, or connect it anew"
            )
        left = (*left, *instead)
    return node.model_copy(update={"sources": left})


def _replaced_outputs(spec: Spec, gone: str, instead: Sequence[str]) -> tuple[str, ...]:
    if gone not in spec.outputs:
        return spec.outputs
    left = tuple(name for name in spec.outputs if name != gone)
    if left:
        return left
    if len(instead) != 1:
        raise GraphError(f"`{gone}` is the only output: give the network another one first")
    return tuple(instead)


@dataclass(frozen=True)
class RenameNode(SpecEdit):
    """Another name for a node, wherever it is read."""

    old: str
    new: str

    def edited(self, spec: Spec) -> Edited:
        """The new name must be free."""
        _node(spec, self.old)
        _check_free(spec, self.new)
        nodes = {}
        for name, node in spec.nodes.items():
            sources = tuple(self._name(source) for source in node.sources)
            kept = node if sources == node.sources else node.model_copy(update={"sources": sources})
            nodes[self._name(name)] = kept
        outputs = tuple(self._name(name) for name in spec.outputs)
        origins = {self._name(name): origin for name, origin in spec.origins.items()}
        renamed = replace(spec, nodes=nodes, outputs=outputs, origins=origins)
        return Edited(renamed, renamed={self.new: self.old})

    def _name(self, name: str) -> str:
        return self.new if name == self.old else name


@dataclass(frozen=True)
class AddEdge(SpecEdit):
    """Let a node read one more.

    A concat gets it as its last part. Into a sum or a layer leads a new layer `source.to.target` with weights of 0; a
    layer becomes the sum `target` of `target.linear` and that one. With `direct` a sum adds the source itself.
    """

    source: str
    target: str
    direct: bool = False

    def edited(self, spec: Spec) -> Edited:
        """There must be a layer that leads from one to the other, and no way back."""
        _node(spec, self.source)
        target = _node(spec, self.target)
        if self.source in target.sources:
            raise GraphError(f"`{self.target}` reads `{self.source}` already")
        if isinstance(target, Merge) and (self.direct or target.merge == "concat"):
            sources = (*target.sources, self.source)
            return Edited(_with(spec, self.target, target.model_copy(update={"sources": sources})))
        if self.direct:
            raise GraphError(f"`{self.target}` is no merge: only those read several nodes as they are")
        graph = build_graph(spec)
        found = [b for b in bridges(graph) if (b.source, b.target) == (self.source, self.target)]
        if not found or found[0].reader is None:
            reason = found[0].reason if found else _why_not(graph, self.source, self.target)
            raise GraphError(f"no layer leads from `{self.source}` to `{self.target}`: {reason}")
        path = new_edge(graph, found[0])
        new = path.spec_of(spec)
        return Edited(new, _renamed_target(spec, new, self.target), {path.layers[0][0]: "zero"})


def _renamed_target(old: Spec, new: Spec, target: str) -> Mapping[str, str]:
    """A layer that became a sum goes on under another name."""
    if isinstance(old.nodes[target], Merge):
        return {}
    moved = next(source for source in new.nodes[target].sources if source not in old.nodes)
    return {moved: target}


def _why_not(graph: Graph, source: str, target: str) -> str:
    if graph.spec.nodes[target].drawn_as not in ("layer", "merge"):
        return f"`{target}` is no layer and no sum"
    import networkx as nx

    if source == target or source in nx.descendants(graph.digraph, target):
        return f"it would lead back: `{source}` reads `{target}`"
    return "an end of it just enters a sum: connect the sum"


@dataclass(frozen=True)
class RemoveEdge(SpecEdit):
    """Let a merge read one node less."""

    source: str
    target: str

    def edited(self, spec: Spec) -> Edited:
        """Something must be left to read."""
        _node(spec, self.source)
        target = _node(spec, self.target)
        if self.source not in target.sources:
            raise GraphError(
                f"`{self.target}` does not read `{self.source}`: it reads {_list(target.sources)}"
            )
        left = tuple(source for source in target.sources if source != self.source)
        if not left:
            raise GraphError(
                f"`{self.target}` reads nothing else than `{self.source}`: take the node out instead"
            )
        return Edited(_with(spec, self.target, target.model_copy(update={"sources": left})))


@dataclass(frozen=True)
class InsertBetween(SpecEdit):
    """A new node on an edge. A layer without `features` has those of the source, and begins as the identity."""

    source: str
    target: str
    name: str
    node: Written

    def edited(self, spec: Spec) -> Edited:
        """The edge must be there."""
        _check_free(spec, self.name)
        _node(spec, self.source)
        target = _node(spec, self.target)
        if self.source not in target.sources:
            raise GraphError(
                f"`{self.target}` does not read `{self.source}`: it reads {_list(target.sources)}"
            )
        node = node_of(self.name, self._written(spec))
        sources = tuple(self.name if source == self.source else source for source in target.sources)
        nodes = _inserted(spec.nodes, self.name, node, after=self.source)
        nodes[self.target] = target.model_copy(update={"sources": sources})
        starts: Mapping[str, Start] = {self.name: "identity"}
        return Edited(replace(spec, nodes=nodes), starts=starts)

    def _written(self, spec: Spec) -> Written:
        if isinstance(self.node, Node):
            return self.node.model_copy(update={"sources": (self.source,)})
        written = {**self.node, "from": self.source}
        if written.get("kind") in ("linear", "conv1d", "conv2d") and "features" not in written:
            written["features"] = build_graph(spec).features(self.source)
        return written


@dataclass(frozen=True)
class SetFeatures(SpecEdit):
    """Another width of a layer, and of all layers that must be as wide."""

    name: str
    features: int

    def edited(self, spec: Spec) -> Edited:
        """The node must be a layer."""
        node = _node(spec, self.name)
        if not isinstance(node, Layer):
            raise GraphError(f"`{self.name}` is a {node.kind}, which has no features of its own")
        changed = with_values(node, {"features": self.features}, ("nodes", self.name))
        try:
            group = build_graph(spec).group_of(self.name)
        except GraphError:  # in the middle of several edits: the check of all of them says what does not fit
            return Edited(_with(spec, self.name, changed))
        change = changed.features - node.features
        if change == 0:
            return Edited(spec)
        edit = widening(group, change) if change > 0 else narrowing(group, -change)
        return Edited(edit.spec_of(spec))


@dataclass(frozen=True)
class SetOptions(SpecEdit):
    """Other options of a node: `{"activation": "gelu", "grow": {"max": 64}}`; None for the default."""

    name: str
    options: Mapping[str, Any]

    def edited(self, spec: Spec) -> Edited:
        """They must be options of the node's kind."""
        node = _node(spec, self.name)
        if "kind" in self.options:
            raise GraphError(f"the kind of `{self.name}` is no option: replace the node (ReplaceLayer)")
        return Edited(_with(spec, self.name, with_values(node, self.options, ("nodes", self.name))))


@dataclass(frozen=True)
class ReplaceLayer(SpecEdit):
    """Another node under the same name; without `from` it reads what the old one read."""

    name: str
    node: Written

    def edited(self, spec: Spec) -> Edited:
        """The node must be there."""
        old = _node(spec, self.name)
        written = self.node
        if not isinstance(written, Node) and "from" not in written and not isinstance(old, Input):
            written = {**written, "from": list(old.sources)}
        return Edited(_with(spec, self.name, node_of(self.name, written)))


@dataclass(frozen=True)
class DuplicateBlock(SpecEdit):
    """A copy of some nodes behind them: it reads their last one, and what read that reads the copy.

    The copies are called `prefix` and the old name. Where the nodes are a residual block (they end in a sum that reads
    what the block reads), the layers that enter the sum begin with weights of 0, so that the copy is the identity.
    """

    names: Sequence[str]
    prefix: str = "copy."

    def edited(self, spec: Spec) -> Edited:
        """The nodes must have one entry and one exit."""
        for name in self.names:
            _check_free(spec, self.prefix + str(_node(spec, name) and name))
        names = [name for name in spec.nodes if name in set(self.names)]
        if not names:
            raise GraphError("a block has one node at least: name those to copy")
        entry, end = _entry(spec, names), _exit(spec, names)
        nodes: dict[str, Node] = {}
        for name, node in spec.nodes.items():
            reads_end = end in node.sources and name not in names
            nodes[name] = _reading(node, {end: self.prefix + end}) if reads_end else node
        at = end
        for name in names:
            new = {other: self.prefix + other for other in names} | {entry: end}
            nodes = _inserted(nodes, self.prefix + name, _reading(spec.nodes[name], new), after=at)
            at = self.prefix + name
        outputs = tuple(self.prefix + end if name == end else name for name in spec.outputs)
        copies = {self.prefix + name: name for name in names}
        starts = dict(self._starts(spec, names, entry, end))
        return Edited(replace(spec, nodes=nodes, outputs=outputs), starts=starts, copies=copies)

    def _starts(self, spec: Spec, names: Sequence[str], entry: str, end: str) -> Iterator[tuple[str, Start]]:
        last = spec.nodes[end]
        if isinstance(last, Merge) and last.merge == "sum" and entry in last.sources:
            yield from ((self.prefix + source, "zero") for source in last.sources if source in names)


def _reading(node: Node, names: Mapping[str, str]) -> Node:
    return node.model_copy(update={"sources": tuple(names.get(source, source) for source in node.sources)})


def _entry(spec: Spec, names: Sequence[str]) -> str:
    found = {source for name in names for source in spec.nodes[name].sources if source not in names}
    if len(found) != 1:
        raise GraphError(
            f"a block reads one node to be put behind itself, found {_list(sorted(found)) or 'none'}"
        )
    return found.pop()


def _exit(spec: Spec, names: Sequence[str]) -> str:
    read = {source for name, node in spec.nodes.items() if name not in names for source in node.sources}
    found = [name for name in names if name in read or name in spec.outputs]
    if len(found) != 1:
        raise GraphError(f"a block is read at one node to be repeated, found {_list(found) or 'none'}")
    return found[0]


@dataclass(frozen=True)
class SetOutput(SpecEdit):
    """Other outputs of the network; `named`: it returns a dict by name."""

    names: Sequence[str]
    named: bool = False

    def edited(self, spec: Spec) -> Edited:
        """They must be nodes."""
        for name in self.names:
            _node(spec, name)
        return Edited(
            replace(spec, outputs=tuple(self.names), named_outputs=self.named or len(self.names) > 1)
        )


@dataclass(frozen=True)
class SetSection(SpecEdit):
    """Other values of the section `growth` or `train`: `SetSection("growth", {"stop": {"parameters": 900}})`."""

    section: Literal["growth", "train"]
    values: Mapping[str, Any]

    def edited(self, spec: Spec) -> Edited:
        """They must be values of the section."""
        if self.section == "growth":
            return Edited(replace(spec, growth=with_values(spec.growth, self.values, ("growth",))))
        if self.section == "train":
            return Edited(replace(spec, train=with_values(spec.train, self.values, ("train",))))
        raise GraphError(f"unknown section `{self.section}`: expected growth or train")


@dataclass(frozen=True)
class Restore(SpecEdit):
    """The spec as it was: the inverse of whatever made another one of it."""

    spec: Spec
    renamed: Mapping[str, str] = field(default_factory=dict)

    def edited(self, spec: Spec) -> Edited:
        """The kept spec, whatever the other is."""
        return Edited(self.spec, renamed=self.renamed)


@dataclass(frozen=True)
class Edits(SpecEdit):
    """Several edits, one after the other."""

    edits: Sequence[SpecEdit]

    def edited(self, spec: Spec) -> Edited:
        """Each is applied to what the one before made."""
        result = Edited(spec)
        for edit in self.edits:
            result = then(result, edit.edited(result.spec))
        return result


def then(first: Edited, second: Edited) -> Edited:
    """Two edits as one: names, first weights and copies are those of the end.

    Args:
        first: everything so far. second: one edit of its spec.
    """
    was: dict[str, str] = {}
    added: set[str] = set()
    moved = set(second.renamed.values())
    for name in second.spec.nodes:
        middle = second.renamed.get(name, name)
        is_new = name not in second.renamed and (name not in first.spec.nodes or name in moved)
        if is_new or middle in first.added:
            added.add(name)
        else:
            was[name] = first.renamed.get(middle, middle)
    now = {old: new for new, old in second.renamed.items()}
    starts = {now.get(name, name): start for name, start in first.starts.items()}
    copies = {now.get(name, name): now.get(of, of) for name, of in first.copies.items()}
    return Edited(
        second.spec,
        {new: old for new, old in was.items() if new != old},
        {**starts, **second.starts},
        {**copies, **second.copies},
        frozenset(added),
    )


def _node(spec: Spec, name: str) -> Node:
    if name not in spec.nodes:
        hint = Suggester().hint(str(name), list(spec.nodes), "nodes")
        raise GraphError(f"unknown node `{name}`: {hint}")
    return spec.nodes[name]


def _check_free(spec: Spec, name: str) -> None:
    if name in spec.nodes:
        raise GraphError(f"there is a node `{name}` already: `{free_name(spec, name)}` is free")


def _with(spec: Spec, name: str, node: Node) -> Spec:
    return replace(spec, nodes={**spec.nodes, name: node})


def _inserted(nodes: Mapping[str, Node], name: str, node: Node, *, after: str | None) -> dict[str, Node]:
    if after is None:
        return {name: node, **nodes}
    found: dict[str, Node] = {}
    for other, old in nodes.items():
        found[other] = old
        if other == after:
            found[name] = node
    return found


def _last(spec: Spec, sources: Sequence[str]) -> str | None:
    """The one of some nodes that stands last in the document; the last node where none is there."""
    found = [name for name in spec.nodes if name in sources]
    if found:
        return found[-1]
    inputs = spec.inputs
    return inputs[-1] if inputs and not sources else next(reversed(list(spec.nodes)), None)


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
