"""The keys at which the documents of two specs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gromo_graph.spec.defaults import written_out
from gromo_graph.spec.model import Spec
from gromo_graph.spec.text.write import written_node

Key = tuple[str, ...]
"""A place in a flat document: ("nodes", name), ("nodes", name, option), ("growth", "stop", "steps"), ("output",)."""


def differences(old: Spec, new: Spec) -> dict[Key, Any]:
    """The keys at which two specs differ, with the new value of each; None if the new spec leaves the key out."""
    found: dict[Key, Any] = {}
    for name in old.nodes:
        if name not in new.nodes:
            found["nodes", name] = None
    for name, node in new.nodes.items():
        if name not in old.nodes or old.nodes[name].kind != node.kind:
            found["nodes", name] = written_node(node)
        elif old.nodes[name] != node:
            _compare(written_node(old.nodes[name]), written_node(node), ("nodes", name), found)
    if (old.outputs, old.named_outputs) != (new.outputs, new.named_outputs):
        one, other = ("outputs", "output") if new.named_outputs else ("output", "outputs")
        if old.named_outputs != new.named_outputs:
            found[other,] = None
        found[one,] = list(new.outputs) if new.named_outputs else new.outputs[0]
    if old.name != new.name:
        found["name",] = new.name
    for section in ("data", "growth", "train"):
        before, after = _written(old, section), _written(new, section)
        _compare(before, after, (section,), found)
    return found


def _written(spec: Spec, section: str) -> dict[str, Any]:
    """The keys of a section, none if there is no such section."""
    content = getattr(spec, section)
    return {} if content is None else written_out(content)


def _compare(old: Mapping[str, Any], new: Mapping[str, Any], path: Key, found: dict[Key, Any]) -> None:
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            _compare(before, after, (*path, key), found)
        else:
            found[*path, key] = list(after) if isinstance(after, tuple) else after


def differing(specs: Sequence[Spec]) -> dict[Key, tuple[Any, ...]]:
    """The keys at which not all specs are the same, with the value that each has, be it a default.

    None stands for a key that a spec does not have. Under a key that some of them do not have at all the others are
    shown as a whole: a node, or a section such as ("growth", "stop").
    """
    first, *others = specs
    found = dict.fromkeys(key for other in others for key in differences(first, other))
    kept = [key for key in found if not any(key[:length] in found for length in range(1, len(key)))]
    return {key: tuple(_value(spec, key) for spec in specs) for key in kept}


def _value(spec: Spec, key: Key) -> Any:
    """The value of a key in a spec; None if it has none."""
    match key:
        case ("nodes", name, *rest):
            if name not in spec.nodes:
                return None
            return default_of(spec, key) if rest else written_node(spec.nodes[name])
        case ("data" | "growth" | "train" as section, *rest):
            return _inside(_written(spec, section), rest)
        case ("output",):
            return None if spec.named_outputs else spec.outputs[0]
        case ("outputs",):
            return list(spec.outputs) if spec.named_outputs else None
        case _:
            return getattr(spec, key[0])


def _inside(value: Any, path: Sequence[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return list(value) if isinstance(value, tuple) else value


def default_of(spec: Spec, key: Key) -> Any:
    """The value of a key in a spec, be it a default."""
    value: Any
    if key[0] == "nodes":
        value = spec.nodes[key[1]].model_dump(by_alias=True)
        rest = key[2:]
    elif key[0] in ("data", "growth", "train") and getattr(spec, key[0]) is not None:
        value = getattr(spec, key[0]).model_dump(by_alias=True)
        rest = key[1:]
    else:
        return None
    return _inside(value, rest)
