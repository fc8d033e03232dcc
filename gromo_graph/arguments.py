"""The arguments of public functions, checked against their annotations if a call fails with an error of Python."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter
from numbers import Real
from os import PathLike
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gromo_graph.errors import ArgumentError, GromoGraphError

Target = TypeVar("Target", bound=Callable[..., Any])

_WORDS = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
    PathLike: "a path",
    Callable: "a function",
    Mapping: "a map",
    Sequence: "a list",
    tuple: "a list",
    Iterable: "an iterable",
}
"""The types that messages do not call by their names."""


def checked(target: Target, *, elsewhere: Mapping[str, str] = MappingProxyType({})) -> Target:
    """The function, or the class with its public methods, that answers wrong arguments with an `ArgumentError`.

    Args:
        elsewhere: what to write for some arguments that it does not have.

    If a call raises an error that is none of this library's, its arguments are looked through: unknown, missing and
    surplus ones, and those of another type than the annotation says, and of a dataclass also its fields. If there are
    none, the error is raised as it is. An annotation that only type checkers can resolve allows everything.

    >>> @checked
    ... def scaled(value: float, *, by: int | None = None) -> float:
    ...     return value * (by or 1)
    >>> scaled(2.0, by="3")
    Traceback (most recent call last):
        ...
    gromo_graph.errors.ArgumentError: scaled: `by` is '3', expected an integer or None
    """
    if not isinstance(target, type):
        return _checked(target, target.__qualname__, elsewhere)  # type: ignore[return-value]
    for name, method in list(vars(target).items()):
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            owner = target.__name__
            setattr(
                target, name, _checked(method, owner if name == "__init__" else f"{owner}.{name}", elsewhere)
            )
    return target


def _checked(function: Callable[..., Any], name: str, elsewhere: Mapping[str, str]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except GromoGraphError:
            raise
        except Exception as error:
            wrong = _wrong_argument(function, args, kwargs, elsewhere)
            if wrong is None:
                raise
            raise ArgumentError(f"{name}: {wrong}") from error

    return call


def _wrong_argument(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    elsewhere: Mapping[str, str],
) -> str | None:
    """The first wrong argument of a call, in words, or None."""
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        return _why_not_bound(error, signature, kwargs, elsewhere)
    names = _Resolvable(function.__globals__)
    values = {
        name: value
        for name, value in given.items()
        if signature.parameters[name].kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    }
    wrong = _misfit(values, get_type_hints(function, localns=names))
    if wrong is None and args and is_dataclass(args[0]):
        wrong = _misfit(vars(args[0]), get_type_hints(type(args[0]), localns=names))
    return wrong


def _misfit(values: Mapping[str, Any], hints: Mapping[str, Any]) -> str | None:
    """The first value of another type than its annotation says, in words."""
    for name, value in values.items():
        expected = hints.get(name, Any)
        if not _fits(value, expected):
            return f"`{name}` is {_shown(value)}, expected {_words(expected)}"
    return None


class _Anything:
    """Stands for a type that is imported for type checkers alone, also with parameters."""

    def __class_getitem__(cls, item: Any) -> type[_Anything]:
        return cls


class _Resolvable(dict[str, Any]):
    """Names of a module; one that it does not have at run time is `_Anything`."""

    def __missing__(self, name: str) -> Any:
        builtin = self["__builtins__"]
        return (
            builtin.get(name, _Anything) if isinstance(builtin, dict) else getattr(builtin, name, _Anything)
        )


def _fits(value: Any, expected: Any) -> bool:
    """True if a value may be meant by an annotation; numbers of numpy and torch are numbers."""
    origin, inner = get_origin(expected) or expected, get_args(expected)
    if origin in (Any, _Anything) or isinstance(expected, TypeVar):
        return True
    if origin in _FITTING:
        return _FITTING[origin](value, inner)
    try:
        return isinstance(value, origin)
    except TypeError:  # a protocol that cannot be checked
        return True


def _is_one_of(value: Any, inner: Sequence[Any]) -> bool:
    return any(_fits(value, each) for each in inner)


def _is_literal(value: Any, inner: Sequence[Any]) -> bool:
    return any(value is each or (type(value) is type(each) and value == each) for each in inner)


def _is_bool(value: Any, _: Sequence[Any]) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


def _is_number(value: Any, _: Sequence[Any]) -> bool:
    """True for an index or a real number: whether it may be a fraction is for the function to say."""
    return isinstance(value, Real) or _is_index(value)


def _is_list(value: Any, inner: Sequence[Any]) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return is_list and (not inner or all(_fits(each, inner[0]) for each in value))


_FITTING: dict[Any, Callable[[Any, Sequence[Any]], bool]] = {
    **dict.fromkeys((Union, UnionType), _is_one_of),
    Literal: _is_literal,
    Callable: lambda value, _: callable(value),
    bool: _is_bool,
    **dict.fromkeys((int, float), _is_number),
    Iterable: lambda value, _: hasattr(value, "__iter__") and not isinstance(value, str | bytes),
    **dict.fromkeys((Sequence, tuple), _is_list),
}
"""For the origin of an annotation, whether a value fits it and its parameters; all others are classes."""


def _is_index(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def _words(expected: Any) -> str:
    """The types of an annotation in words.

    >>> _words(str | PathLike[str] | None), _words(Literal["a", "b"]), _words(Sequence[str])
    ('text, a path or None', "'a' or 'b'", 'a list of text')
    """
    origin, inner = get_origin(expected) or expected, get_args(expected)
    if origin in (Union, UnionType):
        parts = list(dict.fromkeys(_words(each) for each in inner))
    elif origin is Literal:
        parts = [repr(each) for each in inner]
    elif origin in (Sequence, tuple) and inner:
        parts = [f"a list of {_words(inner[0]).removeprefix('a ')}"]
    else:
        parts = [_WORDS.get(origin) or f"a {getattr(origin, '__name__', 'value of another type')}"]
    *first, last = parts
    return f"{', '.join(first)} or {last}" if first else last


def _shown(value: Any) -> str:
    """A value as messages name it: itself if it is short, else its type."""
    if value is None or isinstance(value, str | Real):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:59]}…"
    return f"a {type(value).__name__}"


def _why_not_bound(
    error: TypeError, signature: inspect.Signature, kwargs: Mapping[str, Any], elsewhere: Mapping[str, str]
) -> str:
    known = [name for name in signature.parameters if name != "self"]
    unknown = [name for name in kwargs if name not in known]
    if not unknown:
        return str(error)
    if unknown[0] in elsewhere:
        return f"there is no argument `{unknown[0]}`: write `{elsewhere[unknown[0]]}`"
    near = get_close_matches(unknown[0], known, n=1)
    advice = f", did you mean `{near[0]}`?" if near else f": known are {', '.join(known)}"
    return f"there is no argument `{unknown[0]}`{advice}"
