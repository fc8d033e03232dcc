"""The statistics that a consumer gathers for the growth of a group that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from gromo_graph.algebra import Patches, accumulation_dtype
from gromo_graph.errors import GrowthError
from gromo_graph.statistics.capture import ObservedLayer, stored_input, stored_rows
from gromo_graph.statistics.cross_moments import cross_of_batch, m_prev_of_batch
from gromo_graph.statistics.growth_moment import growth_moment_of_batch, is_input_moment
from gromo_graph.statistics.measured_group import MeasuredGroup
from gromo_graph.statistics.running_mean import SharedMoment, TensorStatistic
from gromo_graph.statistics.sample_rows import KeptRows, gradient_of_each_sample, row_of_each_sample


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


Followed = Literal["crossed", "projected", "raw", "rows"]
"""The gradient that new neurons follow: "raw" g; "projected" g − δ b, in a second pass, when δ is known; "crossed" the
same from one pass, by the cross covariance C, as the module API does; "rows" g, each row kept as it is."""

Layer = TypeVar("Layer", bound=GatheringLayer)
Layer_co = TypeVar("Layer_co", bound=GatheringLayer, covariant=True)


class GrowthLink(Generic[Layer_co]):
    """A consumer and one group it reads.

    Attributes:
        group: shared by all of its consumers.
        follows: the gradient that is counted.
        m_prev: M_prev, (columns of all producers, out · readings); of a projected gradient −N.
        cross: C (see statistics/cross_moments.py), if the gradient is crossed.
        rows, gradients: b₋₂ of the producer and g of the consumer, if rows are kept.
        activity: (features,), mean squares of what the consumer reads, if its S is not counted.
        read: how each producer reads its input, as last seen.
    """

    def __init__(
        self, consumer: GatheringLayer, group: MeasuredGroup[Layer_co], follows: Followed = "crossed"
    ) -> None:
        self.group = group
        self.follows = follows
        self.m_prev = TensorStatistic(f"M_prev of {consumer.name}")
        self.cross = TensorStatistic(f"the cross covariance of {consumer.name}")
        self.rows, self.gradients = KeptRows(), KeptRows()
        self.activity = TensorStatistic(f"the activity of what {consumer.name} reads")
        self.read: dict[ObservedLayer, Patches] = {}

    def reset(self) -> None:
        """Empty the statistics, those of the group included."""
        self.m_prev.reset()
        self.cross.reset()
        self.activity.reset()
        self.rows.reset()
        self.gradients.reset()
        self.s_growth.reset()

    @property
    def is_current(self) -> bool:
        """True if nothing was linked anew since the group was found, or the statistics hold on to it."""
        return self.m_prev.samples > 0 or self.group.is_current

    @property
    def s_growth(self) -> SharedMoment:
        """S of the producers' inputs: that of the one producer if they are the same."""
        if is_input_moment(self.group):
            return self.group.producers[0].input_moment
        return self.group.second_moment

    def update(self, consumer: ObservedLayer, gradient: Tensor, partners: Sequence[ObservedLayer]) -> None:
        """Count the stored batch; of a projected gradient only S."""
        samples = gradient.shape[0]
        producers = self.group.producers
        if self.follows == "rows":
            forward_pass = producers[0].capture.forward_pass
            self.rows.add(row_of_each_sample(producers[0]), forward_pass)
            self.gradients.add(gradient_of_each_sample(consumer, self.group, gradient), forward_pass)
            return
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
        if self.follows != "projected":
            self.count_gradient(consumer, gradient)
        if self.follows == "crossed":
            self.cross.update(cross_of_batch(consumer, self.group, partners), samples)

    def count_gradient(self, consumer: ObservedLayer, gradient: Tensor) -> None:
        """Count the stored batch in M_prev, with the gradient that the new neurons follow."""
        self.m_prev.update(m_prev_of_batch(consumer, self.group, gradient), gradient.shape[0])

    def count_activity(self, consumer: ObservedLayer) -> None:
        """Count the squares of what the consumer reads."""
        x = stored_input(consumer)
        x = x.to(accumulation_dtype(x.dtype)).movedim(consumer.adapter.feature_dim, 0).flatten(1)
        self.activity.update(torch.linalg.vector_norm(x, dim=1).square(), stored_input(consumer).shape[0])


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
