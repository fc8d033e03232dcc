"""YAML text -> Spec: read, override, include, expand, check."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gromo_graph.arguments import checked
from gromo_graph.errors import ArgumentError, Problem, SpecError
from gromo_graph.spec.check import DocumentModel, check_document, check_nodes
from gromo_graph.spec.defaults import CURRENT
from gromo_graph.spec.expand.expand_blocks import unfold
from gromo_graph.spec.expand.include import include
from gromo_graph.spec.expand.overrides import Overrides, apply_overrides
from gromo_graph.spec.model import Spec
from gromo_graph.spec.text.locations import Document
from gromo_graph.spec.text.parse_yaml import parse_document
from gromo_graph.spec.text.read_file import read_document
from gromo_graph.spec.text.write import document_of
from gromo_graph.spec.unknown_keys.meant_keys import with_meant_keys
from gromo_graph.spec.wording import Suggester


@checked
def load_spec(path: str | os.PathLike[str], *, overrides: Overrides = (), defaults: int = CURRENT) -> Spec:
    """The spec of a YAML file.

    Args:
        path: of the file; a document without a `name` goes by the name of its file.
        overrides: `["train.epochs=3"]` or `{"train.epochs": 3}`; texts are read as YAML. Names that
            contain dots are quoted: `nodes."a.b".features=4`.
        defaults: the version of the defaults of `growth` and `train`: 1 for a text that release 0.1 wrote.

    Raises:
        SpecError: with every problem of the document.
    """
    return spec_of(read_document(path), overrides=overrides, defaults=defaults)


@checked
def parse_spec(
    text: str, *, file: str = "<text>", overrides: Overrides = (), defaults: int = CURRENT
) -> Spec:
    """The spec of a YAML text.

    Args:
        text: the document.
        file: what messages call it.
        overrides, defaults: as for `load_spec`.

    Raises:
        SpecError: with every problem of the document.

    >>> text = '''
    ... name: tiny
    ... nodes:
    ...   x: {kind: input, shape: [4]}
    ...   y: {kind: linear, from: x, features: 2}
    ... output: y
    ... '''
    >>> parse_spec(text).nodes["y"].features
    2
    """
    if not isinstance(text, str):
        raise ArgumentError(f"parse_spec takes the text of a document, found {type(text).__name__}")
    return spec_of(parse_document(text, file), overrides=overrides, defaults=defaults)


def spec_of(document: Document, *, overrides: Overrides = (), defaults: int = CURRENT) -> Spec:
    """The spec of a document that was read.

    Args:
        document: as it was written. overrides, defaults: as for `load_spec`.

    Raises:
        SpecError: with every problem of the document.
    """
    return _sound(_examine(document, overrides, defaults=defaults))


def overridden(spec: Spec, overrides: Overrides) -> Spec:
    """A spec with some values replaced, as if they had been replaced in its document; no text is written or read.

    Args:
        overrides: as for `load_spec`.

    Raises:
        SpecError: with every problem of the document.
    """
    return _sound(_examine(document_of(spec, f"<{spec.name}>"), overrides))


def parse_unchecked(text: str, *, file: str = "<text>") -> Spec:
    """The spec of a text in the middle of changes: each node is sound, but they need not fit each other.

    Raises:
        SpecError: with every problem of the nodes and sections themselves.
    """
    return _sound(_examine(parse_document(text, file), (), between=False))


def aliases_of(text: str, *, file: str = "<text>") -> Mapping[str, str]:
    """The flat node that each use of a block stands for."""
    return unfold(include(parse_document(text, file)), Suggester()).aliases


@checked
def check_spec(source: Spec | str | os.PathLike[str], *, overrides: Overrides = ()) -> tuple[Problem, ...]:
    """Every problem of a document, in the order of the text; it does not raise for a wrong one.

    Args:
        source: a path; or the text itself, which is a `str` with a line break in it; or a Spec, whose nodes are
            checked against each other. A text of one line goes to `parse_spec`.
        overrides: as for `load_spec`; not for a Spec.

    >>> for problem in check_spec("nodes:\\n  x: {kind: inptu, shape: [4]}\\noutput: x"):
    ...     print(problem)
    <text>:2:13 nodes.x.kind: unknown kind "inptu": did you mean `input`?
    """
    if isinstance(source, Spec):
        return check_nodes(source)
    is_text = isinstance(source, str) and "\n" in source
    document = parse_document(str(source), "<text>") if is_text else read_document(source)
    return _examine(document, overrides)[1]


def _examine(
    document: Document, overrides: Overrides, *, between: bool = True, defaults: int = CURRENT
) -> tuple[Spec | None, tuple[Problem, ...]]:
    if document.broken:
        return None, document.problems
    suggester = Suggester()
    document = with_meant_keys(document, root=DocumentModel, suggester=suggester)
    document = apply_overrides(document, overrides, root=DocumentModel, suggester=suggester)
    document = include(document)
    return check_document(unfold(document, suggester), suggester, between=between, defaults=defaults)


def _sound(examined: tuple[Spec | None, tuple[Problem, ...]]) -> Spec:
    spec, problems = examined
    if spec is None:
        raise SpecError(problems)
    return spec
