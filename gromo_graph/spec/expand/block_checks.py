"""The blocks of a document and their uses, checked before they are written out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gromo_graph.amounts import amount
from gromo_graph.spec.expand.block_models import Block, Use
from gromo_graph.spec.expand.interpolation import Expansion
from gromo_graph.spec.explain import read_section
from gromo_graph.spec.order import cycle_text
from gromo_graph.spec.text.locations import MAX_PROBLEMS, UNKNOWN, Document, Path, clipped
from gromo_graph.spec.text.parse_yaml import MAX_DEPTH
from gromo_graph.spec.wording import shown


class EnoughProblems(Exception):  # noqa: N818 - it ends the expansion
    """Raised if there are too many problems to read on."""


@dataclass
class Blocks:
    """The section `blocks`.

    Attributes:
        written: as it stands in the document. work: the scope of expressions, which collects the problems.
    """

    document: Document
    work: Expansion
    written: Any
    sound: dict[str, Block | None] = field(default_factory=dict)
    reported: set[tuple[Path, str]] = field(default_factory=set)

    @property
    def names(self) -> list[str]:
        """The names of all blocks, sound or not."""
        return list(self.written) if isinstance(self.written, dict) else []

    def report(self, path: Path, message: str, *, key: bool = False) -> None:
        """Report a problem once, however often its block is used."""
        if (path, message) not in self.reported:
            self.reported.add((path, message))
            self.work.report(path, message, key=key)
            if len(self.work.problems) >= MAX_PROBLEMS:
                raise EnoughProblems

    def check(self) -> None:
        """Report everything that is wrong with the blocks themselves."""
        if not isinstance(self.written, dict) and self.written is not UNKNOWN:
            self.report(("blocks",), f"found {shown(self.written)}, expected a map from names to blocks")
        for name in self.names:
            self.block(name)

    def block(self, name: str) -> Block | None:
        """The block as far as its own keys are right."""
        if name not in self.sound:
            data, path = self.written[name], ("blocks", name)
            self.sound[name] = None
            found = read_section(Block, data, path, report=self.report, suggester=self.work.suggester)
            if found is not None and self.are_sound(found, path):
                self.sound[name] = found
        return self.sound[name]

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
        for place, name in enumerate(block.all_outputs):
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

    def meant(self, use: Use, path: Path) -> Use | None:
        """The use of a block that there is: of a misspelt one as if it were not, so that its nodes are checked too."""
        if use.use in self.names:
            return use
        if self.document.partial:
            return None
        hint = self.work.suggester.hint(use.use, self.names, "blocks")
        self.report((*path, "use"), f"unknown block `{clipped(use.use)}`: {hint}")
        near = self.work.suggester.nearest(use.use, self.names)
        return None if near is None else use.model_copy(update={"use": near})

    def used(self, use: Use, path: Path, stack: tuple[str, ...]) -> Block | None:
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
        outputs = len(block.all_outputs)
        if use.repeat is not None and use.repeat > 1 and outputs != wanted:
            message = (
                f"`{clipped(use.use)}` has {amount(outputs, 'output')} and {amount(wanted, 'input')}: to "
                "read each other in a row they "
                "need as many of one as of the other"
            )
            self.report((*path, "repeat"), message)
            return False
        return True
