"""The groups that a consumer reads, each with the statistics that it gathers, and the ones that can grow."""

from __future__ import annotations

from collections.abc import Sequence

from gromo_graph.errors import GrowthError
from gromo_graph.modules.hand_links import groups_by_links
from gromo_graph.modules.layer_module import Group, LayerModule, previous_of
from gromo_graph.statistics.growth_link import GrowthLink


def links_of(consumer: LayerModule) -> list[GrowthLink[LayerModule]]:
    """New links to the groups that a consumer reads; groups that its fellow consumers know already are shared.

    Raises:
        GrowthError: there is nothing before it, or the widths do not fit together.
    """
    links = []
    for found in _groups_of(consumer):
        known = (
            link.group
            for other in found.consumers
            for link in other.growth_links or ()
            if link.is_current and link.group.same_as(found)
        )
        group = next(known, found)
        try:
            _ = group.linear_paths
        except GrowthError as error:  # a function that cannot be followed
            group.reason = group.reason or str(error)
        links.append(GrowthLink(consumer, group))
    return links


def _groups_of(consumer: LayerModule) -> Sequence[Group]:
    """The groups that a consumer reads: those its network knows, or those its links give."""
    given = None if consumer.network_groups is None else consumer.network_groups.read_by(consumer)
    return groups_by_links(consumer) if given is None else given


def _known_links(consumer: LayerModule) -> Sequence[GrowthLink[LayerModule]] | None:
    """The links that are known and still hold, None if they have to be looked for.

    Raises:
        GrowthError: modules have been linked anew, and the statistics belong to other groups.
    """
    links = consumer.growth_links
    if links is None or all(link.group.is_current for link in links):
        return links
    if not any(link.m_prev.samples for link in links):
        return None
    groups = _groups_of(consumer)
    for link in links:
        same = next((group for group in groups if link.group.same_as(group)), None)
        if same is None:
            raise GrowthError(
                f"the modules around {consumer.name} have been linked anew since it began to gather statistics, so "
                f"it no longer grows with {link.group.name} alone: call init_computation() on them again"
            )
        link.group.watched = same.watched
    return links


def all_links(consumer: LayerModule) -> Sequence[GrowthLink[LayerModule]]:
    """The links to the groups that a consumer reads; none if it has no neighbours that growth knows."""
    known = _known_links(consumer)
    if known is not None:
        return known
    try:
        consumer.growth_links = links_of(consumer)
    except GrowthError:
        return []
    return consumer.growth_links


def growable_links(consumer: LayerModule) -> list[GrowthLink[LayerModule]]:
    """The links whose groups can grow."""
    return [link for link in all_links(consumer) if link.group.reason is None]


def growing_links(consumer: LayerModule) -> list[GrowthLink[LayerModule]]:
    """The links to groups that can grow, at least one.

    Raises:
        GrowthError: there is none; the message says why.
    """
    previous = previous_of(consumer)
    if not consumer.allow_growing:
        raise GrowthError(f"{consumer.name} may not grow (allow_growing=False): expected a module that may")
    links = _known_links(consumer)
    if links is None:
        links = consumer.growth_links = links_of(consumer)
    found = [link for link in links if link.group.reason is None]
    if not found:
        reasons = "; ".join(dict.fromkeys(str(link.group.reason) for link in links))
        raise GrowthError(
            f"{consumer.name} cannot grow through {previous.name}: {reasons or 'no growing module gives what it reads'}"
        )
    return found


def growing_link(consumer: LayerModule, producer: LayerModule | None = None) -> GrowthLink[LayerModule]:
    """The link to the group of a producer, by default the first that can grow.

    Raises:
        GrowthError: there is none, or the producer is in none of them.
    """
    links = growing_links(consumer)
    if producer is None:
        return links[0]
    for link in links:
        if producer in link.group.producers:
            return link
    names = ", ".join(link.group.name for link in links)
    raise GrowthError(
        f"{consumer.name} reads nothing of {producer.name} that can grow: expected one of {names}"
    )
