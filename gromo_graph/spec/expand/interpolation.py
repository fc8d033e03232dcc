"""`vars` and `${...}`: values with every expression replaced by its own. `$${` stands for the text `${`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx

from gromo_graph.errors import Problem
from gromo_graph.spec.expand.expression import ExpressionError, VarValue, evaluate, names_in
from gromo_graph.spec.order import cycle_text, cycles_in_order
from gromo_graph.spec.text.locations import MAX_PROBLEMS, UNKNOWN, Document, Path, Unknown, clipped
from gromo_graph.spec.text.scalars import represent
from gromo_graph.spec.wording import Suggester, shown

_LONGEST_TEXT = 10_000
_MAX_VARS = 10_000
_MAX_ARITHMETIC = 300_000  # characters inside `${}`; one expression written many times counts once
_MAX_TEXT = 10_000_000  # characters that come out, in all texts together
_PIECE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")


def escape(text: str) -> str:
    """Text as it has to be written so that nothing in it is expanded.

    >>> escape("${a}")
    '$${a}'
    """
    return text.replace("${", "$${")


@dataclass
class _Spent:
    """Characters of arithmetic, and of texts that came out, in all scopes of a document together."""

    characters: int = 0
    text: int = 0


@dataclass
class Expansion:
    """The names that expressions may use in one place of a document: the vars, and inside a block its params too.

    Attributes:
        values: by name; UNKNOWN if there is no value. what: the word for the names in messages.
        known: False if `vars` itself is wrong, so that unknown names are not reported again.
        problems: found on the way, in all scopes.
        results: of expressions, once the values are there.
    """

    document: Document
    suggester: Suggester
    values: dict[str, VarValue | Unknown] = field(default_factory=dict)
    what: str = "vars"
    known: bool = True
    problems: list[Problem] = field(default_factory=list)
    results: dict[str, VarValue | Unknown] = field(default_factory=dict)
    spent: _Spent = field(default_factory=_Spent)

    def with_params(self, params: Mapping[str, VarValue | Unknown]) -> Expansion:
        """The scope inside a block: its params hide vars of the same name."""
        return replace(self, values={**self.values, **params}, what="vars and params", results={})

    def report(self, path: Path, message: str, *, key: bool = False) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(self.document.problem(path, message, key=key))

    def read_vars(self, section: Any) -> None:
        if not isinstance(section, dict):
            self.known = False
            if section is not UNKNOWN:
                self.report(("vars",), f"found {shown(section)}, expected a map such as {{width: 16}}")
            return
        self.values = dict.fromkeys(section, UNKNOWN)
        length = sum(len(value) for value in section.values() if isinstance(value, str))
        if len(section) > _MAX_VARS or length > _MAX_ARITHMETIC:
            found = f"found {len(section):,} vars with {length:,} characters"
            self.report(("vars",), f"{found}, at most {_MAX_VARS:,} and {_MAX_ARITHMETIC:,}", key=True)
            return
        sound = {name: value for name, value in section.items() if self.is_var(name, value)}
        for name in self.in_order(sound):
            self.values[name] = self.expand(sound[name], ("vars", name))

    def in_order(self, sound: Mapping[str, Any]) -> list[str]:
        """The vars, each behind those that it refers to; without those in a circle, which are reported."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(sound)
        for name, value in sound.items():
            used = _names_used(value)
            if name in used:
                self.report(("vars", name), f"the var refers to itself: {cycle_text((name,))}")
            else:
                graph.add_edges_from((other, name) for other in used if other in sound)
        for cycle in cycles_in_order(graph, list(sound)):
            circle = cycle_text((cycle[0], *reversed(cycle[1:])))
            self.report(("vars", cycle[0]), f"the vars refer to each other in a circle: {circle}")
        knots = [knot for knot in nx.strongly_connected_components(graph) if len(knot) > 1]
        graph.remove_nodes_from([name for knot in knots for name in knot])
        return list(nx.topological_sort(graph))

    def is_var(self, name: str, value: Any) -> bool:
        if value is UNKNOWN:
            return False
        if not name.isidentifier():
            self.report(("vars", name), "a var is named with letters, digits and _", key=True)
            return False
        if isinstance(value, dict | list) or value is None:
            self.report(("vars", name), f"found {shown(value)}, expected a number or a text")
            return False
        return True

    def expand(self, value: Any, path: Path) -> Any:
        if isinstance(value, str):
            return self.text(value, path) if "${" in value else value
        if isinstance(value, dict):
            return {key: self.expand(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.expand(inner, (*path, place)) for place, inner in enumerate(value)]
        return value

    def text(self, text: str, path: Path) -> Any:
        whole = _PIECE.fullmatch(text)
        if whole is not None and whole[1] is not None:
            return self.value(whole[1], path)
        pieces: list[str] = []
        end = length = 0
        for match in _PIECE.finditer(text):
            value: Any = "${" if match[0] == "$${" else None
            if value is None and match[1] is None:
                self.report(path, "`${` without its `}`: close it, or write `$${` for the text itself")
                return UNKNOWN
            if value is None:
                value = self.value(match[1], path)
            if value is UNKNOWN:
                return UNKNOWN
            pieces += [text[end : match.start()], value if isinstance(value, str) else represent(value)]
            end, length = match.end(), length + len(pieces[-1])
            if length > _LONGEST_TEXT:
                self.report(path, f"the text is longer than {_LONGEST_TEXT:,} characters once expanded")
                return UNKNOWN
        before = self.spent.text
        self.spent.text += length
        if self.spent.text > _MAX_TEXT:
            if before <= _MAX_TEXT:
                self.report(path, f"more than {_MAX_TEXT:,} characters of expanded text in one document")
            return UNKNOWN
        return "".join([*pieces, text[end:]])

    def value(self, expression: str, path: Path) -> VarValue | Unknown:
        if expression in self.results:
            return self.results[expression]
        before = self.spent.characters
        self.spent.characters += len(expression)
        if self.spent.characters > _MAX_ARITHMETIC:
            if before <= _MAX_ARITHMETIC:
                self.report(path, f"more than {_MAX_ARITHMETIC:,} characters of arithmetic in one document")
            return UNKNOWN
        value = self.evaluated(expression, path)
        if value is not UNKNOWN:
            self.results[expression] = value
        return value

    def evaluated(self, expression: str, path: Path) -> VarValue | Unknown:
        shown_expression = f"${{{clipped(expression)}}}"
        try:
            names = names_in(expression)
            if not self.are_known(names, path):
                return UNKNOWN
            values = {name: value for name in names if not isinstance(value := self.values[name], Unknown)}
            return evaluate(expression, values) if len(values) == len(names) else UNKNOWN
        except ExpressionError as error:
            self.report(path, f"`{shown_expression}`: {error}")
            return UNKNOWN

    def are_known(self, names: tuple[str, ...], path: Path) -> bool:
        unknown = [name for name in names if name not in self.values]
        for name in unknown if self.known else ():
            hint = self.suggester.hint(name, list(self.values), self.what)
            self.report(path, f"unknown var `{clipped(name)}`: {hint}")
        return not unknown


def _names_used(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str):
        return ()
    names: list[str] = []
    for match in _PIECE.finditer(value):
        try:
            names += names_in(match[1]) if match[1] is not None else ()
        except ExpressionError:
            continue  # reported when the value is expanded
    return tuple(names)
