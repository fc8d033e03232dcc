"""Checks between nodes: sources, outputs, cycles, limits, ties and shapes."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

from gromo_graph.amounts import amount
from gromo_graph.spec.explain import Report
from gromo_graph.spec.kinds import Fixed, Input, Layer, Node
from gromo_graph.spec.kinds.again import Shares
from gromo_graph.spec.kinds.base import MAX_FEATURES, Grow
from gromo_graph.spec.order import cycle_text, cycles_in_order, reading_graph, topological_order
from gromo_graph.spec.shapes import count_problem, infer_shapes
from gromo_graph.spec.text.locations import Path, clipped
from gromo_graph.spec.token_inputs import vocabularies
from gromo_graph.spec.train_settings import BUILT_IN_DATA
from gromo_graph.spec.wording import Suggester, listed, with_article

_UNWRITABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, half pairs, line and paragraph ends


@dataclass
class GraphChecks:
    """The nodes of a document as far as they could be read.

    Attributes:
        names: all of them, sound or not, in the order of the document.
        sound: those whose own fields are right.
        readings: what each one reads, sound or not.
        outputs: names the document gives as outputs, with the path of each.
        complete: every reading and output could be read; if not, who reads whom is not fully known.
        report: takes (path, message, key=False).
        suggester: finds the nearest names.
        called: what an author may have meant by an unknown name; None for the names themselves.
    """

    names: Sequence[str]
    sound: Mapping[str, Node]
    readings: Mapping[str, Sequence[str]]
    outputs: Sequence[tuple[str, Path]]
    complete: bool
    report: Report
    suggester: Suggester = field(default_factory=Suggester)
    called: Sequence[str] | None = None

    def check(self) -> None:
        """Report every problem between the nodes, without those that only follow from another one."""
        known = set(self.names)
        complete = self.complete
        for name in self.names:
            complete &= self._check_readings(name, known)
        complete &= self._check_outputs(known)
        graph = self._graph(known)
        knots = cycles_in_order(graph, self.names)
        for cycle in knots:
            message = f"the nodes form a cycle: {cycle_text(cycle)}; take one of these readings out"
            self.report((*_node(cycle[0]), "from"), message)
        if complete:
            self._check_read()
        tied: dict[str, list[str]] = {}
        for name, node in self.sound.items():
            if isinstance(node, Layer) and isinstance(node.grow, Grow):
                self._check_limits(name, node, node.grow)
                if node.grow.tie is not None:
                    tied.setdefault(node.grow.tie, []).append(name)
        self._check_ties(tied)
        self._check_tokens()
        self._check_shapes(graph)

    def _check_readings(self, name: str, known: set[str]) -> bool:
        complete = True
        sources = self.readings[name]
        seen: set[str] = set()
        many = len(sources) > 1
        shares = isinstance(self.sound.get(name), Shares)  # one of its sources is not read, but its weights
        for place, source in enumerate(sources):
            path = (*_node(name), "from", place) if many else (*_node(name), "from")
            if source == name:
                self.report(path, f"`{clipped(name)}` reads itself: a network has no loops")
            elif source not in known:
                self.report(path, self._unknown_node(source))
                complete = False
            elif source in seen and not shares:
                self.report(path, f"`{clipped(source)}` stands twice in `from`: a source is read once")
            seen.add(source)
        node = self.sound.get(name)
        message = None if node is None else count_problem(node)
        if message is not None and len(seen) == len(sources):
            self.report((*_node(name), "from"), message)
        return complete

    def _unknown_node(self, name: str) -> str:
        return (
            f"unknown node `{clipped(name)}`: {self.suggester.hint(name, self.called or self.names, 'nodes')}"
        )

    def _check_outputs(self, known: set[str]) -> bool:
        complete = True
        seen: set[str] = set()
        for name, path in self.outputs:
            if name not in known:
                self.report(path, self._unknown_node(name))
                complete = False
            elif name in seen:
                self.report(path, f"`{clipped(name)}` stands twice among the outputs")
            seen.add(name)
        return complete

    def _graph(self, known: set[str]) -> nx.DiGraph[str]:
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.names)
        for name, sources in self.readings.items():
            graph.add_edges_from((source, name) for source in sources if source in known and source != name)
        return graph

    def _check_read(self) -> None:
        read = {source for sources in self.readings.values() for source in sources}
        read.update(name for name, _ in self.outputs)
        for name in self.names:
            if name not in read:
                is_input = not self.readings[name]
                what = (
                    "this input is on no path to an output"
                    if is_input
                    else ("no node reads this one and it is no output")
                )
                self.report(_node(name), f"{what}: read it with `from`, or take it out", key=True)

    def _check_limits(self, name: str, node: Layer, grow: Grow) -> None:
        path = (*_node(name), "grow")
        if grow.max is not None and grow.max < node.features:
            message = f"found {grow.max:,}, below the {amount(node.features, 'feature')} the node begins with"
            self.report((*path, "max"), message)
        elif grow.max is not None and grow.min is not None and grow.min > grow.max:
            self.report((*path, "min"), f"found {grow.min:,}, above `max`, which is {grow.max:,}")
        if grow.target is not None and grow.target < node.features:
            message = (
                f"found {grow.target:,}, below the {amount(node.features, 'feature')} the node begins with"
            )
            self.report((*path, "target"), message)
        elif grow.target is not None and grow.max is not None and grow.target > grow.max:
            self.report((*path, "target"), f"found {grow.target:,}, above `max`, which is {grow.max:,}")

    def _check_tokens(self) -> None:
        """Token ids come from inputs, and are looked up by all who read them."""
        ids = vocabularies(self.sound)
        for name, node in self.sound.items():
            known = [source for source in node.sources if source in self.sound]
            for source in known:
                if self._looks_up_values(name):
                    message = (
                        f"{with_article(node.kind)} reads token ids: expected an input node before it, found "
                        f"`{clipped(source)}`, {with_article(self.sound[source].kind)} node"
                    )
                    self.report((*_node(name), "from"), message)
                elif isinstance(node, Fixed):
                    continue  # it does with them what it did in the model
                elif node.tokens is None and source in ids and isinstance(self.sound[source], Input):
                    message = (
                        f"`{clipped(source)}` holds token ids, which stand for no amount: read the embedding of it, or "
                        "give values an input of their own"
                    )
                    self.report((*_node(name), "from"), message)

    def _looks_up_values(self, name: str) -> bool:
        """True if an embedding reads what another node computes."""
        node = self.sound[name]
        sources = (self.sound.get(source) for source in node.sources)
        return node.tokens is not None and any(
            source is not None and not isinstance(source, Input) for source in sources
        )

    def _check_ties(self, tied: Mapping[str, Sequence[str]]) -> None:
        """Tied nodes must be several, have the same width, and limits that a common width can satisfy."""
        for tie, names in tied.items():
            first, *others = names
            path = (*_node(first), "grow", "tie")
            if not others and len(self.sound) == len(self.names):
                near = self.suggester.nearest(tie, [other for other in tied if other != tie])
                advice = (
                    f"did you mean `{clipped(near)}`?"
                    if near
                    else "give it to another node too, or leave it out"
                )
                self.report(path, f"no other node is tied by `{clipped(tie)}`: {advice}")
            for name in others:
                self._check_tied(name, first)
            self._check_room(names)

    def _check_tied(self, name: str, first: str) -> None:
        node, other = self.sound[name], self.sound[first]
        assert isinstance(node, Layer)
        assert isinstance(other, Layer)
        if other.features != node.features:
            message = (
                f"`{clipped(name)}` has {amount(node.features, 'feature')} and `{clipped(first)}`, to which "
                "it is tied, "
                f"{other.features:,}: give both the same `features`, or tie them by different names"
            )
            self.report((*_node(name), "grow", "tie"), message)

    def _check_room(self, names: Sequence[str]) -> None:
        """Check that no `min` of tied nodes is above another's `max`."""
        grows = {
            name: grow for name in names if isinstance(grow := getattr(self.sound[name], "grow", None), Grow)
        }
        highest = max(grows, key=lambda name: grows[name].min or 0)
        lowest = min(grows, key=lambda name: grows[name].max or MAX_FEATURES)
        least, most = grows[highest].min, grows[lowest].max
        if highest != lowest and least is not None and most is not None and least > most:
            message = (
                f"found {least:,}, above the `max` of `{clipped(lowest)}`, to which it is tied: {most:,}"
            )
            self.report((*_node(highest), "grow", "min"), message)

    def _check_shapes(self, graph: nx.DiGraph[str]) -> None:
        """Check shapes behind sound nodes only: those behind a wrong node would be guesses."""
        knots = {name for knot in nx.strongly_connected_components(graph) if len(knot) > 1 for name in knot}
        usable = {
            name
            for name, node in self.sound.items()
            if name not in knots
            and name not in node.sources
            and not self._looks_up_values(name)
            and count_problem(node) is None
        }
        order = list(nx.topological_sort(graph.subgraph(usable)))
        shapes = infer_shapes({name: self.sound[name] for name in usable}, order)
        for name in self.names:
            if name in shapes.mismatches:
                key = shapes.keys.get(name, "from")
                path = _node(name) if isinstance(self.sound[name], Input) else (*_node(name), key)
                self.report(path, shapes.mismatches[name])


def batch_size_problem(nodes: Mapping[str, Node], batch_size: int) -> str | None:
    """Say why a batch of one sample cannot be trained on, or give None; for nodes that fit together."""
    if batch_size != 1:
        return None
    shapes = infer_shapes(nodes, topological_order(reading_graph(nodes))).known
    for name, node in nodes.items():
        if node.needs_company([shapes[source] for source in node.sources]):
            return (
                f"`{clipped(name)}` would normalise a single value for each feature of one sample: expected 2 or more "
                "(`accumulate` makes steps of several batches)"
            )
    return None


def name_problem(name: str) -> str | None:
    """The problem of a node's name, or None."""
    if not name:
        return "a name is empty: give the node a name"
    if "->" in name:
        return "a name holds `->`, which stands between the ends of an edge: take it out"
    bad = next((c for c in name if unicodedata.category(c) in _UNWRITABLE), None)
    return None if bad is None else f"a name holds the control character U+{ord(bad):04X}: take it out"


def data_problem(data: str, suggester: Suggester) -> str | None:
    """The problem of `train.data`, or None. A spec is untrusted: it never names code."""
    if data in BUILT_IN_DATA or (data.lower().endswith((".npz", ".csv")) and "://" not in data):
        return None
    if ":" in data:
        return (
            f'"{clipped(data)}" names code or an address, and a spec may name only a built-in set '
            f"({listed(BUILT_IN_DATA)}) or a .npz or .csv file: give `module:function` with --data"
        )
    return (
        f'unknown data "{clipped(data)}": {suggester.hint(data, BUILT_IN_DATA, "sets")}; '
        "a file is named with its ending, .npz or .csv"
    )


def _node(name: str) -> Path:
    return ("nodes", name)
