"""The keys of a whole document, foreign and misspelt ones read as the keys that they stand for."""

from __future__ import annotations

from dataclasses import replace

from gromo_graph.errors import Problem
from gromo_graph.spec.explain import report_key
from gromo_graph.spec.field_names import Model
from gromo_graph.spec.text.locations import MAX_PROBLEMS, Document, Path
from gromo_graph.spec.unknown_keys.misplaced_keys import Tree
from gromo_graph.spec.wording import Suggester


def with_meant_keys(document: Document, *, root: Model, suggester: Suggester) -> Document:
    """The document with each unknown key reported and, if it is clear what it stands for, renamed.

    The content of `layers:` is checked as that of `nodes:`, so that the foreign key hides no other problem.

    Args:
        root: has the keys of a document.
    """
    data, places = document.data, document.root.children
    if not isinstance(data, dict) or not isinstance(places, dict):
        return document
    problems: list[Problem] = []

    def report(path: Path, message: str, *, key: bool = False) -> None:
        problems.append(document.problem(path, message, key=key))

    names = {key: key for key in data}
    for key in data:
        if key not in root.model_fields and len(problems) < MAX_PROBLEMS:
            meant = report_key(
                key, root, (), value=data[key], report=report, suggester=suggester, around=Tree((), root)
            )
            if meant is not None and meant not in names.values():
                names[key] = meant
    return replace(
        document,
        data={names[key]: value for key, value in data.items()},
        root=replace(document.root, children={names[key]: place for key, place in places.items()}),
        problems=(*document.problems, *problems),
    )
