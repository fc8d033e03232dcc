"""One section of a document against its model, with the model's verdicts in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gromo_graph.amounts import amount
from gromo_graph.spec.field_names import Model, field_of, keys_of, number_of, section_of, words_of
from gromo_graph.spec.foreign_words import advice_for_key, advice_for_map, advice_for_value
from gromo_graph.spec.text.locations import UNKNOWN, Path, clipped, path_text
from gromo_graph.spec.text.scalars import represent, resolve
from gromo_graph.spec.unknown_keys.misplaced_keys import Tree, place_in_words
from gromo_graph.spec.wording import Suggester, folded, listed, shown

AnyModel = TypeVar("AnyModel", bound=BaseModel)
Report = Callable[..., None]
"""report(path, message, key=False)"""

_ADVICE = {
    "groups": "a convolution has one group; `depthwise_conv2d` has one for each channel, or groups of `group_width`",
}
"""Advice for keys that other libraries have."""

_SWITCHES = {"on": "true", "yes": "true", "off": "false", "no": "false"}


def read_section(
    model: type[AnyModel],
    data: Any,
    path: Path,
    *,
    report: Report,
    suggester: Suggester,
    around: Tree | None = None,
) -> AnyModel | None:
    """The model of one section, or None if it has problems, which are reported.

    Args:
        around: the sections that a key may belong to which stands at the wrong level; None takes those of the model.
    """
    around = Tree(path, model) if around is None else around
    if data is UNKNOWN:
        return None
    if not isinstance(data, dict):
        report(path, not_a_map(data, keys_of(model)))
        return None
    keys = keys_of(model)
    unknown = [key for key in data if key not in keys]
    known: Mapping[str, Any] = data
    if unknown:
        known, report = _as_meant(
            model, data, unknown, path, report=report, suggester=suggester, around=around
        )
    try:
        read = model.model_validate(known)
    except ValidationError as error:
        report_refusals(error, known, model, path, report=report, suggester=suggester, around=around)
        return None
    return None if unknown else read


def _as_meant(
    model: type[BaseModel],
    data: Mapping[str, Any],
    unknown: Sequence[str],
    path: Path,
    *,
    report: Report,
    suggester: Suggester,
    around: Tree,
) -> tuple[Mapping[str, Any], Report]:
    """A section with the nearest keys in the place of unknown ones, which are reported.

    Returns:
        The section, and a report that names the keys as they are written.
    """
    meant = {
        report_key(key, model, path, value=data[key], report=report, suggester=suggester, around=around): key
        for key in unknown
    }
    known = {key: value for key, value in data.items() if key not in unknown}
    written = {near: key for near, key in meant.items() if near is not None and near not in known}
    known.update((near, _spelt(model, near, data[key]) or data[key]) for near, key in written.items())

    def report_as_written(place: Path, message: str, *, key: bool = False) -> None:
        step, *inner = place[len(path) :] or ("",)
        report((*path, written.get(str(step), step), *inner) if step else place, message, key=key)

    return known, report_as_written


def report_refusals(
    error: ValidationError,
    data: Any,
    model: Model,
    path: Path,
    *,
    report: Report,
    suggester: Suggester,
    around: Tree | None = None,
) -> None:
    """Report everything that a model refuses; `around` is that of `read_section`."""
    around = Tree(path, model) if around is None else around
    all_details = error.errors(include_url=False)
    for details in all_details:
        if not _follows_from_another(details, all_details):
            _report_details(details, data, model, path, report=report, suggester=suggester, around=around)


def wrong_values(
    model: type[BaseModel], data: Mapping[str, Any], path: Path, *, report: Report, suggester: Suggester
) -> set[str]:
    """The keys of a part of a section whose values the model refuses, each of which is reported."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        wrong = [each for each in error.errors(include_url=False) if each["loc"] and each["loc"][0] in data]
        for details in wrong:
            if not _follows_from_another(details, wrong):
                around = Tree(path, model)
                _report_details(details, data, model, path, report=report, suggester=suggester, around=around)
        return {str(details["loc"][0]) for details in wrong}
    return set()


def report_key(
    key: str,
    model: Model,
    path: Path,
    *,
    report: Report,
    suggester: Suggester,
    around: Tree,
    value: Any = UNKNOWN,
) -> str | None:
    """Report a key that the section does not have.

    Args:
        around: the sections that it may belong to.

    Returns:
        The nearest key of the section, if one is near and the key does not belong to another section.
    """
    keys = keys_of(model)
    field = model.model_fields.get(key)
    near = field.alias if field is not None and field.alias in keys else suggester.nearest(key, keys)
    if field_of(model, key) is not None:
        report((*path, key), f"`{key}` has no place here: leave it out", key=True)
        return None
    foreign = advice_for_key(key, path_text(path), keys)
    if foreign is not None:
        instead = next((each for each in keys if f"write `{each}`" == foreign), None)
        spelt = None if instead is None else _spelt(model, instead, value)
        advice = foreign if spelt is None else f"write `{instead}: {spelt}`"
        report((*path, key), f"`{clipped(key)}`: {advice}", key=True)
        return near if f"`{near}`" in foreign else instead
    misspelt = near is not None and folded(near) == folded(key)
    place = None if misspelt else place_in_words(key, path, around, value)
    if key in _ADVICE:
        report((*path, key), f"unknown key `{key}`: {_ADVICE[key]}", key=True)
    elif place is not None:
        report((*path, key), f"unknown key `{clipped(key)}`: its place is {place}", key=True)
        return None
    elif near is not None:
        report((*path, key), f"unknown key: you wrote `{clipped(key)}`, did you mean `{near}`?", key=True)
    else:
        report((*path, key), f"unknown key `{clipped(key)}`: known keys are {listed(keys)}", key=True)
    return near


def _spelt(model: Model, key: str, value: Any) -> str | None:
    """A word for the value of a key as this language spells it, if it is another spelling of it: relu for ReLU."""
    field = field_of(model, key)
    if field is None or not isinstance(value, str):
        return None
    known = _words_in(field.annotation)
    return next((word for word in known if folded(word) == folded(value) and word != value), None)


def _words_in(annotation: Any) -> Iterator[str]:
    """The words that a type allows, also as one of several forms."""
    for each in get_args(annotation):
        if isinstance(each, str):
            yield each
        else:
            yield from _words_in(each)


def not_a_map(value: Any, keys: Sequence[str]) -> str:
    """The message for a plain value in the place of a section."""
    return f"found {shown(value)}, expected a map with {listed(keys)}"


def _follows_from_another(details: ErrorDetails, others: Sequence[ErrorDetails]) -> bool:
    # The models count the right items of a list alone, and the wrong ones are reported themselves.
    place = details["loc"]
    inside = any(each["loc"][: len(place)] == place for each in others if each is not details)
    return details["input"] is UNKNOWN or (details["type"] == "too_short" and inside)


def _report_details(
    details: ErrorDetails,
    data: Any,
    model: Model,
    path: Path,
    *,
    report: Report,
    suggester: Suggester,
    around: Tree,
) -> None:
    inner, section = _place_in(data, details, model)
    full = (*path, *inner)
    kind = details["type"]
    field = field_of(section, str(inner[-1])) if inner else None
    forms = None if field is None else field.annotation
    if kind == "extra_forbidden":
        key, value = str(inner[-1]), details["input"]
        report_key(key, section, full[:-1], report=report, suggester=suggester, around=around, value=value)
    elif kind == "literal_error":
        report(full, _literal_message(details, full, suggester, number_of(forms)))
    elif kind in _NUMBERS:
        report(full, _number_message(details["input"], _NUMBERS[kind], words_of(forms)))
    elif kind == "missing":
        report(full, _missing_message(str(inner[-1]), section))
    elif kind in ("model_type", "dict_type", "model_attributes_type"):
        inner_model = section_of(section, str(inner[-1])) or section
        value = details["input"]
        advice = advice_for_map(str(full[-1]), represent(value)) if isinstance(value, str | int) else None
        told = not_a_map(value, keys_of(inner_model)) if advice is None else f"found {shown(value)}: {advice}"
        report(full, told)
    else:
        message = _MESSAGES.get(kind)
        text = message(details, full) if message else f"found {shown(details['input'])}: {_said(details)}"
        report(full, text)


def _place_in(data: Any, details: ErrorDetails, model: Model) -> tuple[Path, Model]:
    """The path of an error in the data, and the model of the section around it.

    A location may hold names of union members between the keys; those are no part of the data.
    """
    steps: list[str | int] = []
    section = model
    last = len(details["loc"]) - 1
    for place, step in enumerate(details["loc"]):
        inside = (isinstance(data, dict) and step in data) or (
            isinstance(data, list) and isinstance(step, int) and step < len(data)
        )
        if inside:
            data = data[step]
            steps.append(step)
            if place < last and isinstance(data, dict):
                section = section_of(section, str(step)) or section
        elif place == last and details["type"] == "missing":
            steps.append(step)
    return tuple(steps), section


def _literal_message(details: ErrorDetails, path: Path, suggester: Suggester, number: str | None) -> str:
    """The message for a word that is not known.

    Args:
        number: the kind of number that would do as well, or None.
    """
    value = details["input"]
    expected = str(details["ctx"]["expected"])
    known = re.findall(r"'([^']*)'", expected) or [expected]
    if not isinstance(value, str):
        return f"found {shown(value)}, expected one of {listed(known)}"
    key = next((step for step in reversed(path) if isinstance(step, str)), "value")
    foreign = advice_for_value(key, value)
    if foreign is not None:
        return f"`{clipped(value)}`: {foreign}"
    if number is not None and _is_number(resolve(value), number):
        return _number_message(value, number, known)
    hint = suggester.hint(value, known, "values")
    also = f", or {number}" if number is not None and hint.endswith(listed(known)) else ""
    return f"unknown {key} {shown(value)}: {hint}{also}"


def _missing_message(key: str, section: Model) -> str:
    field = field_of(section, key)
    text = field.description if field is not None and field.description else ""
    about = f": {text[0].lower()}{text[1:].rstrip('.')}" if text else ""
    return f"`{key}` is missing{about}"


def _said(details: ErrorDetails) -> str:
    return details["msg"].removeprefix("Value error, ")


def _number_message(value: Any, expected: str, words: Sequence[str]) -> str:
    """The message for a value that is no number of the expected kind.

    Args:
        words: that would do as well.
    """
    also = f", or {'one of ' if len(words) > 1 else ''}{listed(words)}" if words else ""
    found = f"found {shown(value)}, expected {expected}{also}"
    if isinstance(value, float) and value.is_integer():
        return f"{found}: write {int(value)}" if abs(value) < 1e15 else found
    if isinstance(value, str) and _is_number(resolve(value), expected):
        return f"{found}: write {clipped(value)} without quotes"
    return found


def _is_number(value: Any, expected: str) -> bool:
    """True for a number of the kind that is expected."""
    kinds = int if expected == _INTEGER else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool)


def _bool_message(details: ErrorDetails, path: Path) -> str:
    value = details["input"]
    switch = _SWITCHES.get(value.lower()) if isinstance(value, str) else None
    advice = f": in YAML 1.2 `{value}` is text, write {switch}" if switch else ""
    return f"found {shown(value)}, expected true or false{advice}"


def _text_message(details: ErrorDetails, path: Path) -> str:
    value = details["input"]
    advice = ": put it in quotes" if isinstance(value, bool | int | float) else ""
    return f"found {shown(value)}, expected text{advice}"


def _list_message(details: ErrorDetails, path: Path) -> str:
    value = details["input"]
    if path[-1] == "from":
        advice = ": put it in quotes" if isinstance(value, bool | int | float) else ""
        return f"found {shown(value)}, expected the name of a node or a list of names{advice}"
    advice = f": write [{clipped(str(value))}]" if isinstance(value, int | float | str) else ""
    return f"found {shown(value)}, expected a list{advice}"


def _bound_message(words: str, bound: str) -> Callable[[ErrorDetails, Path], str]:
    def message(details: ErrorDetails, path: Path) -> str:
        limit = details["ctx"][bound]
        text = f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
        return f"found {shown(details['input'])}, expected {words.format(text)}"

    return message


def _short_message(details: ErrorDetails, path: Path) -> str:
    least = details["ctx"]["min_length"]
    return f"found {amount(details['ctx']['actual_length'], 'value')}, expected at least {least}"


def _long_message(details: ErrorDetails, path: Path) -> str:
    most, actual = details["ctx"]["max_length"], details["ctx"]["actual_length"]
    if most == 0:
        return f"found {amount(actual, 'value')}, expected none: leave `{path[-1]}` out"
    return f"found {amount(actual, 'value')}, expected at most {most}"


def _empty_text_message(details: ErrorDetails, path: Path) -> str:
    return f"found {shown(details['input'])}, expected at least {details['ctx']['min_length']} character"


def _form_message(details: ErrorDetails, path: Path) -> str:
    value = details["input"]
    foreign = advice_for_value(str(path[-1]), value) if isinstance(value, str) else None
    return f"`{clipped(value)}`: {foreign}" if foreign else f"found {shown(value)}, {details['msg']}"


_INTEGER, _NUMBER = "an integer", "a number"
_NUMBERS = {"int_type": _INTEGER, "int_from_float": _INTEGER, "float_type": _NUMBER}
"""The kind of number that is expected, by the type of the refusal."""

_MESSAGES: Mapping[str, Callable[[ErrorDetails, Path], str]] = {
    "finite_number": lambda details, path: f"found {shown(details['input'])}, expected a finite number",
    "bool_type": _bool_message,
    "string_type": _text_message,
    "string_too_short": _empty_text_message,
    "tuple_type": _list_message,
    "list_type": _list_message,
    "too_short": _short_message,
    "too_long": _long_message,
    "greater_than_equal": _bound_message("{} or more", "ge"),
    "greater_than": _bound_message("more than {}", "gt"),
    "less_than_equal": _bound_message("at most {}", "le"),
    "less_than": _bound_message("less than {}", "lt"),
    "form": _form_message,
    "contradiction": lambda details, path: details["msg"],
}
