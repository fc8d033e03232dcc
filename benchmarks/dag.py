"""The DAG that a growth step is measured on: its edges, and the same as YAML for gromo_graph.

A chain from `start` through hidden nodes `1` ... `n` to `end`; with `skip_every`, edges over one node too.
"""

from __future__ import annotations

from itertools import pairwise

INPUTS, OUTPUTS = 64, 10
"""Features of a digit, and classes."""

ACTIVATION = "selu"
"""Of the hidden nodes: what gromo gives the nodes that it adds, as long as nobody changes it."""

Edge = tuple[str, str]


def edges(hidden: int, *, skip_every: int = 0) -> list[Edge]:
    """Edges of the DAG, from and to.

    Args:
        hidden: how many nodes between `start` and `end`. skip_every: 0 for the chain alone; k for an edge
            over one node from every k-th node too, `start` first.
    """
    names = ["start", *(str(number) for number in range(1, hidden + 1)), "end"]
    found = list(pairwise(names))
    if skip_every:
        found += list(zip(names, names[2:], strict=False))[::skip_every]
    return found


def sizes(hidden: int, width: int = 16) -> dict[str, int]:
    """Features of each node, in the order of the chain."""
    inner = {str(number): width for number in range(1, hidden + 1)}
    return {"start": INPUTS, **inner, "end": OUTPUTS}


def spec_text(hidden: int, width: int = 16, *, skip_every: int = 0) -> str:
    """The DAG as YAML for gromo_graph; nodes are named n1, n2, ...

    Args:
        hidden: how many hidden nodes. width: features of each. skip_every: see `edges`.
    """
    into: dict[str, list[str]] = {}
    for source, target in edges(hidden, skip_every=skip_every):
        into.setdefault(target, []).append(source)
    lines = [f"name: dag{hidden}", "nodes:", f"  start: {{kind: input, shape: [{INPUTS}]}}"]
    for name, features in sizes(hidden, width).items():
        if name != "start":
            lines += _node(name, into[name], features)
    return "\n".join([*lines, "output: end", ""])


def _node(name: str, sources: list[str], features: int) -> list[str]:
    """Lines of one node: a linear, or where several edges meet a linear for each and their sum."""
    tail = "" if name == "end" else f", activation: {ACTIVATION}"
    told = _named(name)
    if len(sources) == 1:
        return [_linear(told, _named(sources[0]), features, tail)]
    parts = {f"{_named(source)}.to.{told}": _named(source) for source in sources}
    lines = [_linear(part, source, features, "") for part, source in parts.items()]
    return [*lines, f"  {told}: {{kind: merge, from: [{', '.join(parts)}], merge: sum{tail}}}"]


def _linear(name: str, source: str, features: int, tail: str) -> str:
    return f"  {name}: {{kind: linear, from: {source}, features: {features}{tail}}}"


def _named(name: str) -> str:
    """Of a node in YAML, where a bare number would be read as a number."""
    return f"n{name}" if name.isdigit() else name
