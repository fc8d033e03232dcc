"""`include`: the blocks of other files in the spec's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path as File
from typing import Any

from gromo_graph.errors import Problem
from gromo_graph.spec.text.locations import UNKNOWN, Document, Location, Path, clipped
from gromo_graph.spec.text.parse_yaml import MAX_BYTES, MAX_NODES
from gromo_graph.spec.text.read_file import read_document
from gromo_graph.spec.wording import shown

_MOST_FILES = 100
_SECTIONS = ("version", "blocks")


def include(document: Document) -> Document:
    """The document with the blocks of the files that it includes; their problems are reported."""
    data = document.data
    if document.broken or not isinstance(data, dict) or "include" not in data:
        return document
    work = _Including(document)
    for path, name in work.names(data["include"]):
        if not work.full:
            work.take(name, path)
    return work.result()


def included_files(path: str | os.PathLike[str]) -> list[File]:
    """The files that the document at `path` includes, as far as it can be read."""
    document = read_document(path)
    if document.broken or not isinstance(document.data, dict) or "include" not in document.data:
        return []
    work = _Including(document)
    files = (work.file(name, place) for place, name in work.names(document.data["include"]))
    return [File(file) for file in files if file is not None]


@dataclass
class _Including:
    """Attributes:
    blocks, places: of all files, the document's own first.
    size, values: bytes and values of the files so far. full: they are as many as are read.
    """

    document: Document
    problems: list[Problem] = field(default_factory=list)
    blocks: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Location] = field(default_factory=dict)
    size: int = 0
    values: int = 0
    full: bool = False
    partial: bool = False

    def __post_init__(self) -> None:
        own = self.document.data.get("blocks")
        if isinstance(own, dict):
            children = self.document.place(("blocks",)).children
            self.blocks = dict(own)
            self.places = dict(children) if isinstance(children, dict) else {}

    def report(self, path: Path, message: str) -> None:
        self.problems.append(self.document.problem(path, message))

    def names(self, written: Any) -> list[tuple[Path, str]]:
        """The files, with the place of each."""
        if isinstance(written, str):
            return [(("include",), written)]
        if not isinstance(written, list):
            if written is not UNKNOWN:
                self.report(
                    ("include",), f"found {shown(written)}, expected a list of files such as [blocks.yaml]"
                )
            return []
        if len(written) > _MOST_FILES:
            self.report(("include",), f"found {len(written)} files, at most {_MOST_FILES} are read")
            return []
        found: list[tuple[Path, str]] = []
        for place, name in enumerate(written):
            if isinstance(name, str):
                found.append((("include", place), name))
            elif name is not UNKNOWN:
                self.report(("include", place), f"found {shown(name)}, expected the name of a file")
        return found

    def take(self, name: str, path: Path) -> None:
        """Read the blocks of a file."""
        file = self.file(name, path)
        if file is None:
            self.partial = True
            return
        found = read_document(file)
        self.size += found.size
        self.values += found.values
        if self.size > MAX_BYTES or self.values > MAX_NODES:
            most = f"{MAX_BYTES // 1_000_000} MB and {MAX_NODES:,} values"
            self.report(path, f"all files together are larger than {most}")
            self.full = self.partial = True
            return
        if found.broken and not found.problems[0].line:
            self.report(path, f"`{clipped(name)}`: {found.problems[0].message}")
            self.partial = True
            return
        self.problems += found.problems
        if found.broken:
            self.partial = True
            return
        if not isinstance(found.data, dict):
            self.report(path, f"`{clipped(name)}` holds {shown(found.data)}, expected a map with `blocks`")
            return
        for key in found.data:
            if key not in _SECTIONS:
                message = f"an included file holds `blocks` alone: take `{clipped(key)}` out"
                self.problems.append(found.problem((key,), message, key=True))
        blocks = found.data.get("blocks")
        if not isinstance(blocks, dict):
            self.problems.append(
                found.problem(("blocks",), "`blocks` is missing: a map from names to blocks")
            )
            return
        self.add(found, blocks)

    def add(self, found: Document, blocks: dict[str, Any]) -> None:
        for block, data in blocks.items():
            place = found.place(("blocks", block))
            if block in self.blocks:
                first = self.places[block]
                where = f"{first.file or self.document.file}:{first.key_line}:{first.key_column}"
                message = f"the block `{clipped(block)}` is there already, at {where}: give one another name"
                self.problems.append(found.problem(("blocks", block), message, key=True))
                continue
            self.blocks[block] = data
            self.places[block] = _in_file(place, found.file)

    def file(self, name: str, path: Path) -> str | None:
        """The path of an included file, or None if it may not be read."""
        if self.document.file.startswith("<"):
            self.report(path, "a text has no folder that a file could be in: save it, and load the file")
            return None
        if "\0" in name or File(name).is_absolute():
            self.report(
                path, f"`{clipped(name)}` is no file in the folder of the spec: name it relative to that"
            )
            return None
        folder = File(self.document.file).parent
        file = folder / name
        if not File(os.path.realpath(file)).is_relative_to(os.path.realpath(folder)):
            self.report(
                path, f"`{clipped(name)}` is outside the folder of the spec: only files inside are read"
            )
            return None
        if not file.is_file() and (file.is_fifo() or file.is_socket() or file.is_char_device()):
            self.report(path, f"`{clipped(name)}` is no regular file: it would be waited for")
            return None
        return str(file)

    def result(self) -> Document:
        """The document with all blocks, and without `include`."""
        document = self.document
        data = {key: value for key, value in document.data.items() if key != "include"}
        document = replace(
            document, data=data, problems=(*document.problems, *self.problems), partial=self.partial
        )
        if not self.blocks or not isinstance(data.get("blocks", {}), dict):
            return document
        children = dict(document.root.children) if isinstance(document.root.children, dict) else {}
        children["blocks"] = replace(children.get("blocks", document.root), children=self.places)
        root = replace(document.root, children=children)
        return replace(document, data={**data, "blocks": self.blocks}, root=root)


def _in_file(place: Location, file: str) -> Location:
    """The place and all inside it, known to be in another file."""
    children = place.children
    if isinstance(children, dict):
        children = {key: _in_file(inner, file) for key, inner in children.items()}
    elif isinstance(children, list):
        children = [_in_file(inner, file) for inner in children]
    return replace(place, file=file, children=children)
