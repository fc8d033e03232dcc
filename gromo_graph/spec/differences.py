"""The keys at which the documents of two specs differ."""

from __future__ import annotations

from collections.abc import Mapping
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
    for section in ("growth", "train"):
        before, after = written_out(getattr(old, section)), written_out(getattr(new, section))
        _compare(before, after, (section,), found)
    return found


def _compare(old: Mapping[str, Any], new: Mapping[str, Any], path: Key, found: dict[Key, Any]) -> None:
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            _compare(before, after, (*path, key), found)
        else:
            found[*path, key] = list(after) if isinstance(after, tuple) else after


def default_of(spec: Spec, key: Key) -> Any:
    """The value of a key in a spec, be it a default."""
    value: Any
    if key[0] == "nodes":
        value = spec.nodes[key[1]].model_dump(by_alias=True)
        rest = key[2:]
    elif key[0] in ("growth", "train"):
        value = getattr(spec, key[0]).model_dump(by_alias=True)
        rest = key[1:]
    else:
        return None
    for step in rest:
        value = value.get(step) if isinstance(value, Mapping) else None
    return list(value) if isinstance(value, tuple) else value
