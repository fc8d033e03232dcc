"""Write a spec back into the author's document: only the values that differ change, and everything else stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from gromo_graph.errors import GraphError, SpecError
from gromo_graph.spec.differences import Key, default_of, differences
from gromo_graph.spec.kinds import Node
from gromo_graph.spec.load import aliases_of, parse_spec, parse_unchecked
from gromo_graph.spec.model import Spec
from gromo_graph.spec.text.locations import Path, path_text
from gromo_graph.spec.text.rewriting import EditedText
from gromo_graph.spec.text.shared_values import AnchoredValue, SharedValue, SharedValues, expression_at
from gromo_graph.spec.text.spans import spans_of
from gromo_graph.spec.text.write import flow_text, written_node

_MOST_TRIES = 200


@dataclass(frozen=True)
class WrittenBack:
    """A document that says what is wanted.

    Attributes:
        text: of the document. notes: the changes that are not just another value in its place, in words.
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

    An alias whose value changes alone is replaced by that value.

    Args:
        text: a document without problems. spec: the spec that it shall describe.
        renamed: the old name of each node that has a new one.
        file: the name of the document, for the files that it includes.

    Raises:
        SpecError: the document is wrong as it is.
        GraphError: no way was found that changes it without the loss of a comment.

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
    work = _WriteBack(EditedText(text.removeprefix(mark)), spec, file, dict(renamed or {}))
    written = mark + work.done()
    return WrittenBack(written, tuple(dict.fromkeys(work.notes)), written != text)


@dataclass
class _WriteBack:
    text: EditedText
    wanted: Spec
    file: str
    renamed: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def done(self) -> str:
        """The changed text."""
        before = self.text.text
        for attempt in (self.change_values, self.change_nodes):
            self.text, self.notes = EditedText(before), []
            with suppress(SpecError, yaml.YAMLError):  # the text is no document any more: try the other way
                attempt()
                if parse_spec(self.text.text, file=self.file) == self.wanted and self.keeps_comments(before):
                    return self.text.text
        raise GraphError(
            f"{self.file}: this change cannot be written into the document without the loss of what its author wrote: "
            "the file is as it was; change it by hand"
        )

    def keeps_comments(self, before: str) -> bool:
        """True if only comments of entries that were taken out are gone."""
        kept = [*self.text.spans.comments(), *self.text.removed]
        return not Counter(spans_of(before).comments()) - Counter(kept)

    def spec(self) -> Spec:
        """The spec of the text as it is now; its nodes need not fit each other yet."""
        return parse_unchecked(self.text.text, file=self.file)

    def change_values(self) -> None:
        """Change single values, at their source if other values do not suffer."""
        self.rename()
        self.repeat_blocks()
        self.change_shared_values()
        self.write_uses_out()
        self.set_nodes(differences(self.spec(), self.wanted))

    def change_nodes(self) -> None:
        """Less fine: nodes that differ are written anew as a whole."""
        self.rename()
        self.write_uses_out()
        old = self.spec()
        differ = differences(old, self.wanted)
        for name in dict.fromkeys(key[1] for key in differ if key[0] == "nodes"):
            if name in self.wanted.nodes and name in old.nodes:
                self.text.set(("nodes", name), self.written(self.wanted.nodes[name]))
                self.notes.append(f"`{name}` is written anew")
        self.set_nodes({key: value for key, value in differ.items() if key[0] != "nodes" or len(key) == 2})

    def written(self, node: Node) -> dict[str, Any]:
        """A node as it has to be written in this document, whose `defaults` may say something else."""
        found = written_node(node)
        defaults = self.text.value(("defaults", node.kind))
        full = node.model_dump(by_alias=True)
        for key, given in {} if defaults is None else defaults.data.items():
            if key in full and key not in found and given != full[key]:
                value = full[key]
                found[key] = list(value) if isinstance(value, tuple) else value
        return found

    # Names

    def rename(self) -> None:
        """Give nodes their new names, wherever they are read."""
        nodes = self.text.value(("nodes",))
        written = set() if nodes is None else set(nodes.names)
        renamed = {new: old for new, old in self.renamed.items() if old in written}
        # If nodes change names with each other, each gets a name between that no node can have.
        between = {new: f"\0{new}" for new in renamed if new in written}
        for new, old in renamed.items():
            self.text.rename(("nodes", old), between.get(new, new))
        for new, name in between.items():
            self.text.rename(("nodes", name), new)
        self.read_instead({old: new for new, old in renamed.items()})

    def read_instead(self, names: Mapping[str, str]) -> None:
        """Replace names wherever the document reads nodes, outside blocks; outputs that are still wanted stay."""
        for path in list(self.readings()):
            value = self.text.value(path)
            new = None if value is None else names.get(str(value.text))
            stays = path[0] != "nodes" and value is not None and str(value.text) in self.wanted.outputs
            if new is not None and not stays:
                self.text.set(path, new)

    def readings(self) -> Iterator[Path]:
        """The paths at which the document names nodes to read, outside blocks."""
        nodes = self.text.value(("nodes",))
        sources: list[Path] = [("nodes", name, "from") for name in ([] if nodes is None else nodes.names)]
        for path in (*sources, ("output",), ("outputs",)):
            value = self.text.value(path)
            if value is not None and value.items is not None:
                yield from ((*path, place) for place in range(len(value.items)))
            elif value is not None:
                yield path

    def repeat_blocks(self) -> None:
        """Repeat uses of blocks as often as the wanted spec has copies of them."""
        nodes = self.text.value(("nodes",))
        for name in [] if nodes is None else nodes.names:
            path = ("nodes", name, "repeat")
            begun = [
                each.removeprefix(f"{name}.") for each in self.wanted.nodes if each.startswith(f"{name}.")
            ]
            numbers = [int(rest.partition(".")[0]) for rest in begun if rest.partition(".")[0].isdecimal()]
            if self.text.value(path) is None or not numbers:
                continue
            trial = EditedText(self.text.text)
            trial.set(path, max(numbers))
            with suppress(SpecError):
                if self.missing(trial) < self.missing(self.text):
                    self.text = trial
                    self.notes.append(f"`{name}` is repeated {max(numbers)} times")

    def missing(self, text: EditedText) -> int:
        """Number of nodes that a document lacks, or has too many."""
        return len(set(parse_unchecked(text.text, file=self.file).nodes) ^ set(self.wanted.nodes))

    # Values that are written elsewhere

    def change_shared_values(self) -> None:
        """Change vars, params, blocks and anchors if that brings some values nearer to what is wanted and none away."""
        for _ in range(_MOST_TRIES):
            old = self.spec()
            differ = differences(old, self.wanted)
            best: tuple[int, EditedText, str] | None = None
            for shared, value in list(self.shared_values(old, differ))[:_MOST_TRIES]:
                trial = EditedText(self.text.text)
                note = shared.set(trial, value)
                with suppress(SpecError):
                    left = differences(parse_unchecked(trial.text, file=self.file), self.wanted)
                    if left.keys() < differ.keys() and (best is None or len(left) < best[0]):
                        best = len(left), trial, note
            if best is None:
                return
            _, self.text, note = best
            self.notes.append(note)

    def shared_values(
        self, old: Spec, differ: Mapping[Key, Any]
    ) -> Iterator[tuple[SharedValue | AnchoredValue, Any]]:
        """The places that values that differ may come from, and the values that would have to stand there."""
        places = SharedValues(self.text.spans, self.file, old)
        seen: set[tuple[SharedValue | AnchoredValue, str]] = set()
        for key, wanted in differ.items():
            if len(key) == 3 and key[0] == "nodes" and not isinstance(wanted, dict | list | None):
                for shared in places.of(key[1], key[2]):
                    if (shared, str(wanted)) not in seen:
                        seen.add((shared, str(wanted)))
                        yield shared, wanted

    # Blocks that no longer fit

    def write_uses_out(self) -> None:
        """Write uses of blocks out as nodes if those of the wanted spec are others."""
        old = self.spec()
        differ = differences(old, self.wanted)
        uses = {old.origins[key[1]].use for key in differ if key[0] == "nodes" and key[1] in old.origins}
        wrong = [use for use in uses if use is not None]
        nodes = self.text.value(("nodes",))
        for name in [] if nodes is None else nodes.names:
            if any(use == name or use.startswith(f"{name}.") for use in wrong):
                self.write_out(name, old)

    def write_out(self, use: str, old: Spec) -> None:
        """Replace a use of a block by its nodes."""
        aliases = aliases_of(self.text.text, file=self.file)
        made = [
            name for name in old.nodes if old.origins[name].use is not None and name.startswith(f"{use}.")
        ]
        at = use
        for name in made:
            self.text.set(("nodes", name), self.written(old.nodes[name]), after=at)
            at = name
        self.text.remove(("nodes", use), keep_comments=True)
        self.read_instead({name: flat for name, flat in aliases.items() if flat in made})
        self.notes.append(f"`{use}` is written out as nodes: they no longer follow from its block alone")

    # Values that are written where they are

    def set_nodes(self, differ: Mapping[Key, Any]) -> None:
        """Make every change at its own place."""
        before = None
        for name, node in self.wanted.nodes.items():
            if ("nodes", name) in differ:
                self.text.set(("nodes", name), self.written(node), after=before)
            before = name if self.text.value(("nodes", name)) is not None else before
        for key in differ:
            if key[0] == "nodes" and len(key) == 2 and key[1] not in self.wanted.nodes:
                self.text.remove(key)
        for key, wanted in differ.items():
            if key[0] != "nodes":
                self.change(key, wanted)
            elif len(key) > 2:
                if expression_at(self.text.spans, key) is not None:
                    self.notes.append(
                        f"`{path_text(key)}` came from an expression, it says {flow_text(wanted)} now"
                    )
                self.change(key, wanted)

    def change(self, key: Key, wanted: Any) -> None:
        """Set a key, or take it out if its default is wanted."""
        if wanted is not None:
            self.text.set(key, wanted)
            return
        if self.text.value(key) is not None:
            self.text.remove(key)
        full = default_of(self.wanted, key)
        if full is not None and key in self.differing():
            self.text.set(key, full)  # a default of the document says something else

    def differing(self) -> Mapping[Key, Any]:
        """The keys at which the text differs from the wanted spec; none while it is no document."""
        try:
            return differences(self.spec(), self.wanted)
        except SpecError:
            return {}
