"""From what the author wrote to flat nodes: every expression, block and default replaced by what it stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gromo_graph.spec.expand.block_models import Block, Use
from gromo_graph.spec.expand.defaults import Defaults
from gromo_graph.spec.expand.interpolation import Expansion
from gromo_graph.spec.explain import read_section
from gromo_graph.spec.order import cycle_text
from gromo_graph.spec.text.document import MAX_DEPTH, MAX_NODES
from gromo_graph.spec.text.locations import MAX_PROBLEMS, UNKNOWN, Document, Location, Path, Unfolded, clipped
from gromo_graph.spec.wording import Suggester, shown

_AS_WRITTEN = frozenset({"vars", "blocks"})
"""Sections that are not expanded where they stand: blocks are where they are used, with their params."""

_MAX_HANDLED = 20 * MAX_NODES
"""Values that may be read, again for each use, to write all blocks out."""

_LONGEST_NAME = 1000


def unfold(document: Document, suggester: Suggester) -> Document:
    """The document without `vars`, `${...}`, `blocks` and `defaults`: flat nodes, every value written out.

    What could not be found is UNKNOWN and reported. Each flat node has the place where it was written.
    """
    data = document.data
    if not isinstance(data, dict):
        return document
    work = Expansion(document, suggester)
    if "vars" in data:
        work.read_vars(data["vars"])
    expanded = {key: work.expand(value, (key,)) for key, value in data.items() if key not in _AS_WRITTEN}
    defaults = Defaults.read(expanded.pop("defaults", {}), work)
    unfolding = _Unfolding(document, work, defaults, data.get("blocks", {}))
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
        blocks=frozenset(unfolding.blocks if isinstance(unfolding.blocks, dict) else ()),
    )


@dataclass(eq=False)
class _Scope:
    """Where names of nodes mean something: the document, or one use of a block.

    Attributes:
        prefix: of the flat names. own: nodes written here, in order.
        inputs: what these names stand for: a name in another scope, and where that is written.
        uses: likewise a name in another scope; of a use with several outputs nothing.
    """

    prefix: str = ""
    own: dict[str, None] = field(default_factory=dict)
    inputs: dict[str, tuple[_Scope, str, Path]] = field(default_factory=dict)
    uses: dict[str, tuple[_Scope, str] | None] = field(default_factory=dict)

    def flat_name(self, name: str, nodes: Collection[str]) -> str | None:
        """What the name stands for among the flat nodes; None where it means nothing here."""
        if name in self.inputs:
            scope, outer, _ = self.inputs[name]
            return scope.flat_name(outer, nodes)
        meant = self.uses.get(name)
        if meant is not None:
            scope, inner = meant
            return scope.flat_name(inner, nodes)
        # Also a node inside a use, by its own name.
        return self.prefix + name if name in self.own or self.prefix + name in nodes else None

    @property
    def names(self) -> list[str]:
        """All that may be read here."""
        return [*self.inputs, *self.uses, *self.own]


@dataclass
class _Node:
    """A flat node before what it reads has been resolved."""

    data: Any
    place: Location
    scope: _Scope
    path: Path  # where it is written


class _EnoughProblems(Exception):  # noqa: N818 - it ends the unfolding
    """There are enough problems."""


class _TooLarge(_EnoughProblems):
    """More than a document may hold; it is reported where the outermost use stands."""


@dataclass
class _Unfolding:
    document: Document
    work: Expansion
    defaults: Defaults
    blocks: Any
    nodes: dict[str, _Node] = field(default_factory=dict)
    unfolded: dict[str, Unfolded] = field(default_factory=dict)
    read: dict[str, Block | None] = field(default_factory=dict)
    reported: set[tuple[Path, str]] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    values: int = 0
    handled: int = 0
    flattened: bool = False
    aliases: dict[str, str] = field(default_factory=dict)

    def report(self, path: Path, message: str, *, key: bool = False) -> None:
        """What is wrong with a block is said once, however often it is used."""
        if (path, message) not in self.reported:
            self.reported.add((path, message))
            self.work.report(path, message, key=key)
            if len(self.work.problems) >= MAX_PROBLEMS:
                raise _EnoughProblems

    def flat(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The sections of the document that name nodes, with flat nodes instead."""
        try:
            return self.all_flat(data)
        except _EnoughProblems:
            self.flattened = False
            return {"nodes": UNKNOWN}

    def all_flat(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self.check_blocks()
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

    def check_blocks(self) -> None:
        if not isinstance(self.blocks, dict):
            if self.blocks is not UNKNOWN:
                self.report(("blocks",), f"found {shown(self.blocks)}, expected a map from names to blocks")
            self.blocks = {}
        for name in self.blocks:
            self.block(name)

    def block(self, name: str) -> Block | None:
        """The block as far as its own keys are right."""
        if name not in self.read:
            data, path = self.blocks[name], ("blocks", name)
            self.read[name] = None
            found = read_section(Block, data, path, report=self.report, suggester=self.work.suggester)
            if found is not None and self.are_sound(found, path):
                self.read[name] = found
        return self.read[name]

    def are_sound(self, block: Block, path: Path) -> bool:
        before = len(self.work.problems)
        inputs: set[str] = set()
        for place, name in enumerate(block.inputs):
            if name in block.nodes:
                self.report(
                    (*path, "inputs", place), f"`{clipped(name)}` is a node too: give one another name"
                )
            elif name in inputs:
                self.report((*path, "inputs", place), f"`{clipped(name)}` stands twice among the inputs")
            inputs.add(name)
        if (block.output is None) == (block.outputs is None):
            missing = "`output` is missing: name the node that stands for the block"
            both = "`output` and `outputs` stand there: keep one of the two"
            self.report(path, missing if block.output is None else both, key=True)
        for place, name in enumerate(_outputs(block)):
            where = (*path, "output") if block.outputs is None else (*path, "outputs", place)
            if name in inputs:
                self.report(where, f"`{clipped(name)}` is an input: an output is a node of the block")
            elif name not in block.nodes:
                hint = self.work.suggester.hint(name, list(block.nodes), "nodes")
                self.report(where, f"unknown node `{clipped(name)}`: {hint}")
        for name in block.params:
            if not name.isidentifier():
                self.report((*path, "params", name), "a param is named with letters, digits and _", key=True)
        return len(self.work.problems) == before

    # Writing out

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
                        self.report(where, str(error))
                    raise
            else:
                scope.own[name] = None
                self.put(scope.prefix + name, data, places.get(name, place), scope, where)

    def put(self, flat: str, data: Any, place: Location, scope: _Scope, path: Path) -> None:
        if flat in self.nodes or (not scope.prefix and flat in self.unfolded):
            self.report(path, f"a use of a block makes a node of that name too, `{clipped(flat)}`", key=True)
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
            self.report(path, message, key=True)
            return
        if "kind" in data:
            self.report((*path, "kind"), "a node has a `kind` or a `use`: leave one of the two out", key=True)
            return
        use = read_section(Use, data, path, report=self.report, suggester=self.work.suggester)
        block = None if use is None else self.used(use, path, stack)
        if use is None or block is None:
            return
        self.handle(len(block.params) + _size(block.nodes))
        params = self.params(use, block, path)
        if params is None or not self.fits(use, block, path):
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
                for name, output in zip(block.inputs, _outputs(block), strict=False)
            }
        if block.output is not None:
            scope.uses[name] = (inner, block.output)
        else:
            scope.uses |= {f"{name}.{output}": (inner, output) for output in _outputs(block)}

    def used(self, use: Use, path: Path, stack: tuple[str, ...]) -> Block | None:
        if use.use not in self.blocks:
            if self.document.partial:
                return None
            hint = self.work.suggester.hint(use.use, list(self.blocks), "blocks")
            self.report((*path, "use"), f"unknown block `{clipped(use.use)}`: {hint}")
            return None
        if use.use in stack:
            circle = cycle_text(stack[stack.index(use.use) :])
            self.report((*path, "use"), f"the blocks use each other in a circle: {circle}")
            return None
        if len(stack) >= MAX_DEPTH:
            self.report((*path, "use"), f"blocks inside blocks more than {MAX_DEPTH} deep")
            return None
        return self.block(use.use)

    def params(self, use: Use, block: Block, path: Path) -> dict[str, Any] | None:
        """The value of each param for this use."""
        sound = True
        meant: set[str | None] = set()
        for name in use.params:
            if name not in block.params:
                meant.add(self.work.suggester.nearest(name, list(block.params)))
                hint = self.work.suggester.hint(name, list(block.params), "params")
                message = f"`{clipped(use.use)}` has no param `{clipped(name)}`: {hint}"
                self.report((*path, "with", name), message, key=True)
                sound = False
        values = {}
        for name, default in block.params.items():
            if name in use.params:
                values[name] = use.params[name]
            elif default is not None:
                values[name] = self.work.expand(default, ("blocks", use.use, "params", name))
            elif name not in meant:
                message = (
                    f"the param `{clipped(name)}` of `{clipped(use.use)}` has no default: give it in `with`"
                )
                self.report((*path, "with"), message, key=True)
                sound = False
        return values if sound else None

    def fits(self, use: Use, block: Block, path: Path) -> bool:
        wanted, found = len(block.inputs), len(use.sources)
        if found != wanted:
            names = ", ".join(clipped(name) for name in block.inputs)
            message = f"`{clipped(use.use)}` reads {wanted} ({names}), found {found}"
            self.report((*path, "from"), f"{message}: give one node for each")
            return False
        outputs = len(_outputs(block))
        if use.repeat is not None and use.repeat > 1 and outputs != wanted:
            message = (
                f"`{clipped(use.use)}` has {outputs} outputs and {wanted} inputs: to read each other in a row they "
                "need as many of one as of the other"
            )
            self.report((*path, "repeat"), message)
            return False
        return True

    # What is read

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
        while name in scope.inputs:  # what a use reads is wrong, not who reads it inside
            scope, name, path = scope.inputs[name]
        if name in scope.uses:
            several = [other for other in scope.uses if other.startswith(f"{name}.")]
            if several:
                names = ", ".join(f"`{clipped(other)}`" for other in several)
                self.report(path, f"`{clipped(name)}` has several outputs: read one of {names}")
            return  # the use itself is wrong, and has been reported
        if scope.prefix:
            hint = self.work.suggester.hint(name, scope.names, "nodes here")
            hint += "; a block reads its inputs and its own nodes"
        else:
            hint = self.work.suggester.hint(name, [*self.nodes, *scope.uses], "nodes")
        self.report(path, f"unknown node `{clipped(name)}`: {hint}")


def _outputs(block: Block) -> Sequence[str]:
    if block.outputs is not None:
        return block.outputs
    return () if block.output is None else (block.output,)


def _size(data: Any) -> int:
    """How many values there are in one, itself counted."""
    if isinstance(data, dict):
        return 1 + sum(map(_size, data.values()))
    return 1 + sum(map(_size, data)) if isinstance(data, list) else 1
