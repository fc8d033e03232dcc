"""The sums of a pass over the data, each product formed once for all candidates that need it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gromo_graph.growth.curvature import CurvatureStatistics
from gromo_graph.growth.effort.group_sizes import columns_beside, values_read
from gromo_graph.growth.effort.sample_size import followed
from gromo_graph.growth.observe import Curvature, Observation, Watched, at_output
from gromo_graph.growth.source_statistics import (
    SourceStatistics,
    entering_layers,
    source_statistics,
)
from gromo_graph.growth.wanted_statistics import Counter, Wanted
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.growing_module import GrowingModule, LinkedGroup
from gromo_graph.modules.joint_delta import count
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.modules.linkable import Linkable
from gromo_graph.modules.update_statistics import start_alone, update_links
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.linked_groups import gather_for
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics.cross_moments import window_of
from gromo_graph.statistics.growth_link import Followed, GrowthLink
from gromo_graph.statistics.running_mean import TensorStatistic
from gromo_graph.statistics.sample_rows import rows_can_be_kept

# Entries of a cross covariance that are worth their memory.
_MOST_CROSSED = 1 << 24

SOLVED_EXACTLY = ("tiny", "natural")
"""Criteria that solve for neurons, of which the exact slopes choose."""


def curvature_of(policy: Growth) -> Curvature | None:
    """The gradients that the curvature is made of; None if the criterion asks for none."""
    return policy.curvature if policy.criterion == "natural" else None


@dataclass(frozen=True)
class Sums:
    """The sums that a pass keeps, none of them counted yet.

    Attributes:
        measured: layers that count S and M, and what the growth through them needs.
        followed: consumers that count what the growth through them needs alone, for their own delta is not wanted.
        modules: all those, and other layers whose inputs are needed. merges: whose layers are solved together.
        sources: statistics of new paths. curvatures: of outputs. counters: those, and the candidates' own.
        targets: layers and merges at which gradients are needed.
    """

    measured: Sequence[GrowingModule]
    followed: Sequence[GrowingModule]
    modules: Sequence[GrowingModule]
    merges: Sequence[MergeGrowingModule]
    sources: Sequence[SourceStatistics]
    counters: Sequence[Counter]
    targets: Sequence[GrowingModule | MergeGrowingModule]
    curvatures: Sequence[CurvatureStatistics] = ()

    def statistics(self) -> list[TensorStatistic]:
        """Every sum that is held, each once."""
        found = [statistic for module in self.modules for statistic in (module.tensor_s, module.tensor_m)]
        for link in self.links():
            found += [link.m_prev, link.cross, link.activity, link.s_growth.statistic]
        found += [block for merge in self.merges for block in merge.joint_moments.blocks.values()]
        found += [statistic for counter in self.counters for statistic in counter.statistics()]
        return list({id(statistic): statistic for statistic in found}.values())

    def rescale_gradients(self, factor: float) -> None:
        """Multiply all that is linear in the gradients."""
        links, counters = self.links(), self.counters
        statistics = [module.tensor_m for module in self.modules] + [link.m_prev for link in links]
        statistics += [statistic for counter in counters for statistic in counter.of_gradients()]
        for statistic in {id(statistic): statistic for statistic in statistics}.values():
            statistic.rescale(factor)
        for link in links:
            link.gradients.rescale(factor)

    def links(self) -> list[GrowthLink[GrowingModule]]:
        """The consumers with the groups that they read."""
        return [link for module in self.modules for link in module.growth_links or ()]  # type: ignore[misc]

    def watched(self) -> Watched:
        """The modules that a pass has to observe."""
        layers = [unit for unit in self.targets if isinstance(unit, GrowingModule)]
        merges = [unit for unit in self.targets if isinstance(unit, MergeGrowingModule)]
        nodes = dict.fromkeys(node for counter in self.counters for node in counter.sources)
        modules = _distinct([*self.measured, *self.followed, *layers])
        others = [module for module in self.modules if module not in modules]
        outputs = list(dict.fromkeys(node for counter in self.counters for node in counter.outputs))
        return Watched(
            modules, merges, list(nodes), parameters=bool(self.measured), inputs=others, outputs=outputs
        )

    def update(self, seen: Observation) -> None:
        """Count a batch, by the functions of the modules."""
        for module in self.measured:
            module.update_computation(
                desired_activation=seen.gradients[module.name],
                weight_gradient=seen.weight_gradients.get(module.name),
                bias_gradient=seen.bias_gradients.get(module.name),
            )
        for module in self.followed:
            update_links(module, seen.gradients[module.name])
        for merge in self.merges:
            count(merge)
        for counter in self.counters:
            counter.update(seen)

    def are_precise(self, error: float) -> bool:
        """True if S, M and all of the candidates' own are known to a relative error; N is made of the same data."""
        of_modules = [s for module in self.measured for s in (module.tensor_s, module.tensor_m)]
        if not of_modules:
            of_modules = [s for link in self.links() for s in (link.m_prev, link.s_growth.statistic)]
        of_counters = [s for counter in self.counters for s in counter.statistics()]
        return all(statistic.is_precise(error) for statistic in (*of_modules, *of_counters))


def sums_of(
    network: GrowingNetwork, wanted: Wanted, policy: Growth, samples: int | None, *, alone: bool = True
) -> Sums:
    """Make a network ready for a pass: the statistics that are wanted start, empty.

    Args:
        policy: says which gradients are projected. samples: as many as will be counted; None if it is not known.
        alone: whether one process counts them all.
    """
    like = next(network.parameters())
    links = _Links(network, policy, samples, alone)
    entering = {target: entering_layers(network, target) for target in wanted.projected}
    consumers = _distinct(consumer for group in wanted.groups for consumer in group.consumers)
    growing = [each for each in consumers if policy.apply_delta or links.of_layer(each) != "raw"]
    layers = _layers_of(wanted, consumers, growing, [each for layers in entering.values() for each in layers])
    _start(layers.modules, layers.merges)
    gather_for(wanted.groups, links.of)
    sources = source_statistics(network.graph, wanted.bridges, entering, layers.measured, like)
    curvatures = _curvatures(network, wanted, policy)
    counters = [*sources, *wanted.counters, *curvatures]
    names = dict.fromkeys(target for counter in counters for target in counter.targets)
    units = [network.unit(name) for name in names]
    targets = [unit for unit in units if isinstance(unit, GrowingModule | MergeGrowingModule)]
    return Sums(
        layers.measured,
        layers.followers,
        layers.modules,
        layers.merges,
        sources,
        counters,
        targets,
        curvatures,
    )


@dataclass(frozen=True)
class _Links:
    """Says what the consumers of groups follow in a pass."""

    network: GrowingNetwork
    policy: Growth
    samples: int | None
    alone: bool

    def of_layer(self, consumer: LayerModule) -> Followed:
        """The kind that the policy asks for, for all that the consumer reads."""
        return followed(self.policy, samples=self.samples, inputs=columns_beside(consumer))

    def of(self, group: LinkedGroup, consumer: LayerModule) -> Followed:
        """The cheapest kind that serves."""
        if self._keep_rows(group):
            return "rows"
        kind = self.of_layer(consumer)
        is_crossed = kind == "projected" and _crossing_is_cheap(self.network, group, consumer)
        return "crossed" if is_crossed else kind

    def _keep_rows(self, group: LinkedGroup) -> bool:
        # Rows are kept by one process alone.
        solved = self.alone and self.policy.criterion in SOLVED_EXACTLY
        kept = solved and _few_rows(self.network, group, self.samples)
        return kept and all(self.of_layer(each) == "raw" for each in group.consumers)


@dataclass(frozen=True)
class _Layers:
    """The layers of a pass, named as in `Sums`; followers are its `followed`."""

    measured: Sequence[GrowingModule]
    followers: Sequence[GrowingModule]
    modules: Sequence[GrowingModule]
    merges: Sequence[MergeGrowingModule]


def _layers_of(
    wanted: Wanted,
    consumers: Sequence[GrowingModule],
    growing: Sequence[GrowingModule],
    projecting: Sequence[GrowingModule],
) -> _Layers:
    """The layers whose statistics, or whose inputs, are needed.

    Args:
        consumers: of the groups that may widen. growing: those whose own delta is wanted.
        projecting: layers whose delta projects the gradient at the target of a path.
    """
    merges = _joint_merges([*growing, *projecting])
    narrowed = [consumer for group in wanted.read for consumer in group.consumers] + [*wanted.inputs]
    together = [module for merge in merges for module in merge.joint_modules]
    measured = _distinct([*growing, *narrowed, *projecting, *together])
    followers = [each for each in consumers if each not in measured]
    producers = [producer for group in wanted.groups for producer in group.producers]
    seen = [layer for counter in wanted.counters for layer in counter.layers]
    return _Layers(measured, followers, _distinct([*measured, *followers, *producers, *seen]), merges)


def _curvatures(network: GrowingNetwork, wanted: Wanted, policy: Growth) -> list[CurvatureStatistics]:
    """The curvatures that are wanted, of outputs before functions and of values of nodes."""
    at_values = {at_output(node): node for node in network.spec.nodes}
    found = []
    for names in wanted.curved:
        outputs = [at_values[name] for name in names if name in at_values]
        units = [network.unit(name) for name in names if name not in at_values]
        size = sum(network.graph.features(node) for node in outputs)
        size += sum(unit.pre_activations for unit in units if isinstance(unit, Linkable))
        found.append(CurvatureStatistics(names, size, policy.curvature == "empirical", outputs))
    return found


def _few_rows(network: GrowingNetwork, group: LinkedGroup, samples: int | None) -> bool:
    """True if a group has fewer rows than inputs, and these can be kept as they are."""
    if samples is None or not rows_can_be_kept(group):
        return False
    (producer,) = group.producers
    one_position = network.graph.positions(producer.name) == 1
    once = one_position and not network.spec.nodes[producer.name].tokens
    return once and samples < producer.adapter.columns(producer.layer)


def _crossing_is_cheap(network: GrowingNetwork, group: LinkedGroup, consumer: LayerModule) -> bool:
    """True if the cross covariance C of a layer of rows costs less than a second pass over the data."""
    if group.sees_samples or window_of(consumer, group) is not None:
        return False
    entries = values_read(group, network.graph) * columns_beside(consumer)
    return entries <= min(network.graph.multiply_adds, _MOST_CROSSED)


def _start(modules: Sequence[GrowingModule], merges: Sequence[MergeGrowingModule]) -> None:
    for module in modules:
        module.delta_raw = None
        start_alone(module)
        module.growth_links = []
    for merge in merges:
        merge.joint_moments.clear()
        for module in merge.joint_modules:
            module.joint_partners = merge.joint_modules


def _joint_merges(consumers: Iterable[GrowingModule]) -> list[MergeGrowingModule]:
    """The sums that several layers enter with one gradient, some consumer among them."""
    merges = dict.fromkeys(c.next_module for c in consumers if isinstance(c.next_module, MergeGrowingModule))
    return [merge for merge in merges if len(merge.joint_modules) > 1]


def _distinct(modules: Iterable[GrowingModule]) -> list[GrowingModule]:
    return list(dict.fromkeys(modules))
