"""`--set path=value`: parts of a document replaced from the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gromo_graph.errors import Problem
from gromo_graph.spec.data_sections import section_model
from gromo_graph.spec.defaults import without_default_schedule
from gromo_graph.spec.expand.block_models import Block, Use
from gromo_graph.spec.field_names import Model, keys_of, section_of
from gromo_graph.spec.kinds import KINDS
from gromo_graph.spec.python_values import plain
from gromo_graph.spec.text.locations import Document, Location, Path, clipped, path_text
from gromo_graph.spec.text.parse_yaml import EMPTY, parse_document
from gromo_graph.spec.text.write import plain_flow_text
from gromo_graph.spec.unknown_keys.misplaced_keys import Tree, places_of
from gromo_graph.spec.wording import Suggester, folded, listed

Overrides = Mapping[str, Any] | Sequence[str]
"""`{"train.epochs": 3}` or `["train.epochs=3"]`; values that are texts are read as YAML."""

_STEP = re.compile(r""""([^"]*)"|'([^']*)'|([^."'=]+)""")


def apply_overrides(
    document: Document, overrides: Overrides, *, root: Model, suggester: Suggester
) -> Document:
    """The document with the values replaced; a path that the language does not know is a problem."""
    written = [_split(text) for text in override_texts(overrides)]
    if any(path == "growth.when.until" for path, _ in written):
        document = _without_default_schedule(document)
    for path, value in written:
        document = _apply(document, path, value, root=root, suggester=suggester)
    return document


def _without_default_schedule(document: Document) -> Document:
    """The document without the default schedule that a run spells out."""
    growth = document.data.get("growth") if isinstance(document.data, dict) else None
    when = growth.get("when") if isinstance(growth, dict) else None
    if not isinstance(when, dict) or (left := without_default_schedule(when)) == when:
        return document
    place = Location(0, 0, file="--set growth.when.until")
    data, places = _replaced(document.data, document.root, ("growth", "when"), left, place)
    return replace(document, data=data, root=places)


def override_texts(overrides: Overrides) -> list[str]:
    """Overrides as they are written after `--set`.

    >>> override_texts({"train.epochs": 3, "growth.stop": {"steps": 1}})
    ['train.epochs=3', 'growth.stop={steps: 1}']
    """
    if isinstance(overrides, str):
        return [overrides]
    if isinstance(overrides, Mapping):
        return [f"{path}={_value_text(value)}" for path, value in overrides.items()]
    return list(overrides)


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else plain_flow_text(plain(value))


def _split(text: str) -> tuple[str, str | None]:
    """`path=value` at the first `=` outside quotes; without one, there is no value."""
    quote = ""
    for place, character in enumerate(text):
        if character in "\"'" and quote in ("", character):
            quote = "" if quote else character
        elif character == "=" and not quote:
            return text[:place], text[place + 1 :]
    return text, None


def _apply(
    document: Document, path_written: str, value: str | None, *, root: Model, suggester: Suggester
) -> Document:
    written = path_written if value is None else f"{path_written}={value}"
    file = f"--set {clipped(written)}"

    def refused(message: str) -> Document:
        return replace(document, problems=(*document.problems, Problem(file, 0, 0, "", message)))

    if value is None:
        return refused("there is no `=`: write path=value, e.g. train.epochs=3")
    path = _parse_path(path_written)
    if path is None:
        return refused("not a path: names are separated by dots, and quoted where they contain dots")
    read = parse_document(value, file)
    if read.broken and value.strip() and read.problems[0].message == EMPTY:
        return refused(
            "the value is nothing, which no key takes: take the key out of the document to have its default"
        )
    if read.broken and value.strip():
        return refused(f"the value is {read.problems[0].message}")
    if not value.strip():
        return refused("the value is empty: write path=value, e.g. train.epochs=3")
    steps = _PathReader(document.data, root, suggester).steps(path)
    if isinstance(steps, str):
        return refused(steps)
    place = Location(0, 0, file=file)
    data, places = _replaced(document.data, document.root, steps, read.data, place)
    problems = (*document.problems, *(Problem(file, 0, 0, "", p.message) for p in read.problems))
    return replace(document, data=data, root=places, problems=problems)


def _parse_path(text: str) -> tuple[str, ...] | None:
    steps: list[str] = []
    place = 0
    while True:
        match = _STEP.match(text, place)
        if match is None:
            return None
        steps.append(next(group for group in match.groups() if group is not None).strip())
        place = match.end()
        if place == len(text):
            return tuple(steps)
        if text[place] != ".":
            return None
        place += 1


@dataclass
class _PathReader:
    """Follows a path through the document and, beyond the last key that is written, through the models."""

    data: Any
    root: Model
    suggester: Suggester
    taken: list[str | int] = field(default_factory=list)
    document: Any = field(init=False)
    around: Tree = field(init=False)  # the sections that a key may belong to which they do not have here

    def __post_init__(self) -> None:
        self.document, self.around = self.data, Tree((), self.root)

    def steps(self, path: Sequence[str]) -> Path | str:
        """The steps of the path, or what is wrong with it."""
        data, section = self.data, self.root
        known_section: Model | None = section
        for place, step in enumerate(path):
            rest = path[place + 1 :]
            known = self.known(data, known_section)
            index = int(step) if isinstance(data, list) and step.isdecimal() and len(step) < 7 else None
            taken: str | int = step if index is None else index
            if taken not in known:
                return self.unknown(step, [str(name) for name in known], rest)
            known_section = self.next_section(data, known_section, step)
            value = data.get(step) if isinstance(data, dict) else None
            data = value if index is None else data[index]
            self.taken.append(taken)
            if len(self.taken) == 2 and self.taken[0] == "nodes" and known_section is not None:
                self.around = Tree(tuple(self.taken), known_section)
        return tuple(self.taken)

    def known(self, data: Any, section: Model | None) -> list[str | int]:
        if isinstance(data, list):
            return list(range(len(data)))
        written = list(data) if isinstance(data, dict) else []
        if self.taken[-1:] == ["with"]:
            written += self.params()
        return list(dict.fromkeys([*written, *(keys_of(section) if section is not None else ())]))

    def params(self) -> list[str]:
        """The parameters of the block that the current use stands for."""
        data = self.document
        for step in self.taken[:-1]:
            data = data[step]
        use = data.get("use") if isinstance(data, dict) else None
        blocks = self.document.get("blocks")
        block = blocks.get(use) if isinstance(blocks, dict) and isinstance(use, str) else None
        params = block.get("params") if isinstance(block, dict) else None
        return list(params) if isinstance(params, dict) else []

    def next_section(self, data: Any, section: Model | None, step: str) -> Model | None:
        match self.taken:
            case ["nodes"] | ["blocks", _, "nodes"]:
                node = data.get(step) if isinstance(data, dict) else None
                if isinstance(node, dict) and "use" in node:
                    return Use
                kind = node.get("kind") if isinstance(node, dict) else None
                return KINDS.get(kind) if isinstance(kind, str) else None
            case ["blocks"]:
                return Block
            case ["defaults"]:
                return KINDS.get(step)
            case [] if step == "data" and isinstance(data, dict):
                return section_model(data.get(step))
            case _:
                return section_of(section, step) if section is not None else None

    def unknown(self, step: str, known: Sequence[str], rest: Sequence[str]) -> str:
        where = f" in `{path_text(tuple(self.taken))}`" if self.taken else ""
        message = f"unknown path: there is no `{clipped(step)}`{where}"
        near = self.suggester.nearest(step, known)
        misspelt = near is not None and folded(near) == folded(step)
        places = [] if misspelt else places_of(step, tuple(self.taken), self.around)
        if places:
            meant = " or ".join(f"`{path_text((*place, *rest))}`" for place in places)
            return f"{message}, did you mean {meant}?"
        if near is not None:
            return f"{message}, did you mean `{path_text((*self.taken, near, *rest))}`?"
        return f"{message}, known here: {listed(known) or 'nothing'}"


def _replaced(data: Any, place: Location, steps: Path, value: Any, here: Location) -> tuple[Any, Location]:
    """A copy along the path; what the document shares by aliases stays as it was elsewhere."""
    if not steps:
        return value, replace(here, key_line=place.key_line, key_column=place.key_column)
    step, rest = steps[0], steps[1:]
    if isinstance(data, list) and isinstance(step, int):
        values, places = list(data), list(place.children or ())
        values[step], places[step] = _replaced(data[step], places[step], rest, value, here)  # type: ignore[arg-type]
        return values, replace(place, children=places)  # type: ignore[arg-type]
    written = dict(data) if isinstance(data, dict) else {}
    children = dict(place.children) if isinstance(place.children, dict) else {}
    inner = children.get(str(step), here)
    written[str(step)], children[str(step)] = _replaced(written.get(str(step)), inner, rest, value, here)
    return written, replace(place, children=children)
