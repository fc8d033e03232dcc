"""Plain YAML scalars and their values, in both directions, by the core rules of YAML 1.2.

PyYAML follows YAML 1.1, where `no` is false and `1:30` is a number of minutes; editors and ruamel follow 1.2.
"""

from __future__ import annotations

import re

Scalar = None | bool | int | float | str

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_LONGEST_INT = 1000  # digits; Python itself refuses to read more than 4,300
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar.

    >>> [resolve(text) for text in ("12", "0x1f", "1e3", "true", "no", "1:30", "~")]
    [12, 31, 1000.0, True, 'no', '1:30', None]
    """
    if text in _NULL:
        return None
    if text[0] not in "+-.0123456789":
        return _BOOL.get(text, text)
    if _INT.fullmatch(text):
        if len(text) > _LONGEST_INT:
            return float("-inf" if text[0] == "-" else "inf")
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return float(f"{infinite[1]}inf")
    return float("nan") if text in _NAN else text


def represent(value: object) -> str:
    """A scalar as YAML on one line that reads back as the same value, in flow and in block style.

    >>> [represent(value) for value in ("relu", "12", "a: b", 0.003, True, None)]
    ['relu', '"12"', '"a: b"', '0.003', 'true', 'null']
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _represent_float(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and isinstance(resolve(text), str):
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _represent_float(value: float) -> str:
    text = repr(value)
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
