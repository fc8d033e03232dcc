"""Text for drawings: escaped, shortened, and measured without asking which fonts a machine has."""

from __future__ import annotations

import unicodedata
from html import escape

_WIDTHS = {  # ems, of the widest font of the stack (DejaVu Sans); what is not listed is 0.64
    0.33: "iIjl.,:;'|!()[]{}/\\ \u2009\u202f·",
    0.42: 'frtJ-"`*°^',
    0.55: "cksvxyz?_FL",
    0.72: "ABCDGHKNOPQRSTUVXYZwm",
    0.84: "+=<>~→←↑↓−×≤≥#&",
    1.00: "mwMW@%…‖",
}
_EMS = {character: width for width, row in _WIDTHS.items() for character in row}
_BOLD = 1.1
_DIRECTIONS_RTL = frozenset({"R", "AL", "AN"})


def clean(text: str) -> str:
    """Text that XML can carry: control characters, lone surrogates and non-characters become `�`.

    >>> clean("a\\x00b")
    'a�b'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _is_legal(character) else "\ufffd" for character in text)


def _is_legal(character: str) -> bool:
    return (
        unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"} and ord(character) & 0xFFFE != 0xFFFE
    )


def html_text(text: str) -> str:
    r"""Escaped for an HTML-like label. Backslashes too: Graphviz would read `\N` as the node's id.

    >>> html_text('a<b> & "c"')
    'a&lt;b&gt; &amp; &quot;c&quot;'
    """
    return escape(clean(text), quote=True).replace("\\", "\\\\")


def xml_text(text: str) -> str:
    """Escaped for the text or a quoted attribute of an SVG."""
    return escape(clean(text), quote=True)


def isolated(text: str) -> str:
    """A name inside a sentence: one that runs right to left is kept from turning its neighbours round."""
    if any(unicodedata.bidirectional(character) in _DIRECTIONS_RTL for character in text):
        return f"\u2068{text}\u2069"
    return text


def ems(text: str) -> float:
    """An estimate, on the wide side, of the width of `text` in units of the font size.

    >>> ems("ll") < ems("oo") < ems("mm")
    True
    """
    return sum(_em(character) for character in text)


def _em(character: str) -> float:
    if character in _EMS:
        return _EMS[character]
    if character.isascii():
        return 0.64
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0.0
    return 1.05 if unicodedata.east_asian_width(character) in "WF" else 0.72


def points(text: str, size: float, *, bold: bool = False) -> int:
    """Width in points to keep free for `text`, whatever sans-serif font the viewer has."""
    return int(ems(text) * size * (_BOLD if bold else 1.0)) + 1


def shortened(text: str, limit: float) -> str:
    """At most `limit` ems of `text`: the start and the end stay, `…` stands for what was left out.

    >>> shortened("encoder.block.12.attention.query.projection", 14)
    'encoder.blo…y.projection'
    """
    if ems(text) <= limit:
        return text
    half = (limit - _EMS["…"]) / 2
    return f"{_fitting(text, half)}…{_fitting(text[::-1], half)[::-1]}"


def _fitting(text: str, limit: float) -> str:
    used = 0.0
    for index, character in enumerate(text):
        used += _em(character)
        if used > limit:
            return text[:index]
    return text
