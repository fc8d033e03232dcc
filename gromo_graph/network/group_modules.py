"""Width groups of a graph bound to the modules of its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from gromo_graph.graph import Graph, WidthGroup, obstacle
from gromo_graph.layers import Kernel
from gromo_graph.modules import GrowingModule, Linkable
from gromo_graph.modules.growing_module import LinkedGroup
from gromo_graph.modules.layer_module import LayerModule


def bound(
    group: WidthGroup,
    modules: Mapping[str, Linkable],
    *,
    reason: str | None = None,
    kernel: Kernel | None = None,
) -> LinkedGroup:
    """A width group with the modules of the units in which it stands.

    Args:
        group: which one. modules: those of its network, by the key of the unit.
        reason: why it cannot grow, or None. kernel: the kernels convolutions get for new inputs.
    """
    producers = [modules[name] for name in group.producers]
    found = LinkedGroup(
        layout=group.places,
        modules=modules,
        producers=tuple(module for module in producers if isinstance(module, GrowingModule)),
        reason=reason,
        jumps=group.jumps,
        unit=group.unit,
        kernel=kernel,
    )
    found.watch({*found.members, *found.consumers})
    return found


class GroupsOfGraph:
    """The groups that the modules of a network read, for those who drive the modules by hand.

    They hold until someone links a module anew, exchanges its function or changes its width: `read_by` then says so,
    and the links of the modules tell (modules/hand_links.py).

    Args:
        graph: of the network. modules: those that can be linked, by the key of their unit.
    """

    def __init__(self, graph: Graph, modules: Mapping[str, Linkable]) -> None:
        self._graph = graph
        self._modules = modules
        self._changes = {key: module.changes for key, module in modules.items()}

    @cached_property
    def _read(self) -> Mapping[str, list[tuple[WidthGroup, str | None]]]:
        """The groups that each layer reads, with the reasons why they cannot grow."""
        found: dict[str, list[tuple[WidthGroup, str | None]]] = {}
        for group in self._graph.groups:
            reason = obstacle(self._graph, group)
            for part in group.parts or (group,):
                for consumer in part.places.reads:
                    found.setdefault(consumer, []).append((part, reason))
        return found

    def read_by(self, consumer: LayerModule) -> Sequence[LinkedGroup] | None:
        """The groups that a layer reads, as they stand in its input; None if modules have been linked anew."""
        key = consumer.name
        read = self._read.get(key, [])
        found = [bound(group, self._modules, reason=reason) for group, reason in read]
        units = {key, *(unit for group, _ in read for unit in (*group.places.units, *group.places.reads))}
        if any(self._modules[unit].changes != self._changes[unit] for unit in units):
            return None
        return sorted(found, key=lambda group: group.layout.reads[key][0].start)
