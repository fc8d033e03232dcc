"""The width groups of a graph as groups of modules."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from gromo_graph.errors import GraphError
from gromo_graph.graph import WidthGroup
from gromo_graph.modules.adapters import Kernel
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.link import GrowthLink
from gromo_graph.modules.walk import groups_of
from gromo_graph.network.network import GrowingNetwork


def linked_group(network: GrowingNetwork, group: WidthGroup, *, kernel: Kernel | None = None) -> LinkedGroup:
    """The modules of a width group, in the order of the document.

    Args:
        network: whose modules. group: one of its graph, which can grow.
        kernel: the kernels convolutions get where the group itself does not say.

    Raises:
        GraphError: the group is none of this network as it now stands.
    """
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
                kernel=group.grow.kernel or kernel,
                reason=None,
            )
    raise GraphError(f"`{group.target}` is no width group of this network as it now stands")


def gather_for(groups: Collection[LinkedGroup]) -> None:
    """Let the consumers of these groups gather what their growth needs, and nothing for other groups."""
    links: dict[object, list[GrowthLink]] = {}
    for group in groups:
        for consumer in group.consumers:
            links.setdefault(consumer, []).append(GrowthLink(consumer, group))
            consumer.growth_links = links[consumer]
