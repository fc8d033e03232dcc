"""The multiply-adds of a decision and the samples that they allow (docs/maths.md, "How many samples")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gromo_graph.graph import Graph
from gromo_graph.growth.effort.sample_size import SampleSize, samples_for
from gromo_graph.growth.pseudo_gradients import DRAWS
from gromo_graph.modules.growing_module import LinkedGroup
from gromo_graph.spec.settings import Growth

# Forward and backward of a sample, in multiply-adds of its forward pass.
PASSES = 3
# Positions of a sample that count as rows of their own: more are too much alike.
_ROWS_OF_A_SAMPLE = 8
# Fewer samples give no order of candidates: slopes are off by a third.
_LEAST = 128


@dataclass(frozen=True)
class GroupSize:
    """The sizes of a width group that the cost of a decision follows from.

    Attributes:
        columns: of all its producers. positions: that a producer gives, at most.
        read: positions at which new features are read, at most.
        fan_in, fan_out: multiply-adds of one more neuron, in the producers and in the consumers.
    """

    columns: int
    positions: int
    read: int
    fan_in: float
    fan_out: float

    @property
    def samples(self) -> int:
        """With so many samples there is a row for each column."""
        return math.ceil(self.columns / min(self.positions, _ROWS_OF_A_SAMPLE))

    @property
    def moments(self) -> float:
        """Multiply-adds of S and M_prev for a sample."""
        return self.columns * (self.columns * self.read + self.fan_out)


def group_size(group: LinkedGroup, graph: Graph) -> GroupSize:
    """The sizes of a group; a layer's multiply-adds are spread evenly over its inputs, or outputs."""
    columns = sum(producer.adapter.columns(producer.layer) for producer in group.producers)
    fan_in = sum(graph.madds(each.name) / max(1, each.out_neurons) for each in group.producers)
    fan_out, read = 0.0, 1
    for consumer, places in group.reads.items():
        repeats = [place.repeat for place in places]
        (source,) = graph.sources(consumer.name)
        read = max([read, graph.positions(source), *repeats])
        fan_out += sum(repeats) * graph.madds(consumer.name) / max(1, consumer.in_neurons)
    positions = max(graph.positions(each.name) for each in group.producers)
    return GroupSize(columns, positions, read, fan_in, fan_out)


@dataclass(frozen=True)
class DecisionCost:
    """The multiply-adds of the widening of some groups; what new paths need beyond the passes is not counted.

    Attributes:
        needed, least: samples of the statistics that are wanted, and that a decision takes at least.
        a_sample: multiply-adds for each of them, with the slopes of half a sample. solutions: for all samples together.
    """

    needed: int
    least: int
    a_sample: float
    solutions: float

    def of(self, samples: int) -> float:
        """The cost of a decision on this many samples."""
        return self.solutions + samples * self.a_sample

    def samples_within(self, allowed: float) -> int:
        """The samples that so many multiply-adds allow: none if it is fewer than a decision takes at least."""
        samples = min(float(self.needed), (allowed - self.solutions) / self.a_sample)
        return 0 if samples < self.least else int(samples)


def decision_cost(graph: Graph, groups: Sequence[LinkedGroup], policy: Growth, tried: int) -> DecisionCost:
    """The cost of deciding which of some groups widens.

    The slope of a neuron takes the multiply-adds of its forward and backward passes.

    Args:
        tried: neurons of each group whose slopes are measured.
    """
    sizes = [group_size(group, graph) for group in groups]
    given, most = policy.statistics.samples, samples_for(policy).statistics or 0
    needed = max([2 * _LEAST, *(size.samples for size in sizes)])
    needed = min(needed, most) if given is None else given
    passes = PASSES * graph.multiply_adds
    if policy.criterion == "natural":  # each draw is sent back through the network
        passes += (PASSES - 1) * DRAWS * graph.multiply_adds
    statistics = passes + sum(size.moments for size in sizes)
    slopes = passes + PASSES * tried * sum(size.fan_in + size.fan_out for size in sizes)
    solutions = sum(float(size.columns) ** 2 * min(size.columns, most) for size in sizes)
    return DecisionCost(needed, min(needed, max(_LEAST, needed // 2)), statistics + slopes / 2, solutions)


def size_of(samples: int, policy: Growth) -> SampleSize:
    """The data of a decision on so many samples, or on all that the policy asks for if it names no number."""
    usual = samples_for(policy)
    return usual if usual.total is None else SampleSize(samples, -(-samples // 2))
