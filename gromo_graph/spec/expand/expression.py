"""The arithmetic inside `${...}`: names, numbers, + - * // and parentheses; never run as Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

VarValue = int | float | bool | str

MAX_LENGTH = 500
MAX_DEPTH = 32
MAX_NUMBER = 10**15

_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[^\W\d]\w*)|(?P<sign>//|[-+*()]))")


class ExpressionError(ValueError):
    """The text is no expression, or it has no value."""


def names_in(text: str) -> tuple[str, ...]:
    """The names that an expression uses, each once.

    Raises:
        ExpressionError: a character that has no place in an expression.

    >>> names_in("2 * (width + depth) // width")
    ('width', 'depth')
    """
    return tuple(dict.fromkeys(token for kind, token in _tokens(text) if kind == "name"))


def evaluate(text: str, values: Mapping[str, VarValue]) -> VarValue:
    """The value of an expression; of a single name, whatever that name stands for.

    Raises:
        ExpressionError: not an expression, arithmetic with text, a division by zero, a number beyond 10¹⁵.

    >>> evaluate("2 * (width + 1) // 3", {"width": 4})
    3
    """
    tokens = _tokens(text)
    if len(tokens) == 1 and tokens[0][0] == "name":
        return values[tokens[0][1]]
    parser = _Parser(tokens, values)
    result = parser.sum(0)
    if parser.place < len(tokens):
        raise ExpressionError(f"`{parser.peek()}` is one too many")
    return result


def _tokens(text: str) -> list[tuple[str, str]]:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"{len(text)} characters, at most {MAX_LENGTH} are read")
    tokens: list[tuple[str, str]] = []
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ExpressionError(f"`{text[place:].lstrip()[0]}` has no meaning here: {_ALLOWED}")
        tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
        place = match.end()
    if not tokens:
        raise ExpressionError(f"nothing is inside: {_ALLOWED}")
    return tokens


_ALLOWED = "names, numbers, + - * // and ( ) are known"


class _Parser:
    """Recursive descent: sum of products of signed atoms."""

    def __init__(self, tokens: list[tuple[str, str]], values: Mapping[str, VarValue]) -> None:
        self.tokens, self.values, self.place = tokens, values, 0

    def peek(self) -> str | None:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else None

    def sum(self, depth: int) -> int | float:
        value = self.product(depth)
        while self.peek() in ("+", "-"):
            sign = self.take()
            other = self.product(depth)
            value = _bounded(value + other if sign == "+" else value - other)
        return value

    def product(self, depth: int) -> int | float:
        value = self.signed(depth)
        while self.peek() in ("*", "//"):
            sign = self.take()
            other = self.signed(depth)
            if sign == "//" and other == 0:
                raise ExpressionError("a division by zero")
            value = _bounded(value * other if sign == "*" else value // other)
        return value

    def signed(self, depth: int) -> int | float:
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
        value = self.atom(depth)
        return -value if negative else value

    def atom(self, depth: int) -> int | float:
        if self.place == len(self.tokens):
            raise ExpressionError("it ends too early: a name or a number is missing")
        if depth > MAX_DEPTH:
            raise ExpressionError(f"parentheses more than {MAX_DEPTH} deep")
        kind, token = self.tokens[self.place]
        self.place += 1
        if kind == "number":
            return _bounded(float(token) if "." in token else int(token))
        if kind == "name":
            return _number(token, self.values[token])
        if token != "(":
            raise ExpressionError(f"`{token}` stands where a name or a number is expected")
        value = self.sum(depth + 1)
        if self.peek() != ")":
            raise ExpressionError("a `)` is missing")
        self.place += 1
        return value

    def take(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1][1]


def _number(name: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"`{name}` is no number, and arithmetic needs numbers")
    return _bounded(value)


def _bounded(value: int | float) -> int | float:
    if not abs(value) <= MAX_NUMBER:  # written so that NaN is refused too
        raise ExpressionError("the number is beyond 1,000,000,000,000,000")
    return value
