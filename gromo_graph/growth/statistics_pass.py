"""One pass over the data, which counts the statistics of all candidates."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.graph import Bridge
from gromo_graph.growth.curvature import Names
from gromo_graph.growth.input_moments import InputMoments
from gromo_graph.growth.observe import Loader, Loss, observe
from gromo_graph.growth.process_sums import Processes, sum_up
from gromo_graph.growth.source_statistics import (
    SourceStatistics,
    form_of,
)
from gromo_graph.growth.statistics_sums import Sums, curvature_of
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.spec.settings import Growth


@dataclass(frozen=True)
class Gathered:
    """The sums, counted.

    Attributes:
        sums: which. samples: that were counted, in all processes. own_samples: those of this process.
        memory: bytes of all sums.
        per_weight: samples by what they count in the mean loss. Gradients are multiplied by it: so their mean over the
            samples is the gradient of the mean loss.
        unreached: layers and sums that the loss does not depend on.
    """

    sums: Sums
    samples: int
    own_samples: int
    memory: int
    per_weight: float
    unreached: frozenset[str] = frozenset()

    def curvature(self, names: Names) -> Tensor:
        """G of the outputs of some layers or sums."""
        return self.curvatures[names]

    @cached_property
    def curvatures(self) -> Mapping[Names, Tensor]:
        """G of all outputs for which it is wanted."""
        return {each.names: each.value(self.per_weight) for each in self.sums.curvatures}

    def source(self, bridge: Bridge) -> SourceStatistics:
        """The statistics of what a new path would read."""
        return self._sources[form_of(bridge), bridge.target]

    @cached_property
    def _sources(self) -> Mapping[tuple[Hashable, str], SourceStatistics]:
        return {(form_of(b), b.target): each for each in self.sums.sources for b in each.bridges}


def gather(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    sums: Sums,
    *,
    policy: Growth,
    known: InputMoments,
    processes: Processes,
) -> Gathered:
    """One pass over the data.

    Args:
        loader: the samples that are counted, but for those after the statistics are as precise as the policy asks for.
        sums: what is counted. policy: when the pass may end early.
        known: second moments that need not be counted again.
        processes: that count together, each on its share of the data.
    """
    readers = [(network.graph.sources(module.name)[0], module) for module in sums.modules]
    alone = [(each.source, each) for each in sums.sources if not each.shared]
    inputs = known.given_to(network, [*readers, *alone])
    samples, weight, unreached = 0, 0.0, list[frozenset[str]]()
    # Of a share of the data the error is so much larger.
    error = (policy.statistics.error or 0.0) * math.sqrt(processes.count)
    with processes.together():
        for seen in observe(network, loss, loader, sums.watched(), curvature=curvature_of(policy)):
            sums.update(seen)
            samples, weight = samples + seen.samples, weight + seen.weight
            unreached.append(seen.unreached)
            if error and sums.are_precise(error):
                break
    statistics = sums.statistics()
    sum_up([each for each in statistics if not inputs.knew(each)], processes)
    inputs.keep()
    total, weight = processes.totals(samples, weight)
    if not weight:
        raise GrowthError(
            "no target counts in the loss: all are ignored, or belong to classes with a weight of 0"
        )
    sums.rescale_gradients(total / weight)
    for counter in sums.counters:
        counter.share(processes)
    kept = {id(rows): rows for link in sums.links() for rows in (link.rows, link.gradients)}
    memory = sum(each.nbytes for each in statistics) + sum(rows.nbytes for rows in kept.values())
    by_none = frozenset.intersection(*unreached) if unreached else frozenset()
    return Gathered(sums, round(total), samples, memory, total / weight, by_none)


def let_go(modules: Iterable[GrowingModule]) -> None:
    """Drop statistics and stored activations."""
    for module in modules:
        module.reset_computation()
        module.joint_partners = ()
        if isinstance(module.next_module, MergeGrowingModule):
            module.next_module.joint_moments.clear()
