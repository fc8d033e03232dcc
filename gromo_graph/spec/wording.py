"""The words of messages: values as a YAML author knows them, and nearest names."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from gromo_graph.spec.text.locations import clipped
from gromo_graph.spec.text.scalars import represent

_SHORT_LIST = 16
_LONGEST_NAME = 80


def shown(value: Any) -> str:
    """A value as it is named in a message.

    >>> shown("4"), shown(4.0), shown([1]), shown(None)
    ('"4"', '4.0', 'a list', 'nothing')
    """
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f'"{clipped(value)}"'
    if isinstance(value, dict | Mapping):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    return clipped(represent(value), 30)


def with_article(noun: str) -> str:
    """A noun with the article that goes before it.

    >>> with_article("input"), with_article("merge")
    ('an input', 'a merge')
    """
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def listed(words: Sequence[str]) -> str:
    """Words in one row, at most sixteen of them.

    >>> listed(["a", "b"])
    'a, b'
    """
    text = ", ".join(clipped(word) for word in words[:_SHORT_LIST])
    return text if len(words) <= _SHORT_LIST else f"{text}, … ({len(words)} in all)"


@dataclass
class Suggester:
    """Finds the nearest known name, within a budget: comparing is slow and a document may hold thousands."""

    comparisons: int = 30_000
    found: dict[tuple[str, tuple[str, ...]], str | None] = field(default_factory=dict)

    def nearest(self, word: str, known: Sequence[str]) -> str | None:
        """The known name most like `word`, or None if none is near."""
        if len(known) > _SHORT_LIST:
            return self._search(word, known)
        key = word, tuple(known)  # one slip is often repeated
        if key not in self.found:
            self.found[key] = self._search(word, known)
        return self.found[key]

    def _search(self, word: str, known: Sequence[str]) -> str | None:
        if len(word) > _LONGEST_NAME or len(known) > self.comparisons:
            return None
        self.comparisons -= len(known)
        short = [name for name in known if len(name) <= _LONGEST_NAME]
        same = {folded(name): name for name in reversed(short)}.get(folded(word))
        close = [same] if same is not None else get_close_matches(word, short, n=1, cutoff=0.6)
        return close[0] if close else None

    def hint(self, word: str, known: Sequence[str], what: str) -> str:
        """Advice for an unknown name: the nearest name; and all names if the list is short and the nearest is a guess.

        >>> Suggester().hint("rleu", ["relu", "tanh"], "activations")
        'did you mean `relu`? Known activations: relu, tanh'
        """
        near = self.nearest(word, known)
        parts = [_did_you_mean(word, near)] if near is not None else []
        if near is not None and folded(near) == folded(word):
            return parts[0]
        if known and (near is None or len(known) <= _SHORT_LIST):
            parts.append(f"{'K' if parts else 'k'}nown {what}: {listed(known)}")
        return " ".join(parts) or f"there are no {what}"


def _did_you_mean(word: str, near: str) -> str:
    if _composed(word) == _composed(near):
        return (
            f"`{clipped(near)}` looks the same but is written in another Unicode normal form: copy that name"
        )
    return f"did you mean `{clipped(near)}`?"


def _composed(text: str) -> str:
    """The text in one Unicode normal form: an accent and its letter may be one character or two."""
    return unicodedata.normalize("NFC", text)


def folded(name: str) -> str:
    """A name without what writers of other languages do differently: case, underscores, normal form."""
    return _composed(name).casefold().replace("_", "").replace("-", "")
