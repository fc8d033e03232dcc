"""A spec back into the author's document: what differs is changed where it is written, and all else stays as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from gromo_graph.errors import GraphError, SpecError
from gromo_graph.records.atomic_files import write_atomically
from gromo_graph.spec.differences import Key, default_of, differences
from gromo_graph.spec.expand.include import included_files
from gromo_graph.spec.kinds import Node
from gromo_graph.spec.load import aliases_of, check_spec, load_spec, parse_spec, parse_unchecked
from gromo_graph.spec.model import Spec
from gromo_graph.spec.text.layout import Layout, Value, layout_of
from gromo_graph.spec.text.layout import Path as Place
from gromo_graph.spec.text.places import path_text
from gromo_graph.spec.text.rewriting import Text
from gromo_graph.spec.text.scalars import resolve
from gromo_graph.spec.text.write import dump_spec, flow_text, written_node

_NAME_ALONE = re.compile(r"\$\{\s*([^\W\d]\w*)\s*\}")
_MOST_TRIES = 200


@dataclass(frozen=True)
class WrittenBack:
    """A document that says what is wanted.

    Attributes:
        text: of the document. notes: where something else than the place itself had to change, in words.
        changed: whether the text is another one than before.
    """

    text: str
    notes: tuple[str, ...] = ()
    changed: bool = True


def write_back_text(
    text: str, spec: Spec, *, renamed: Mapping[str, str] | None = None, file: str = "<text>"
) -> WrittenBack:
    """The document with just so much changed that it gives a spec.

    A value that comes from a var or a param changes there, where all that use it change alike; else the place gets the
    value itself. A use of a block whose nodes no longer agree is written out. Comments, order and layout stay.

    Args:
        text: the document, which is sound. spec: what it shall say.
        renamed: the old name of each node that has a new one.
        file: where the document is, for what it includes.

    Raises:
        SpecError: the document is wrong as it is.

    >>> text = '''nodes:
    ...   x: {kind: input, shape: [4]}   # four numbers
    ...   y: {kind: linear, from: x, features: 2}
    ... output: y
    ... '''
    >>> wanted = parse_spec(text.replace("features: 2", "features: 5"))
    >>> print(write_back_text(text, wanted).text, end="")
    nodes:
      x: {kind: input, shape: [4]}   # four numbers
      y: {kind: linear, from: x, features: 5}
    output: y
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    parse_spec(text, file=file)
    work = _WriteBack(Text(text.removeprefix(mark)), spec, file, dict(renamed or {}))
    written = mark + work.done()
    return WrittenBack(written, tuple(dict.fromkeys(work.notes)), written != text)


@dataclass
class _WriteBack:
    text: Text
    wanted: Spec
    file: str
    renamed: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def done(self) -> str:
        before = self.text.text
        for attempt in (self.piece_by_piece, self.node_by_node):
            self.text, self.notes = Text(before), []
            try:
                attempt()
                if parse_spec(self.text.text, file=self.file) == self.wanted:
                    return self.text.text
            except (SpecError, yaml.YAMLError):  # the text is no document any more: try another way
                continue
        self.notes = ["the document could not be changed in place: it is written anew, without its comments"]
        return dump_spec(self.wanted)

    def spec(self) -> Spec:
        """What the text says now; its nodes need not fit each other yet."""
        return parse_unchecked(self.text.text, file=self.file)

    def piece_by_piece(self) -> None:
        self.rename()
        self.turn_levers()
        self.write_uses_out()
        old = self.spec()
        differ = differences(old, self.wanted)
        self.free_aliases(old, differ)
        self.change_nodes(old, differ)
        self.change_rest(differ)

    def node_by_node(self) -> None:
        """Less fine: nodes that differ are written anew as a whole."""
        self.rename()
        self.write_uses_out()
        old = self.spec()
        differ = differences(old, self.wanted)
        for key in differ:
            if key[0] == "nodes" and key[1] in self.wanted.nodes and key[1] in old.nodes:
                self.text.set(("nodes", key[1]), self.written(self.wanted.nodes[key[1]]))
                self.notes.append(f"`{key[1]}` is written anew")
        rest = {key: value for key, value in differ.items() if key[0] != "nodes" or len(key) == 2}
        self.change_nodes(old, rest)
        self.change_rest(differ)

    def written(self, node: Node) -> dict[str, Any]:
        """A node as it has to be written in this document, whose `defaults` may say something else."""
        found = written_node(node)
        defaults = self.text.layout.value(("defaults", node.kind))
        full = node.model_dump(by_alias=True)
        for key, given in (defaults.entries or ()) if defaults is not None else ():
            if key.text not in full or key.text in found:
                continue
            value = full[key.text]
            if given.text is None or resolve(given.text) != value:
                found[key.text] = list(value) if isinstance(value, tuple) else value
        return found

    # Names

    def rename(self) -> None:
        """Give nodes their new names, wherever they are read."""
        nodes = self.text.layout.value(("nodes",))
        written = {key.text for key, _ in (nodes.entries or ()) if nodes is not None} if nodes else set()
        taken = {new: f"\0{new}" for new, old in self.renamed.items() if old in written and new in written}
        for new, old in self.renamed.items():
            if old in written:
                self.text.rename(("nodes", old), taken.get(new, new))
        for new, meanwhile in taken.items():
            self.text.rename(("nodes", meanwhile), new)
        now = {old: new for new, old in self.renamed.items() if old in written}
        for reading in sorted(self.readings(), key=lambda value: -value.start):
            if reading.text in now:
                self.text.put(reading.start, reading.end, flow_text(now[reading.text]))

    def readings(self) -> Iterator[Value]:
        """Where the document names nodes to read, outside blocks."""
        layout = self.text.layout
        nodes = layout.value(("nodes",))
        found = [layout.value(("output",)), layout.value(("outputs",))]
        for key, node in (nodes.entries or ()) if nodes is not None else ():
            if node.entries is not None:
                found.append(layout.value(("nodes", str(key.text), "from")))
        for value in found:
            if value is not None:
                yield from value.items if value.items is not None else [value]

    # Values that are written elsewhere

    def turn_levers(self) -> None:
        """Change vars, params and blocks where that brings the document nearer to what is wanted and nothing away."""
        for _ in range(_MOST_TRIES):
            differ = set(differences(self.spec(), self.wanted))
            best: tuple[int, str, str] | None = None
            for path, value in list(self.levers())[:_MOST_TRIES]:
                trial = Text(self.text.text)
                trial.set(path, value)
                try:
                    left = set(differences(parse_unchecked(trial.text, file=self.file), self.wanted))
                except SpecError:
                    continue
                if left < differ and (best is None or len(left) < best[0]):
                    best = len(left), trial.text, f"`{path_text(path)}` is {flow_text(value)} now"
            if best is None:
                return
            self.text = Text(best[1])
            self.notes.append(best[2])

    def levers(self) -> Iterator[tuple[Place, Any]]:
        """Places where a value that differs may come from, and what they would have to say."""
        old = self.spec()
        seen: set[tuple[Place, str]] = set()
        for key, wanted in differences(old, self.wanted).items():
            if len(key) == 3 and key[0] == "nodes" and not isinstance(wanted, dict | list | None):
                for path in self.sources_of(old, key[1], key[2]):
                    if (path, str(wanted)) not in seen:
                        seen.add((path, str(wanted)))
                        yield path, wanted

    def sources_of(self, old: Spec, name: str, option: str) -> Iterator[Place]:
        origin = old.origins.get(name)
        if origin is None or origin.use is None:
            yield from self.var_of(("nodes", name, option))
            return
        use, block = origin.use, str(origin.block)
        home = self.home_of(block)
        inner = name.removeprefix(f"{use}.")
        nodes = home.value(("blocks", block, "nodes"))
        names = [key.text for key, _ in nodes.entries or ()] if nodes is not None else []
        inner = inner if inner in names else inner.partition(".")[2]
        if inner in names:
            place: Place = ("blocks", block, "nodes", str(inner), option)
            yield from self.param_of(_expression(home, place), use, block)
            if home is self.text.layout:
                yield place

    def param_of(self, param: str | None, use: str, block: str) -> Iterator[Place]:
        """Where a param of a use has its value from."""
        if not param:
            return
        home, layout = self.home_of(block), self.text.layout
        default: Place = ("blocks", block, "params", param)
        if home.entry(default) is None:
            yield from self.var_named(param)
            return
        if layout.value(("nodes", use)) is not None:
            given: Place = ("nodes", use, "with", param)
            yield from self.var_of(given)
            yield given
        if home is layout:
            yield default

    def var_of(self, path: Place) -> Iterator[Place]:
        """The var that a place names."""
        yield from self.var_named(self.expression(path))

    def var_named(self, name: str | None) -> Iterator[Place]:
        if (
            name
            and self.text.layout.value(("vars", name)) is not None
            and not self.expression(("vars", name))
        ):
            yield "vars", name

    def home_of(self, block: str) -> Layout:
        """The text that a block is written in: the document, or a file that it includes."""
        layouts = (layout_of(file.read_text(encoding="utf-8")) for file in included_files(self.file))
        here = self.text.layout
        there = (layout for layout in layouts if layout.value(("blocks", block)) is not None)
        return here if here.value(("blocks", block)) is not None else next(there, here)

    def expression(self, path: Place) -> str | None:
        """The name that alone stands in an expression of the document; empty for a longer one."""
        return _expression(self.text.layout, path)

    # Blocks that no longer fit

    def write_uses_out(self) -> None:
        """Write uses of blocks out as nodes where those of the wanted spec are others."""
        old = self.spec()
        differ = differences(old, self.wanted)
        wrong = {old.origins[key[1]].use for key in differ if key[0] == "nodes" and key[1] in old.origins}
        top = self.text.layout.value(("nodes",))
        written = [str(key.text) for key, _ in top.entries or ()] if top is not None else []
        for use in written:
            if any(each is not None and (each == use or each.startswith(f"{use}.")) for each in wrong):
                self.write_out(use, old)

    def write_out(self, use: str, old: Spec) -> None:
        aliases = aliases_of(self.text.text, file=self.file)
        made = [
            name for name in old.nodes if old.origins[name].use is not None and name.startswith(f"{use}.")
        ]
        at = use
        for name in made:
            self.text.set(("nodes", name), self.written(old.nodes[name]), after=at)
            at = name
        self.keep_comment(use)
        self.text.remove(("nodes", use))
        for reading in sorted(self.readings(), key=lambda value: -value.start):
            flat = aliases.get(str(reading.text))
            if flat in made:
                self.text.put(reading.start, reading.end, flow_text(flat))
        self.notes.append(f"`{use}` is written out as nodes: they no longer follow from its block alone")

    def keep_comment(self, name: str) -> None:
        """Put the comment behind a node on a line of its own."""
        layout = self.text.layout
        found = layout.entry(("nodes", name))
        if found is None or found[0].flow:
            return
        _, key, value = found
        rest = self.text.text[value.end : layout.line_end(value.end)].strip()
        if rest.startswith("#"):
            start = key.start - layout.column(key.start)
            self.text.put(start, start, f"{' ' * layout.column(key.start)}{rest}{layout.newline}")

    # What is written where it is

    def free_aliases(self, old: Spec, differ: Mapping[Key, Any]) -> None:
        """What differs no longer shares an anchor with what does not."""
        concerned = {key[1] for key in differ if key[0] == "nodes"}
        nodes = self.text.layout.value(("nodes",))
        entries = [(str(key.text), value) for key, value in nodes.entries or ()] if nodes is not None else []
        anchored = {value.anchor for name, value in entries if name in concerned and value.anchor is not None}
        for name, value in entries:
            if (
                value.alias is not None
                and (name in concerned or value.alias in anchored)
                and name in old.nodes
            ):
                self.text.set(("nodes", name), self.written(old.nodes[name]))
                self.notes.append(
                    f"`{name}` is written out: it was `*{value.alias}`, which says something else"
                )

    def change_nodes(self, old: Spec, differ: Mapping[Key, Any]) -> None:
        for key in differ:
            if key[0] == "nodes" and len(key) == 2 and key[1] not in self.wanted.nodes:
                self.text.remove(key)
        before = None
        for name, node in self.wanted.nodes.items():
            if ("nodes", name) in differ:
                self.text.set(("nodes", name), self.written(node), after=before)
            before = name if self.text.layout.value(("nodes", name)) is not None else before
        for key, wanted in differ.items():
            if key[0] == "nodes" and len(key) > 2:
                was = self.expression(key)
                if was is not None:
                    self.notes.append(
                        f"`{path_text(key)}` came from an expression, it says {flow_text(wanted)} now"
                    )
                self.change(key, wanted)

    def change_rest(self, differ: Mapping[Key, Any]) -> None:
        for key, wanted in differ.items():
            if key[0] != "nodes":
                self.change(key, wanted)

    def change(self, key: Key, wanted: Any) -> None:
        """Set a key, or take it out where its default is wanted."""
        if wanted is not None:
            self.text.set(key, wanted)
            return
        if self.text.layout.value(key) is not None:
            self.text.remove(key)
        full = default_of(self.wanted, key)
        if full is not None and key in differences(self._spec_or(self.wanted), self.wanted):
            self.text.set(key, full)  # a default of the document says something else

    def _spec_or(self, other: Spec) -> Spec:
        try:
            return self.spec()
        except SpecError:
            return other


def write_back(
    path: str | os.PathLike[str], target: Any, *, renamed: Mapping[str, str] | None = None
) -> WrittenBack:
    """Change the author's file so that it says what a spec, a network or a run says (`write_back_text`).

    Of a network and a run these are the nodes and outputs: the sections of the file stay, for a run may have had others
    by `--set`. The file is replaced as a whole or not at all; of a link the file it leads to.

    Args:
        path: of the document. target: a Spec, or what has one as `spec`.
        renamed: the old name of each node that has a new one.

    Raises:
        SpecError: the file is missing or wrong.
        RunError: it cannot be written.
    """
    file = Path(os.fspath(path))
    before = load_spec(file)
    wanted = target if isinstance(target, Spec) else grown(before, before, target.spec)
    text = file.read_bytes().decode("utf-8")
    found = write_back_text(text, wanted, renamed=renamed, file=str(file))
    if found.changed:
        write_atomically(file.resolve(), found.text)
    return found


_SIZES = ("features", "groups", "sources")


def grown(author: Spec, start: Spec, end: Spec, *, sizes: bool = False) -> Spec:
    """The author's spec with what a run changed: its own settings (`--set`) stay out.

    Args:
        start, end: the spec that the run began with, and that of the step that is wanted.
        sizes: take widths and readings as they were at that step, whatever the author's are now.

    Raises:
        GraphError: the run is of another network.
    """
    inputs = [(name, author.nodes.get(name)) for name in start.inputs]
    if list(author.inputs) != list(start.inputs) or any(node != start.nodes[name] for name, node in inputs):
        raise GraphError(
            f"the run is of another network, `{start.name}`: its inputs are not those of `{author.name}`"
        )
    nodes: dict[str, Node] = {}
    for name, node in end.nodes.items():
        own, old = author.nodes.get(name), start.nodes.get(name)
        if own is None or old is None or type(own) is not type(node) or type(old) is not type(node):
            nodes[name] = node
            continue
        fields = [
            key
            for key in type(node).model_fields
            if getattr(node, key) != getattr(old, key) or (sizes and key in _SIZES)
        ]
        nodes[name] = own.model_copy(update={key: getattr(node, key) for key in fields})
    found = replace(author, nodes=nodes, outputs=end.outputs, named_outputs=end.named_outputs)
    problems = check_spec(found)
    return replace(found, nodes=end.nodes) if problems else found


def _expression(layout: Layout, path: Place) -> str | None:
    value = layout.value(path)
    if value is None or value.text is None or "${" not in value.text:
        return None
    found = _NAME_ALONE.fullmatch(value.text)
    return found[1] if found else ""
