"""The order of a forward pass: the modules of a network one after another, with the values each takes and gives.

This is the only place that says it. The forward pass of tensors, that of pending growth, the generated one, the plain
module of torch and the exported source are all made from these calls (network/forward.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gromo_graph.graph.neighbours import Unit


@dataclass(frozen=True)
class Call:
    """The call of one module.

    Attributes:
        unit: the module that is called.
        inputs: keys of the values that it takes. The module of an input node takes what the network was given for it.
        output: key of the value that it gives.
        last_read: keys of the values that no later call takes and the network does not return.
    """

    unit: Unit
    inputs: tuple[str, ...]
    output: str
    last_read: tuple[str, ...]


def ordered_calls(units: Mapping[str, Unit], kept: Collection[str]) -> tuple[Call, ...]:
    """The call of each unit, every unit after those it reads.

    Args:
        units: in topological order. kept: keys of the values that are still needed at the end.
    """
    last = {source: key for key, unit in units.items() for source in unit.reads if source not in kept}
    read: dict[str, list[str]] = {key: [] for key in units}
    for source, key in last.items():
        read[key].append(source)
    return tuple(Call(unit, unit.reads or (key,), key, tuple(read[key])) for key, unit in units.items())
