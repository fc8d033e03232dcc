"""All problems of a document, found at once, or the spec that it describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from gromo_graph.errors import Problem
from gromo_graph.spec.data_sections import DataSection, ImageData, TableData, TextData, section_model
from gromo_graph.spec.defaults import CURRENT, with_defaults
from gromo_graph.spec.explain import not_a_map, read_section
from gromo_graph.spec.foreign_words import (
    advice_for_key,
    advice_for_kind,
    advice_for_shape,
    kind_meant,
)
from gromo_graph.spec.graph_checks import GraphChecks, batch_size_problem, data_problem, name_problem
from gromo_graph.spec.kinds import KINDS, Node
from gromo_graph.spec.kinds.frozen import Frozen
from gromo_graph.spec.model import Origin, Spec
from gromo_graph.spec.settings import Growth
from gromo_graph.spec.target_schedule import with_target_schedule
from gromo_graph.spec.text.locations import MAX_PROBLEMS, UNKNOWN, Document, Path, clipped, path_text
from gromo_graph.spec.train_checks import training_problems
from gromo_graph.spec.train_settings import Train
from gromo_graph.spec.unknown_keys.misplaced_keys import Tree
from gromo_graph.spec.wording import Suggester, shown

VERSION = 1


class DocumentModel(Frozen):
    """The keys of a whole document; its sections are read one by one."""

    version: Any = None
    name: Any = None
    include: Any = None
    vars: Any = None
    defaults: Any = None
    blocks: Any = None
    nodes: Any = None
    output: Any = None
    outputs: Any = None
    data: TableData | ImageData | TextData | None = None
    growth: Growth | None = None
    train: Train | None = None


def check_document(
    document: Document, suggester: Suggester, *, between: bool = True, defaults: int = CURRENT
) -> tuple[Spec | None, tuple[Problem, ...]]:
    """The spec that an expanded document describes, or None, and every problem in the order of the text.

    Args:
        between: whether nodes are checked against each other; if not, the spec need not be a graph.
        defaults: the version of the defaults of `growth` and `train`.
    """
    work = _Check(document, suggester, between=between, defaults=defaults)
    spec = work.run()
    found = dict.fromkeys((*document.problems, *work.problems))
    own = document.file
    problems = tuple(sorted(found, key=lambda p: (p.file != own, p.file, *_place(p)))[:MAX_PROBLEMS])
    return (None if problems else spec), problems


def check_nodes(spec: Spec) -> tuple[Problem, ...]:
    """The problems of a spec that was put together in Python: how its nodes fit each other."""
    problems: list[Problem] = []

    def report(path: Path, message: str, *, key: bool = False) -> None:
        origin = spec.origins.get(str(path[1])) if len(path) > 1 else None
        file, line, column = (origin.file, origin.line, origin.column) if origin else (f"<{spec.name}>", 0, 0)
        problems.append(Problem(file, line, column, path_text(path), message))

    suggester = Suggester()
    for name in spec.nodes:
        message = name_problem(name)
        if message is not None:
            report(("nodes", name), message)
    unknown_data = data_problem(spec.train.data, suggester)
    if unknown_data is not None:
        report(("train", "data"), unknown_data)
    for path, contradiction in training_problems(spec.growth, spec.train, spec.outputs):
        report(path, contradiction)
    if not spec.outputs:
        report(("output",), "an output is missing: name the node whose value the network returns")
    GraphChecks(
        names=list(spec.nodes),
        sound=spec.nodes,
        readings={name: node.sources for name, node in spec.nodes.items()},
        outputs=[(name, ("outputs", place)) for place, name in enumerate(spec.outputs)],
        complete=bool(spec.outputs),
        report=report,
        suggester=suggester,
    ).check()
    too_small = None if problems else batch_size_problem(spec.nodes, spec.train.batch_size)
    if too_small is not None:
        report(("train", "batch_size"), too_small)
    return tuple(sorted(problems, key=_place))


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


@dataclass
class _Check:
    document: Document
    suggester: Suggester
    problems: list[Problem] = field(default_factory=list)
    between: bool = True
    defaults: int = CURRENT
    complete: bool = True  # every `from` and every output could be read
    told: set[tuple[str, int, int, str]] = field(default_factory=set)

    def report(self, path: Path, message: str, *, key: bool = False) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            return
        problem = self.document.problem(path, message, key=key)
        if path[:1] == ("nodes",) and len(path) > 1 and path[1] in self.document.unfolded:
            # A problem of a block is reported once, for the first node that is made from it.
            told = (problem.file, problem.line, problem.column, message)
            if told in self.told:
                return
            self.told.add(told)
        self.problems.append(problem)

    def run(self) -> Spec | None:
        data = self.document.data
        if not isinstance(data, dict):
            if data is not UNKNOWN:
                self.report((), f"found {shown(data)}, expected a map with `nodes` and `output`")
            return None
        version = self.version(data.get("version", VERSION))
        name = self.name(data)
        outputs, named = self.outputs(data)
        nodes = self.nodes(data, outputs)
        growth = self.section(Growth, data, "growth")
        train = self.section(Train, data, "train")
        self.data(data.get("train"))
        source = self.named_data(data)
        named_outputs = [output for output, _ in outputs] if self.complete else []
        for path, contradiction in (
            training_problems(growth, train, named_outputs) if growth and train else ()
        ):
            self.report(path, contradiction)
        if self.problems or self.document.problems or growth is None or train is None:
            self.channels_last(data.get("nodes"))
            return None
        message = batch_size_problem(nodes, train.batch_size) if self.between else None
        if message is not None:
            self.report(("train", "batch_size"), message)
            return None
        origins = {node: self.origin(node) for node in nodes}
        return Spec(
            name,
            nodes,
            tuple(output for output, _ in outputs),
            named,
            with_target_schedule(growth, nodes),
            train,
            version,
            origins,
            source,
        )

    def channels_last(self, nodes: Any) -> None:
        """Tell about images with the channels at the end, in a document with other problems.

        Without any, such a shape may be meant.
        """
        for name, node in nodes.items() if isinstance(nodes, dict) else ():
            shape = node.get("shape") if isinstance(node, dict) else None
            advice = advice_for_shape(shape) if isinstance(shape, list) else None
            if advice is not None:
                self.report(("nodes", name, "shape"), advice)

    def version(self, value: Any) -> int:
        if value is not UNKNOWN and (value != VERSION or not isinstance(value, int) or value is True):
            self.report(("version",), f"found {shown(value)}, this release reads version {VERSION}: write 1")
        return VERSION

    def name(self, data: dict[str, Any]) -> str:
        if "name" not in data:
            file = self.document.file
            return (PurePath(file).stem if not file.startswith("<") else "") or "network"
        value = data["name"]
        if value is UNKNOWN:
            return ""
        if not isinstance(value, str) or not value:
            advice = ": put it in quotes" if isinstance(value, int | float) else ""
            found = "an empty text" if value == "" else shown(value)
            self.report(("name",), f"found {found}, expected a text{advice}")
            return ""
        message = name_problem(value.replace("->", ""))
        if message is not None and value.replace("->", ""):
            self.report(("name",), message)
        return value

    def section(self, model: Any, data: dict[str, Any], key: str) -> Any:
        written = data.get(key, {})
        if isinstance(written, dict):
            written = with_defaults(key, written, self.defaults)
        whole = Tree((), DocumentModel)
        return read_section(
            model, written, (key,), report=self.report, suggester=self.suggester, around=whole
        )

    def named_data(self, data: dict[str, Any]) -> DataSection:
        """The section `data`, if there is one."""
        if "data" not in data:
            return None
        train = data.get("train")
        if isinstance(train, dict) and "data" in train:
            self.report(("train", "data"), "the section `data` names the data too: keep one of the two")
        return self.section(section_model(data["data"]), data, "data")  # type: ignore[no-any-return]

    def data(self, train: Any) -> None:
        data = train.get("data") if isinstance(train, dict) else None
        message = data_problem(data, self.suggester) if isinstance(data, str) and data else None
        if message is not None:
            self.report(("train", "data"), message)

    def outputs(self, data: dict[str, Any]) -> tuple[list[tuple[str, Path]], bool]:
        if "output" in data and "outputs" in data:
            self.complete = False
            self.report(("outputs",), "`output` stands there too: keep one of the two", key=True)
        elif not {"output", "outputs"} & data.keys():
            self.complete = False
            self.report((), "`output` is missing: name the node whose value the network returns")
        found: list[tuple[str, Path]] = []
        if "output" in data:
            self.output(data["output"], ("output",), found)
            return found, False
        values = data.get("outputs", UNKNOWN)
        if isinstance(values, list) and values:
            for place, value in enumerate(values):
                self.output(value, ("outputs", place), found)
        elif values is not UNKNOWN:
            self.complete = False
            what = "an empty list" if values == [] else shown(values)
            self.report(("outputs",), f"found {what}, expected a list of names such as [a, b]")
        self.complete &= bool(found)
        return found, "outputs" in data

    def output(self, value: Any, path: Path, found: list[tuple[str, Path]]) -> None:
        if isinstance(value, str):
            found.append((value, path))
            return
        self.complete = False
        if value is not UNKNOWN:
            advice = ": put it in quotes" if isinstance(value, int | float) else ""
            if path == ("output",) and isinstance(value, list):
                advice = ": several outputs are written `outputs: [a, b]`"
            self.report(path, f"found {shown(value)}, expected the name of a node{advice}")

    def nodes(self, data: dict[str, Any], outputs: Sequence[tuple[str, Path]]) -> dict[str, Node]:
        section = data.get("nodes", UNKNOWN)
        if not isinstance(section, dict) or not section:
            if section is not UNKNOWN:
                found = "an empty map" if section == {} else shown(section)
                self.report(("nodes",), f"found {found}, expected a map from names to nodes")
            elif "nodes" not in data:
                self.report(("nodes",), "`nodes` is missing: a map from names to nodes")
            return {}
        sound = {name: node for name in section if (node := self.node(name, section[name])) is not None}
        if self.between:
            GraphChecks(
                names=list(section),
                sound=sound,
                readings={name: self.readings(section[name]) for name in section},
                outputs=outputs,
                complete=self.complete,
                report=self.report,
                suggester=self.suggester,
                called=[
                    *(name for name in section if name not in self.document.unfolded),
                    *self.document.aliases,
                ],
            ).check()
        return sound

    def node(self, name: str, data: Any) -> Node | None:
        path: Path = ("nodes", name)
        wrong_name = name_problem(name)
        if wrong_name is not None:
            self.report(path, wrong_name, key=True)
        if not isinstance(data, dict):
            if data is not UNKNOWN:
                self.report(path, not_a_map(data, ("kind", "from", "...")))
            return None
        model = self.kind(data, path)
        if model is None:
            self.as_meant(data, path)
            return None
        node: Node | None = read_section(model, data, path, report=self.report, suggester=self.suggester)
        return node

    def as_meant(self, data: dict[str, Any], path: Path) -> None:
        """Report the other problems of a node whose kind is misspelt, or stands under another key."""
        key = "kind" if "kind" in data else self.kind_key(data)
        kind = data.get(key) if key is not None else None
        near = self.likely_kind(kind) if isinstance(kind, str) else None
        if near is not None:
            others = {other: value for other, value in data.items() if other != key}
            meant = {"kind": near, **others}
            read_section(KINDS[near], meant, path, report=self.report, suggester=self.suggester)

    def kind_key(self, data: dict[str, Any]) -> str | None:
        """The key that other libraries have for the kind of a layer, if a node has it."""
        return next((key for key in data if advice_for_key(key, "nodes", ("kind",)) == "write `kind`"), None)

    def likely_kind(self, word: str) -> str | None:
        """The kind that an unknown word stands for."""
        foreign = word if word in KINDS else kind_meant(word)
        return foreign if foreign in KINDS else self.suggester.nearest(word, tuple(KINDS))

    def kind(self, data: dict[str, Any], path: Path) -> type[Node] | None:
        kind = data.get("kind", UNKNOWN)
        if isinstance(kind, str) and kind in KINDS:
            return KINDS[kind]
        known = tuple(KINDS)
        where = (*path, "kind")
        if "kind" not in data:
            near = next((key for key in data if self.suggester.nearest(key, ("kind",))), None)
            foreign = self.kind_key(data)
            if foreign is not None:
                written = data[foreign]
                meant = self.likely_kind(written) if isinstance(written, str) else None
                write = "kind" if meant in (None, written) else f"kind: {meant}"
                self.report((*path, foreign), f"`{foreign}`: write `{write}`", key=True)
            elif near is not None:
                self.report((*path, near), f"unknown key: you wrote `{near}`, did you mean `kind`?", key=True)
            else:
                self.report(where, f"`kind` is missing: one of {', '.join(known)}; or `use` for a block")
        elif isinstance(kind, str):
            foreign = advice_for_kind(kind)
            if foreign is not None:
                self.report(where, f"`{clipped(kind)}`: {foreign}")
                return None
            hint = self.suggester.hint(kind, known, "kinds")
            if kind in self.document.blocks:
                hint = f"it is a block: write `use: {clipped(kind)}`"
            self.report(where, f"unknown kind {shown(kind)}: {hint}")
        elif kind is not UNKNOWN:
            self.report(where, f"found {shown(kind)}, expected a kind: {', '.join(known)}")
        return None

    def readings(self, data: Any) -> tuple[str, ...]:
        """The sources of a node, as far as they can be read if it is wrong."""
        if not isinstance(data, dict):
            self.complete = False
            return ()
        written = data.get("from")
        if isinstance(written, str):
            return (written,)
        if isinstance(written, list) and written and all(isinstance(source, str) for source in written):
            return tuple(written)
        self.complete &= data.get("kind") == "input" and "from" not in data
        return tuple(s for s in written if isinstance(s, str)) if isinstance(written, list) else ()

    def origin(self, name: str) -> Origin:
        path: Path = ("nodes", name)
        place = self.document.problem(path, "", key=True)
        made = self.document.unfolded.get(name)
        use, block = (None, None) if made is None else (made.use, made.block)
        return Origin(place.file, place.line, place.column, path_text(path), use, block)
