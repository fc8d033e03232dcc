"""The statistics that a consumer gathers for the growth of a group that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from gromo_graph.algebra import Patches
from gromo_graph.errors import GrowthError
from gromo_graph.statistics.capture import ObservedLayer, stored_rows
from gromo_graph.statistics.cross_moments import cross_of_batch, m_prev_of_batch
from gromo_graph.statistics.growth_moment import growth_moment_of_batch, is_input_moment
from gromo_graph.statistics.measured_group import MeasuredGroup
from gromo_graph.statistics.running_mean import SharedMoment, TensorStatistic


class GatheringLayer(ObservedLayer, Protocol):
    """A layer with the solution and the links that its statistics gave.

    Attributes:
        tensor_m: M of the layer. delta_raw: the delta that was solved for last, (out, columns).
    """

    tensor_m: TensorStatistic
    delta_raw: Tensor | None

    @property
    def tensor_s(self) -> TensorStatistic:
        """S of the layer's input."""

    @property
    def partners(self) -> Sequence[GatheringLayer]:
        """The layers whose delta is solved for together with this one's, itself among them."""

    @property
    def growth_links(self) -> Sequence[GrowthLink[GatheringLayer]] | None:
        """The groups for which the layer gathers; None if they have not been looked for."""


Layer = TypeVar("Layer", bound=GatheringLayer)
Layer_co = TypeVar("Layer_co", bound=GatheringLayer, covariant=True)


class GrowthLink(Generic[Layer_co]):
    """A consumer and one group it reads.

    Attributes:
        group: shared by all of its consumers.
        m_prev: M_prev, (columns of all producers, out · readings).
        cross: C (see statistics/cross_moments.py).
        read: how each producer reads its input, as last seen.
    """

    def __init__(self, consumer: GatheringLayer, group: MeasuredGroup[Layer_co]) -> None:
        self.group = group
        self.m_prev = TensorStatistic(f"M_prev of {consumer.name}")
        self.cross = TensorStatistic(f"the cross covariance of {consumer.name}")
        self.read: dict[ObservedLayer, Patches] = {}

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
        """S of the producers' inputs: that of the one producer if they are the same."""
        if is_input_moment(self.group):
            return self.group.producers[0].input_moment
        return self.group.second_moment

    def update(self, consumer: ObservedLayer, gradient: Tensor, partners: Sequence[ObservedLayer]) -> None:
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


def links_of_group(group: MeasuredGroup[Layer]) -> dict[Layer, GrowthLink[GatheringLayer]]:
    """The link of every consumer of a group.

    Raises:
        GrowthError: one has gathered nothing for it.
    """
    found = {}
    for consumer in group.consumers:
        same = [other for other in consumer.growth_links or () if other.group is group]
        if not same:
            raise GrowthError(
                f"{consumer.name} reads {group.name} too and has gathered nothing: call init_computation() and "
                "update_computation() on every module that reads the group"
            )
        found[consumer] = same[0]
    return found


GatheringGroup = MeasuredGroup[GatheringLayer]
GatheringLink = GrowthLink[GatheringLayer]
