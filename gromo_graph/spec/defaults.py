"""The defaults of `growth` and `train` by their version, so that runs of earlier releases go on as they would have.

Version 1 is that of release 0.1. It holds for a spec that counts growth in epochs (`growth.when.every` or `plateau`),
and for a run whose journal names no version. Version 2 is from before `warm_up`, version 3 from before
`when.spacing`, version 4 from before `scale: auto`, version 5 from before ticks came 20 instead of 50 training steps
apart, the warm-up was 0.3 instead of 0.1, and new neurons had to be unlike old ones (`neurons.alike`), version 6 from
before the data set a budget where a spec sets none. Version 7, the current one, is that of the fields themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from gromo_graph.errors import ArgumentError

CURRENT = 7
"""The version that new runs name."""

SPACING = 20
"""Training steps between two ticks, at the most, if nobody writes `until`: what a few neurons learn alone remains."""

EARLIER_SPACING = 50
"""The same in versions 4 and 5."""

TARGET_SCHEDULE: Mapping[str, Any] = {"begin": 0.5, "until": 0.6, "steps": 2}
"""`growth.when` for target widths, if nobody writes another (docs/deciding.md, "Growing to a given network")."""

_DEFAULT_SCHEDULES: tuple[Mapping[str, Any], ...] = (
    {"spacing": SPACING},
    {"spacing": EARLIER_SPACING},
    TARGET_SCHEDULE,
)

GROWTH_1: Mapping[str, Any] = {
    "actions": ["widen"],
    "select": "balanced",
    "trials": 4,
    "groups": None,  # one for each three that may grow
    "criterion": "tiny",
    "curvature": "gauss_newton",
    "neurons": {"per_step": None, "share": None, "reach": 1.0, "least": 0.0, "alike": 1.0},
    "edges": {"features": None, "prune": False},
    "when": {"every": 1, "until": 0.25, "watch": "validation_loss", "worth": None},
    "stop": {"parameters_per_sample": "none"},
    "beyond": 1.0,
    "freeze": None,
    "apply_delta": False,
    "ridge": 0.1,
    "statistics": {"samples": None, "error": None, "cost": None},
    "project": "auto",
    "scale": "sqrt",
    "kernel": "full",
    "allow_jump": False,
    "rescue": True,
    "shrink": 1.0,
    "optimizer_state": "matched",
    "warm_up": 0.0,
}
"""The section `growth` of version 1. A setting that is new gets the value here that changes nothing."""

TRAIN_1: Mapping[str, Any] = {
    "data": "digits",
    "loss": "cross_entropy",
    "optimizer": {"name": "adamw", "lr": 0.003, "weight_decay": 0.0, "momentum": 0.0},
    "schedule": "cosine",
    "batch_size": 64,
    "accumulate": 1,
    "epochs": 60,
    "retries": 3,
}
"""The section `train` of version 1."""

_BEFORE_7: Mapping[str, Any] = {"stop": {"parameters_per_sample": "none"}}

_BEFORE_6: Mapping[str, Any] = {
    **_BEFORE_7,
    "warm_up": 0.1,
    "neurons": {"alike": 1.0},
    "when": {"spacing": EARLIER_SPACING},
}

_TABLES: Mapping[int, Mapping[str, Mapping[str, Any]]] = {
    1: {"growth": GROWTH_1, "train": TRAIN_1},
    2: {"growth": {**_BEFORE_6, "warm_up": 0.0, "scale": "sqrt", "when": {"spacing": None}}},
    3: {"growth": {**_BEFORE_6, "scale": "sqrt", "when": {"spacing": None}}},
    4: {"growth": {**_BEFORE_6, "scale": "sqrt"}},
    5: {"growth": _BEFORE_6},
    6: {"growth": _BEFORE_7},
    CURRENT: {},
}


def with_defaults(section: str, written: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The values that a section gives, completed by the defaults of a version.

    Args:
        section: growth or train. written: its content; values may be models.
        version: of the defaults; that of the fields adds nothing.

    >>> with_defaults("train", {"epochs": 5, "optimizer": {"lr": 0.1}}, 1)["optimizer"]["name"]
    'adamw'
    """
    if version not in _TABLES:
        raise ArgumentError(
            f"defaults={version!r}: expected one of the versions {', '.join(map(str, _TABLES))}"
        )
    if section == "growth" and counts_epochs(written.get("when")):
        version = 1  # whose defaults hold for it in each version
    return _filled(written, _TABLES[version].get(section, {}))


def without_default_schedule(when: Mapping[str, Any]) -> dict[str, Any]:
    """A section `when` without the default schedule, which a run spells out, and which another `until` replaces.

    >>> without_default_schedule({"until": 0.25, "steps": 10, "spacing": 20})
    {'until': 0.25, 'steps': 10}
    >>> without_default_schedule({"begin": 0.5, "until": 0.6, "steps": 2})
    {}
    """
    found = dict(when)
    for values in _DEFAULT_SCHEDULES:
        if all(found.get(key) == value for key, value in values.items()):
            found = {key: value for key, value in found.items() if key not in values}
    return found


def counts_epochs(when: Any) -> bool:
    """True if a section `when`, written or read, counts growth in epochs."""
    keys = ("every", "plateau")
    if isinstance(when, Mapping):
        return any(when.get(key) is not None for key in keys)
    return isinstance(when, BaseModel) and any(getattr(when, key, None) is not None for key in keys)


def written_out(section: BaseModel) -> dict[str, Any]:
    """The keys of a section, defaults included; None is left out where it is the default."""
    found: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if (value is None and field.default is None) or name in getattr(section, "unused", ()):
            continue
        content = _plain(value)
        if content != {}:
            found[name] = content
    return found


def _plain(value: Any) -> Any:
    """A value of a section with the parts of it that are models written out."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return written_out(value) if isinstance(value, BaseModel) else value


def _filled(written: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    if "until" in written:  # which says that there is no `spacing`
        table = {key: value for key, value in table.items() if key != "spacing"}
    found = {**table, **written}
    for key, values in table.items():
        given = found[key]
        if isinstance(given, BaseModel) and isinstance(values, Mapping):
            given = given.model_dump(exclude_unset=True)
        if isinstance(given, Mapping) and isinstance(values, Mapping):
            found[key] = _filled(given, values)
    return found
