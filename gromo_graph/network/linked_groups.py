"""The width groups of a graph as groups of modules."""

from __future__ import annotations

from collections.abc import Callable, Collection

from gromo_graph.errors import GraphError
from gromo_graph.graph import WidthGroup
from gromo_graph.layers import Kernel
from gromo_graph.modules.growing_module import LinkedGroup
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.network.group_modules import bound
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.statistics.growth_link import Followed, GrowthLink


def linked_group(network: GrowingNetwork, group: WidthGroup, *, kernel: Kernel | None = None) -> LinkedGroup:
    """The modules of a width group, in the order of the document; of tied groups all together.

    Args:
        network: whose modules. group: one of its graph, which can grow.
        kernel: the kernels convolutions get if the group itself does not say.

    Raises:
        GraphError: the group is none of this network as it now stands.
    """
    if group not in network.graph.groups:
        raise GraphError(f"`{group.target}` is no width group of this network as it now stands")
    return bound(group, network.linkable, kernel=group.grow.kernel or kernel)


def linked_parts(
    network: GrowingNetwork, group: WidthGroup, *, kernel: Kernel | None = None
) -> tuple[LinkedGroup, ...]:
    """The modules of each of the groups that a width group is made of, as `linked_group`."""
    kernel = group.grow.kernel or kernel
    return tuple(bound(part, network.linkable, kernel=kernel) for part in group.parts or (group,))


def _crossed(group: LinkedGroup, consumer: LayerModule) -> Followed:
    return "crossed"


def gather_for(
    groups: Collection[LinkedGroup], follows: Callable[[LinkedGroup, LayerModule], Followed] = _crossed
) -> None:
    """Let the consumers of these groups gather what their growth needs, and nothing for other groups.

    Args:
        follows: the gradient that new neurons of a group follow in front of a consumer.
    """
    links: dict[object, list[GrowthLink[LayerModule]]] = {}
    for group in groups:
        for consumer in group.consumers:
            links.setdefault(consumer, []).append(GrowthLink(consumer, group, follows(group, consumer)))
            consumer.growth_links = links[consumer]
