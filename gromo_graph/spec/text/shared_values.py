"""Vars, params, blocks and anchors that the value of a node comes from: one change there changes all that share it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gromo_graph.spec.expand.include import included_files
from gromo_graph.spec.model import Spec
from gromo_graph.spec.text.locations import Path, path_text
from gromo_graph.spec.text.rewriting import EditedText
from gromo_graph.spec.text.spans import Spans, spans_of
from gromo_graph.spec.text.write import flow_text

_NAME_ALONE = re.compile(r"\$\{\s*([^\W\d]\w*)\s*\}")


@dataclass(frozen=True)
class SharedValue:
    """A value at a path that several places of a document have."""

    path: Path

    def set(self, text: EditedText, value: object) -> str:
        """Give it another value; what that was, in words."""
        text.set(self.path, value)
        return f"`{path_text(self.path)}` is {flow_text(value)} now"


@dataclass(frozen=True)
class AnchoredValue:
    """The value of an anchor, for all aliases of it; `path` leads to one of them."""

    path: Path

    def set(self, text: EditedText, value: object) -> str:
        """Give it another value; what that was, in words."""
        span = text.value(self.path)
        assert span is not None
        anchor = span.alias or span
        name = text.text[anchor.begin : anchor.start].split()[0]
        text.put(anchor.start, anchor.end, flow_text(value))
        return f"`{name}` is {flow_text(value)} now"


@dataclass
class SharedValues:
    """The sources of the values of the nodes of a document.

    Attributes:
        spans: of the document. file: its name, for what it includes. spec: what it says.
    """

    spans: Spans
    file: str
    spec: Spec

    def of(self, node: str, option: str) -> Iterator[SharedValue | AnchoredValue]:
        """The places that an option of a node may have its value from."""
        origin = self.spec.origins.get(node)
        if origin is None or origin.use is None:
            path: Path = ("nodes", node, option)
            yield from self.var_at(path)
            span = self.spans.value(path)
            if span is not None and span.text is not None and (span.alias is not None or span.anchored):
                yield AnchoredValue(path)
            return
        use, block = origin.use, str(origin.block)
        home = self.home_of(block)
        nodes = home.value(("blocks", block, "nodes"))
        names = [] if nodes is None else nodes.names
        inner = node.removeprefix(f"{use}.")
        inner = inner if inner in names else inner.partition(".")[2]  # without the number of a repetition
        if inner in names:
            place: Path = ("blocks", block, "nodes", inner, option)
            yield from self.param(expression_at(home, place), use, block)
            if home is self.spans:
                yield SharedValue(place)

    def param(self, name: str | None, use: str, block: str) -> Iterator[SharedValue]:
        """The places that a param of a use may have its value from."""
        if not name:
            return
        home = self.home_of(block)
        default: Path = ("blocks", block, "params", name)
        if home.entry(default) is None:
            yield from self.var(name)
            return
        if self.spans.value(("nodes", use)) is not None:
            given: Path = ("nodes", use, "with", name)
            yield from self.var_at(given)
            yield SharedValue(given)
        if home is self.spans:
            yield SharedValue(default)

    def var_at(self, path: Path) -> Iterator[SharedValue]:
        """The var that alone stands at a path."""
        yield from self.var(expression_at(self.spans, path))

    def var(self, name: str | None) -> Iterator[SharedValue]:
        """The var of a name, if it has a value of its own."""
        path: Path = ("vars", str(name))
        if name and self.spans.value(path) is not None and not expression_at(self.spans, path):
            yield SharedValue(path)

    def home_of(self, block: str) -> Spans:
        """The text that a block is written in: the document, or a file that it includes."""
        path: Path = ("blocks", block)
        if self.spans.value(path) is not None:
            return self.spans
        included = (spans_of(file.read_text(encoding="utf-8-sig")) for file in included_files(self.file))
        return next((spans for spans in included if spans.value(path) is not None), self.spans)


def expression_at(spans: Spans, path: Path) -> str | None:
    """The name that alone stands in an expression; empty for a longer one, None if there is none."""
    value = spans.value(path)
    if value is None or value.text is None or "${" not in value.text:
        return None
    found = _NAME_ALONE.fullmatch(value.text)
    return found[1] if found else ""
