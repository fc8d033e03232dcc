"""The width groups of a graph as groups of modules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from gromo_graph.errors import GraphError
from gromo_graph.graph import WidthGroup
from gromo_graph.layers import Kernel
from gromo_graph.modules.group import LinkedGroup, Slot
from gromo_graph.modules.link import GrowthLink
from gromo_graph.modules.links import Linkable
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.statistic import SharedMoment
from gromo_graph.modules.walk import groups_of
from gromo_graph.network.network import GrowingNetwork


def linked_group(network: GrowingNetwork, group: WidthGroup, *, kernel: Kernel | None = None) -> LinkedGroup:
    """The modules of a width group, in the order of the document; of tied groups all together.

    Args:
        network: whose modules. group: one of its graph, which can grow.
        kernel: the kernels convolutions get where the group itself does not say.

    Raises:
        GraphError: the group is none of this network as it now stands.
    """
    parts = linked_parts(network, group, kernel=kernel)
    return parts[0] if len(parts) == 1 else _united(network, group, parts)


def linked_parts(
    network: GrowingNetwork, group: WidthGroup, *, kernel: Kernel | None = None
) -> tuple[LinkedGroup, ...]:
    """The modules of each of the groups that a width group is made of.

    Raises:
        GraphError: as `linked_group`.
    """
    return tuple(_connected(network, part, group.grow.kernel or kernel) for part in group.parts or (group,))


def _connected(network: GrowingNetwork, group: WidthGroup, kernel: Kernel | None) -> LinkedGroup:
    producers = [network.growing(name) for name in group.producers]
    consumers = [network.growing(name) for name in group.consumers]
    for found in groups_of(consumers[0]):
        if producers[0] in found.producers:
            if set(found.producers) != set(producers) or set(found.consumers) != set(consumers):
                break
            return replace(
                found,
                producers=tuple(producers),
                reads={consumer: found.reads[consumer] for consumer in consumers},
                kernel=kernel,
                reason=None,
            )
    raise GraphError(f"`{group.target}` is no width group of this network as it now stands")


def _united(network: GrowingNetwork, group: WidthGroup, parts: Sequence[LinkedGroup]) -> LinkedGroup:
    """Groups that nothing but the author's wish holds together, as one."""
    slots: dict[Linkable, list[Slot]] = {}
    reads: dict[MeasuredModule, list[Slot]] = {network.growing(name): [] for name in group.consumers}
    for part in parts:
        for module, found in part.slots.items():
            slots.setdefault(module, []).extend(found)
        for consumer, found in part.reads.items():
            reads[consumer].extend(found)
    place = {module: index for index, module in enumerate(network.nodes.values())}
    merges = {merge: None for part in parts for merge in part.merges}
    return replace(
        parts[0],
        producers=tuple(network.growing(name) for name in group.producers),
        merges=tuple(sorted(merges, key=place.__getitem__)),
        reads={consumer: tuple(sorted(found, key=_start)) for consumer, found in reads.items()},
        slots={module: tuple(sorted(found, key=_start)) for module, found in slots.items()},
        segments={module: count for part in parts for module, count in part.segments.items()},
        jumps=tuple(dict.fromkeys(jump for part in parts for jump in part.jumps)),
        unit=group.unit,
        together=None,
        second_moment=SharedMoment("S of the growth"),
    )


def _start(slot: Slot) -> int:
    return slot.start


def gather_for(groups: Collection[LinkedGroup]) -> None:
    """Let the consumers of these groups gather what their growth needs, and nothing for other groups."""
    links: dict[object, list[GrowthLink]] = {}
    for group in groups:
        for consumer in group.consumers:
            links.setdefault(consumer, []).append(GrowthLink(consumer, group))
            consumer.growth_links = links[consumer]
