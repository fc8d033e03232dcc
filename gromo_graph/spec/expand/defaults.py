"""`defaults`: values for the keys that nodes of a kind leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gromo_graph.spec.expand.interpolation import Expansion
from gromo_graph.spec.explain import not_a_map, report_key, wrong_values
from gromo_graph.spec.field_names import keys_of
from gromo_graph.spec.kinds import KINDS
from gromo_graph.spec.text.locations import UNKNOWN, Location, clipped
from gromo_graph.spec.unknown_keys.misplaced_keys import Tree
from gromo_graph.spec.wording import shown

_OWN = ("kind", "from")
"""Keys without a default: each node gives its own."""


@dataclass(frozen=True)
class Defaults:
    """Values by kind and key, with their places in the text.

    Attributes:
        values: UNKNOWN for wrong ones. places: of the values.
    """

    values: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, Mapping[str, Location]]

    @staticmethod
    def read(section: Any, work: Expansion) -> Defaults:
        """The section with its expressions replaced; what is wrong with it is reported."""
        values: dict[str, dict[str, Any]] = {}
        places: dict[str, dict[str, Location]] = {}
        if not isinstance(section, dict):
            if section is not UNKNOWN:
                message = f"found {shown(section)}, expected a map such as {{linear: {{activation: relu}}}}"
                work.report(("defaults",), message)
            return Defaults(values, places)
        for kind, given in section.items():
            path = ("defaults", kind)
            if kind not in KINDS:
                hint = work.suggester.hint(kind, tuple(KINDS), "kinds")
                work.report(path, f"unknown kind `{clipped(kind)}`: {hint}", key=True)
            elif not isinstance(given, dict):
                if given is not UNKNOWN:
                    work.report(path, not_a_map(given, [k for k in keys_of(KINDS[kind]) if k not in _OWN]))
            else:
                known = {key: value for key, value in given.items() if _has(kind, key, work)}
                wrong = wrong_values(KINDS[kind], known, path, report=work.report, suggester=work.suggester)
                values[kind] = {key: UNKNOWN if key in wrong else value for key, value in known.items()}
                places[kind] = {key: work.document.place((*path, key)) for key in values[kind]}
        return Defaults(values, places)

    def filled(self, node: Any, place: Location) -> tuple[Any, Location]:
        """A node and its place, with the defaults of the keys that it leaves out."""
        kind = node.get("kind") if isinstance(node, dict) else None
        given = self.values.get(kind, {}) if isinstance(kind, str) else {}
        missing = [key for key in given if key not in node]
        if not missing or not isinstance(kind, str):
            return node, place
        written = place.children if isinstance(place.children, dict) else {}
        added = {key: self.places[kind][key] for key in missing}
        return {**node, **{key: given[key] for key in missing}}, replace(place, children={**written, **added})


def _has(kind: str, key: str, work: Expansion) -> bool:
    if key in _OWN:
        message = f"`{key}` has no default: every node says it for itself"
        work.report(("defaults", kind, key), message, key=True)
        return False
    if key in keys_of(KINDS[kind]):
        return True
    path, model = ("defaults", kind), KINDS[kind]
    around = Tree(path, model)
    report_key(key, model, path, report=work.report, suggester=work.suggester, around=around)
    return False
