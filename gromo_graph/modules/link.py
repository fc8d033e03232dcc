"""What a consumer gathers for the growth of a group that it reads, and which of its groups grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from gromo_graph.algebra import Patches
from gromo_graph.errors import GrowthError
from gromo_graph.modules.capture import stored_rows
from gromo_graph.modules.crossing import cross_of_batch, m_prev_of_batch
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.growth_moment import growth_moment_of_batch, is_input_moment
from gromo_graph.modules.hand_links import groups_by_links
from gromo_graph.modules.links import previous_of
from gromo_graph.modules.statistic import SharedMoment, TensorStatistic

if TYPE_CHECKING:
    from gromo_graph.modules.measured import MeasuredModule


class GrowthLink:
    """A consumer and one group it reads.

    Attributes:
        group: shared by all of its consumers.
        m_prev: M_prev, (columns of all producers, out · readings).
        cross: C (see `crossing.cross_of_batch`).
        read: how each producer reads its input, as last seen.
    """

    def __init__(self, consumer: MeasuredModule, group: LinkedGroup) -> None:
        self.group = group
        self.m_prev = TensorStatistic(f"M_prev of {consumer.name}")
        self.cross = TensorStatistic(f"the cross covariance of {consumer.name}")
        self.read: dict[MeasuredModule, Patches] = {}

    def reset(self) -> None:
        """Empty the statistics, those of the group included."""
        self.m_prev.reset()
        self.cross.reset()
        self.s_growth.reset()

    @property
    def is_current(self) -> bool:
        """Whether nothing was linked anew since the group was found, or the statistics hold on to it."""
        return self.m_prev.samples > 0 or self.group.is_current

    @property
    def s_growth(self) -> SharedMoment:
        """S of the producers' inputs: that of the one producer where they are the same."""
        if is_input_moment(self.group):
            return self.group.producers[0].input_moment
        return self.group.second_moment

    def update(self, consumer: MeasuredModule, gradient: Tensor, partners: Sequence[MeasuredModule]) -> None:
        """Count the stored batch."""
        samples = gradient.shape[0]
        producers = self.group.producers
        if self.group.together is None or len(self.read) < len(
            producers
        ):  # plain rows are read the same way each time
            for producer in producers:
                rows = stored_rows(producer)
                self.read[producer] = rows.of(rows.image[:0])
        if is_input_moment(self.group):
            producers[0].update_input_moment()
        else:
            forward_pass = producers[0].capture.forward_pass
            self.group.second_moment.update_once(
                forward_pass, lambda: (growth_moment_of_batch(self.group), samples)
            )
        self.m_prev.update(m_prev_of_batch(consumer, self.group, gradient), samples)
        self.cross.update(cross_of_batch(consumer, self.group, partners), samples)


def links_of(consumer: MeasuredModule) -> list[GrowthLink]:
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
            _ = group.ways
        except GrowthError as error:  # a function that cannot be followed
            group.reason = group.reason or str(error)
        links.append(GrowthLink(consumer, group))
    return links


def _groups_of(consumer: MeasuredModule) -> list[LinkedGroup]:
    """The groups that a consumer reads: those its network knows, or those its links give."""
    given = None if consumer.network_groups is None else consumer.network_groups.read_by(consumer)
    return groups_by_links(consumer) if given is None else given


def _known_links(consumer: MeasuredModule) -> list[GrowthLink] | None:
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


def all_links(consumer: MeasuredModule) -> list[GrowthLink]:
    """The links to the groups that a consumer reads; none if it has no neighbours that growth knows."""
    known = _known_links(consumer)
    if known is not None:
        return known
    try:
        consumer.growth_links = links_of(consumer)
    except GrowthError:
        return []
    return consumer.growth_links


def growable_links(consumer: MeasuredModule) -> list[GrowthLink]:
    """Those of them whose groups can grow."""
    return [link for link in all_links(consumer) if link.group.reason is None]


def growing_links(consumer: MeasuredModule) -> list[GrowthLink]:
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


def growing_link(consumer: MeasuredModule, producer: MeasuredModule | None = None) -> GrowthLink:
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
