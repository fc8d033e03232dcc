"""From a document as written to flat nodes: expressions, blocks and defaults are replaced by their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gromo_graph.spec.expand.block_checks import Blocks, EnoughProblems
from gromo_graph.spec.expand.block_models import Block, Use
from gromo_graph.spec.expand.defaults import Defaults
from gromo_graph.spec.expand.interpolation import Expansion
from gromo_graph.spec.explain import read_section
from gromo_graph.spec.text.locations import UNKNOWN, Document, Location, Path, Unfolded, clipped
from gromo_graph.spec.text.parse_yaml import MAX_NODES
from gromo_graph.spec.wording import Suggester

_AS_WRITTEN = frozenset({"vars", "blocks"})
"""Sections that are not expanded in place: a block is expanded for each use, with its params."""

_MAX_HANDLED = 20 * MAX_NODES
"""The most values that are read to write all blocks out; those of a block count again for each use."""

_LONGEST_NAME = 1000


def unfold(document: Document, suggester: Suggester) -> Document:
    """The document without `vars`, `${...}`, `blocks` and `defaults`: flat nodes, every value written out.

    Values that could not be found are reported and UNKNOWN. Each flat node has the place where it was written.
    """
    data = document.data
    if not isinstance(data, dict):
        return document
    work = Expansion(document, suggester)
    if "vars" in data:
        work.read_vars(data["vars"])
    expanded = {key: work.expand(value, (key,)) for key, value in data.items() if key not in _AS_WRITTEN}
    defaults = Defaults.read(expanded.pop("defaults", {}), work)
    unfolding = _Unfolding(document, work, defaults, Blocks(document, work, data.get("blocks", {})))
    if isinstance(expanded.get("nodes"), dict):
        expanded |= unfolding.flat(expanded)
    children = document.root.children
    assert isinstance(children, dict)
    root = replace(document.root, children={**children, **unfolding.places()})
    expanded.pop("blocks", None)
    problems = (*document.problems, *work.problems)
    return replace(
        document,
        data=expanded,
        root=root,
        problems=problems,
        unfolded=unfolding.unfolded,
        aliases=unfolding.aliases,
        blocks=frozenset(unfolding.blocks.names),
    )


@dataclass(eq=False)
class _Scope:
    """A scope of node names: the document, or one use of a block.

    Attributes:
        prefix: of the flat names. own: nodes written here, in order.
        inputs: for each input, the name that it stands for, with its scope and its path.
        uses: for each use, the name that it stands for, with its scope; None if it has several outputs.
    """

    prefix: str = ""
    own: dict[str, None] = field(default_factory=dict)
    inputs: dict[str, tuple[_Scope, str, Path]] = field(default_factory=dict)
    uses: dict[str, tuple[_Scope, str] | None] = field(default_factory=dict)

    def flat_name(self, name: str, nodes: Collection[str]) -> str | None:
        """The flat node that a name stands for, or None."""
        if name in self.inputs:
            scope, outer, _ = self.inputs[name]
            return scope.flat_name(outer, nodes)
        meant = self.uses.get(name)
        if meant is not None:
            scope, inner = meant
            return scope.flat_name(inner, nodes)
        # A node inside a use can be read by its own flat name too.
        return self.prefix + name if name in self.own or self.prefix + name in nodes else None

    @property
    def names(self) -> list[str]:
        """All that may be read here."""
        return [*self.inputs, *self.uses, *self.own]


@dataclass
class _Node:
    """A flat node whose sources are not resolved yet."""

    data: Any
    place: Location
    scope: _Scope
    path: Path  # in the document


class _TooLarge(EnoughProblems):
    """The document is too large; this is reported at the outermost use."""


@dataclass
class _Unfolding:
    document: Document
    work: Expansion
    defaults: Defaults
    blocks: Blocks
    nodes: dict[str, _Node] = field(default_factory=dict)
    unfolded: dict[str, Unfolded] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    values: int = 0
    handled: int = 0
    flattened: bool = False
    aliases: dict[str, str] = field(default_factory=dict)

    def flat(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The sections of the document that name nodes, with flat nodes instead."""
        try:
            return self.all_flat(data)
        except EnoughProblems:
            self.flattened = False
            return {"nodes": UNKNOWN}

    def all_flat(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self.blocks.check()
        top = _Scope()
        self.unfold(data["nodes"], top, self.document.place(("nodes",)), ("nodes",), ())
        self.flattened = True
        nodes = {name: self.resolved(node) for name, node in self.nodes.items()}
        found: dict[str, Any] = {"nodes": nodes}
        for key in ("output", "outputs"):
            if key in data:
                found[key] = self.renamed(data[key], top, (key,))
        self.aliases = {
            name: flat for name in top.uses if (flat := top.flat_name(name, self.nodes)) is not None
        }
        return found

    def places(self) -> dict[str, Location]:
        """The places of what `flat` gives."""
        if not self.flattened:
            return {}
        children = {name: node.place for name, node in self.nodes.items()}
        return {"nodes": replace(self.document.place(("nodes",)), children=children)}

    def unfold(
        self, nodes: Mapping[str, Any], scope: _Scope, place: Location, path: Path, stack: tuple[str, ...]
    ) -> None:
        """Write the nodes of a scope out; those of uses of blocks in turn."""
        places = place.children if isinstance(place.children, dict) else {}
        for name, data in nodes.items():
            where = (*path, name)
            if isinstance(data, dict) and "use" in data:
                try:
                    self.use(name, data, scope, where, stack)
                except _TooLarge as error:
                    if not stack:
                        self.blocks.report(where, str(error))
                    raise
            else:
                scope.own[name] = None
                self.put(scope.prefix + name, data, places.get(name, place), scope, where)

    def put(self, flat: str, data: Any, place: Location, scope: _Scope, path: Path) -> None:
        if flat in self.nodes or (not scope.prefix and flat in self.unfolded):
            self.blocks.report(
                path, f"a use of a block makes a node of that name too, `{clipped(flat)}`", key=True
            )
            return
        data, place = self.defaults.filled(data, place)
        self.count(_size(data))
        self.nodes[flat] = _Node(data, place, scope, path)
        self.order.append(flat)

    def count(self, values: int) -> None:
        self.must_fit(values)
        self.values += values

    def must_fit(self, values: int) -> None:
        if self.values + values > MAX_NODES:
            raise _TooLarge(f"more than {MAX_NODES:,} values once its blocks are written out")

    def handle(self, values: int) -> None:
        self.handled += values
        if self.handled > _MAX_HANDLED:
            raise _TooLarge(f"more than {_MAX_HANDLED:,} values are read to write its blocks out")

    def use(self, name: str, data: dict[str, Any], scope: _Scope, path: Path, stack: tuple[str, ...]) -> None:
        """Write a use of a block out."""
        scope.uses[name] = None
        self.count(len(data) + 1)
        self.handle(_size(data))
        if len(scope.prefix) + len(name) > _LONGEST_NAME:
            message = f"names of more than {_LONGEST_NAME:,} characters once its blocks are written out"
            self.blocks.report(path, message, key=True)
        elif "kind" in data:
            self.blocks.report(
                (*path, "kind"), "a node has a `kind` or a `use`: leave one of the two out", key=True
            )
        else:
            use = read_section(Use, data, path, report=self.blocks.report, suggester=self.work.suggester)
            use = None if use is None else self.blocks.meant(use, path)
            block = None if use is None else self.blocks.used(use, path, stack)
            if use is not None and block is not None:
                self.write_out(name, use, block, scope, path, stack)

    def write_out(
        self, name: str, use: Use, block: Block, scope: _Scope, path: Path, stack: tuple[str, ...]
    ) -> None:
        """Write the turns of a use out, each of which reads the one before."""
        self.handle(len(block.params) + _size(block.nodes))
        params = self.blocks.params(use, block, path)
        if params is None or not self.blocks.fits(use, block, path):
            return
        inner_path = ("blocks", use.use, "nodes")
        nodes = self.work.with_params(params).expand(block.nodes, inner_path)
        many = len(use.sources) > 1
        inputs = {
            name: (scope, source, (*path, "from", place) if many else (*path, "from"))
            for place, (name, source) in enumerate(zip(block.inputs, use.sources, strict=True))
        }
        inner = scope
        # Each node is two values at the least: what is too large anyhow is refused before it is begun.
        self.must_fit(2 * (use.repeat or 1) * len(block.nodes))
        for turn in range(1, (use.repeat or 1) + 1):
            self.count(1)
            number = "" if use.repeat is None else f"{turn}."
            inner = _Scope(f"{scope.prefix}{name}.{number}", inputs=inputs)
            before = len(self.order)
            self.unfold(nodes, inner, self.document.place(inner_path), inner_path, (*stack, use.use))
            made = Unfolded(scope.prefix + name, use.use, turn)
            for flat in self.order[before:]:
                self.unfolded.setdefault(flat, made)
            inputs = {
                name: (inner, output, path)
                for name, output in zip(block.inputs, block.all_outputs, strict=False)
            }
        if block.output is not None:
            scope.uses[name] = (inner, block.output)
        else:
            scope.uses |= {f"{name}.{output}": (inner, output) for output in block.all_outputs}

    def resolved(self, node: _Node) -> Any:
        """The node with flat names in its `from`."""
        data = node.data
        if not isinstance(data, dict) or "from" not in data:
            return data
        return {**data, "from": self.renamed(data["from"], node.scope, (*node.path, "from"))}

    def renamed(self, written: Any, scope: _Scope, path: Path) -> Any:
        if isinstance(written, list):
            return [self.renamed(inner, scope, (*path, place)) for place, inner in enumerate(written)]
        if not isinstance(written, str):
            return written
        flat = scope.flat_name(written, self.nodes)
        if flat is not None:
            return flat
        if not scope.prefix and written not in scope.uses:
            return written  # unknown; the check of the whole says so
        self.unreadable(written, scope, path)
        return UNKNOWN

    def unreadable(self, name: str, scope: _Scope, path: Path) -> None:
        while name in scope.inputs:  # the source of the use is wrong, not its reader inside
            scope, name, path = scope.inputs[name]
        if name in scope.uses:
            several = [other for other in scope.uses if other.startswith(f"{name}.")]
            if several:
                names = ", ".join(f"`{clipped(other)}`" for other in several)
                self.blocks.report(path, f"`{clipped(name)}` has several outputs: read one of {names}")
            return  # the use itself is wrong, and has been reported
        if scope.prefix:
            hint = self.work.suggester.hint(name, scope.names, "nodes here")
            hint += "; a block reads its inputs and its own nodes"
        else:
            hint = self.work.suggester.hint(name, [*self.nodes, *scope.uses], "nodes")
        self.blocks.report(path, f"unknown node `{clipped(name)}`: {hint}")


def _size(data: Any) -> int:
    """The number of values in a value, itself counted."""
    if isinstance(data, dict):
        return 1 + sum(map(_size, data.values()))
    return 1 + sum(map(_size, data)) if isinstance(data, list) else 1
