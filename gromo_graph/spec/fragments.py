"""Nodes and sections given in Python as maps, as they would stand in a document.

The caller gives the name that stands in messages in place of a document's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from gromo_graph.errors import Problem, SpecError
from gromo_graph.spec.defaults import without_default_schedule, written_out
from gromo_graph.spec.explain import read_section
from gromo_graph.spec.kinds import KINDS, Node
from gromo_graph.spec.python_values import plain
from gromo_graph.spec.settings import Growth
from gromo_graph.spec.text.locations import Path, path_text
from gromo_graph.spec.train_settings import Train
from gromo_graph.spec.wording import Suggester, shown

EDIT = "<edit>"
"""The name of what an edit of a spec gives."""

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def node_of(name: str, written: Mapping[str, Any] | Node, *, document: str) -> Node:
    """The node that a map describes, as under `nodes` in a document.

    Args:
        document: the name of what gives the map, for messages.

    Raises:
        SpecError: in the words of the loader.

    >>> node_of("h", {"kind": "linear", "from": "x", "features": 3}, document=EDIT).features
    3
    """
    if isinstance(written, Node):
        return written
    kind = plain(written.get("kind")) if isinstance(written, Mapping) else None
    path: Path = ("nodes", name)
    suggester = Suggester()
    if not isinstance(kind, str) or kind not in KINDS:
        hint = suggester.hint(str(kind), tuple(KINDS), "kinds")
        raise SpecError(
            [Problem(document, 0, 0, path_text((*path, "kind")), f"unknown kind {shown(kind)}: {hint}")]
        )
    return section_of(KINDS[kind], written, path, document=document)


def section_of(model: type[AnyModel], written: Mapping[str, Any], path: Path, *, document: str) -> AnyModel:
    """The section that a map describes.

    Args:
        path: of the section in a document. document: the name of what gives the map, for messages.

    Raises:
        SpecError: in the words of the loader.
    """
    problems: list[Problem] = []

    def report(where: Path, message: str, *, key: bool = False) -> None:
        problems.append(Problem(document, 0, 0, path_text(where), message))

    found = read_section(model, plain(written), path, report=report, suggester=Suggester())
    if found is None:
        raise SpecError(problems)
    return found


def growth_of(written: Mapping[str, Any] | Growth, *, document: str) -> Growth:
    """The policy that a map describes, as under `growth` in a document.

    Pydantic's `model_copy(update=...)` checks nothing and takes maps as they are, so a `Growth` is read again too.

    Args:
        document: the name of what gives the map, for messages.

    Raises:
        SpecError: in the words of the loader.

    >>> growth_of({"neurons": {"per_step": 2}}, document="policy").neurons.per_step
    2
    """
    if not isinstance(written, Growth):
        return section_of(Growth, written, ("growth",), document=document)
    found = section_of(Growth, written_out(written), ("growth",), document=document)
    return written if found == written else found


def with_values(old: AnyModel, changes: Mapping[str, Any], path: Path, *, document: str) -> AnyModel:
    """A section with some of its keys changed, `None` for their defaults; maps inside it are merged.

    Args:
        path: of the section in a document. document: the name of what gives the changes, for messages.

    Raises:
        SpecError: in the words of the loader.
    """
    settings = isinstance(old, Growth | Train)  # whose defaults have versions
    written = (
        written_out(old)
        if settings
        else old.model_dump(by_alias=True, exclude_defaults=True, exclude_none=True)
    )
    if "kind" in type(old).model_fields:
        written["kind"] = getattr(old, "kind")  # noqa: B009 - not every section has one
    if isinstance(old, Growth) and "until" in (changes.get("when") or ()):
        written["when"] = without_default_schedule(written["when"])
    return section_of(type(old), _merged(written, changes), path, document=document)


def _merged(written: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(written)
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
            found[key] = _merged(found[key], value)
        else:
            found[key] = dict(value) if isinstance(value, Mapping) else value
    return found
