"""Spec -> YAML text: flat, one node a line without its defaults, then every setting of growth and training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from gromo_graph.arguments import checked
from gromo_graph.spec.defaults import written_out
from gromo_graph.spec.expand.interpolation import escape
from gromo_graph.spec.model import Spec
from gromo_graph.spec.text.locations import Document, Location
from gromo_graph.spec.text.scalars import represent

LONGEST_KEY = 800
"""YAML refuses a longer key unless `? ` stands before it."""

_WIDTH = 110
_WIDEST_COLUMN = 24  # beyond this, names are not padded to one column


@checked
def dump_spec(spec: Spec, *, defaults: bool = True) -> str:
    """The YAML text of a spec; reading it gives an equal spec, also with a release that has other defaults.

    Args:
        spec: what is written.
        defaults: False leaves settings of `growth` and `train` out that are default, for a document that somebody goes
            on writing; another release may then read it otherwise.

    >>> from gromo_graph.spec import parse_spec
    >>> text = "nodes:\\n  x: {kind: input, shape: [4]}\\n  long: {kind: linear, from: [x], features: 2}\\n"
    >>> print(dump_spec(parse_spec(text + "output: long")).partition("growth:")[0], end="")
    version: 1
    name: network
    nodes:
      x:    {kind: input, shape: [4]}
      long: {kind: linear, from: x, features: 2}
    output: long
    """
    lines: list[str] = []
    for title, section in written_spec(spec, defaults=defaults).items():
        if not isinstance(section, Mapping):
            lines += _entry(title, section, indent=0)
            continue
        lines.append(f"{title}:")
        keys = {name: represent(name) for name in section if title == "nodes"}
        width = max((len(key) for key in keys.values() if len(key) <= _WIDEST_COLUMN), default=0)
        for key, value in section.items():
            lines += _entry(keys.get(key) or key, value, indent=2, width=width)
    return "\n".join(lines) + "\n"


def written_spec(spec: Spec, *, defaults: bool = True) -> dict[str, Any]:
    """The plain content of the document of a spec; strings are not escaped yet.

    Defaults of nodes are left out. Those of `growth` and `train` are written: they differ by version.

    Args:
        spec: what is written. defaults: False leaves them out there too, and a section that has nothing else.
    """
    found: dict[str, Any] = {
        "version": spec.version,
        "name": spec.name,
        "nodes": {name: written_node(node) for name, node in spec.nodes.items()},
    }
    if spec.named_outputs:
        found["outputs"] = list(spec.outputs)
    else:
        found["output"] = spec.outputs[0]
    if spec.data is not None:
        found["data"] = written_out(spec.data) if defaults else written_fields(spec.data)
    everything = defaults or spec.growth.counts_epochs  # by the clock of 0.1 other values are default
    sections = {"growth": spec.growth, "train": spec.train}
    settings = {
        title: written_out(section) if everything else written_fields(section)
        for title, section in sections.items()
    }
    if spec.data is not None:
        settings["train"].pop("data", None)  # it says nothing
    return found | {title: section for title, section in settings.items() if section}


def document_of(spec: Spec, file: str) -> Document:
    """The document of a spec as if its text had been read; every place in it is line 0.

    Args:
        file: what messages call it.
    """
    data, root = _placed(written_spec(spec))
    return Document(file, data, root)


def _placed(value: Any) -> tuple[Any, Location]:
    """A plain value as a reader of YAML gives it, with places like it."""
    if isinstance(value, Mapping):
        items = {str(key): _placed(inner) for key, inner in value.items()}
        data = {key: inner for key, (inner, _) in items.items()}
        return data, Location(0, 0, children={key: place for key, (_, place) in items.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        rows = [_placed(inner) for inner in value]
        return [inner for inner, _ in rows], Location(0, 0, children=[place for _, place in rows])
    return escape(value) if isinstance(value, str) else value, Location(0, 0)


def written_node(node: BaseModel) -> dict[str, Any]:
    """A node as it stands in a document, `kind` and `from` first, without defaults."""
    fields = written_fields(node)
    kind = fields.pop("kind", None) or getattr(node, "kind", None)
    sources = fields.pop("from", None)
    first: dict[str, Any] = {"kind": kind}
    if sources:
        first["from"] = sources[0] if len(sources) == 1 else list(sources)
    return {**first, **fields}


def written_fields(section: BaseModel) -> dict[str, Any]:
    """The keys of a section that are not default."""
    return section.model_dump(by_alias=True, exclude_defaults=True)


def flow_text(value: Any) -> str:
    """A value on one line, as it stands in a document.

    >>> flow_text({"max": 8, "kernel": "full"}), flow_text([1, "a b"])
    ('{max: 8, kernel: full}', '[1, a b]')
    """
    return plain_flow_text(_escaped(value))


def plain_flow_text(value: Any) -> str:
    """A value of a document as it was written there, on one line: its expressions stay expressions.

    >>> plain_flow_text(["${width}"]), flow_text(["${width}"])
    ('["${width}"]', '["$${width}"]')
    """
    return " ".join(_pieces(value))


def _escaped(value: Any) -> Any:
    """A value whose texts are not taken for expressions."""
    if isinstance(value, Mapping):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(inner) for inner in value]
    return escape(value) if isinstance(value, str) else value


def _entry(key: str, value: Any, *, indent: int, width: int = 0) -> Iterator[str]:
    """`key: value` in flow style, long lines broken after commas."""
    space = " " * indent
    if len(key) > LONGEST_KEY:
        yield f"{space}? {key}"
        line, hang = f"{space}:", " " * (indent + 3)
    else:
        line = f"{space}{key}:".ljust(indent + width + 1)
        hang = " " * (len(line) + 2 if len(line) <= indent + _WIDEST_COLUMN + 1 else indent + 4)
    for place, piece in enumerate(_pieces(_escaped(value))):
        if place and len(line) + 1 + len(piece) > _WIDTH:
            yield line
            line = hang + piece
        else:
            line += f" {piece}"
    yield line


def _pieces(value: Any) -> Iterator[str]:
    """A value in flow style, in pieces between which a line may end."""
    if isinstance(value, Mapping):
        items = [(f"{represent(str(key))}: ", inner) for key, inner in value.items()]
        yield from _row("{", items, "}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _row("[", [("", inner) for inner in value], "]")
    else:
        yield represent(value)


def _row(begin: str, items: Sequence[tuple[str, Any]], end: str) -> Iterator[str]:
    if not items:
        yield begin + end
    for place, (label, inner) in enumerate(items):
        pieces = list(_pieces(inner))
        pieces[0] = (begin if place == 0 else "") + label + pieces[0]
        pieces[-1] += end if place == len(items) - 1 else ","
        yield from pieces
