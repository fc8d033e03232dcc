"""The statistics of all proposals in one pass: the products that they need, each formed once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gromo_graph.growth.candidates.match import Match
from gromo_graph.growth.candidates.match import modules_of as modules_of_matches
from gromo_graph.growth.candidates.new_head import head_reading
from gromo_graph.growth.candidates.paths import entering_layers
from gromo_graph.growth.candidates.proposals import NewPath
from gromo_graph.growth.observe import Loader, Loss, Watched, observe
from gromo_graph.growth.process_sums import Processes
from gromo_graph.growth.source_statistics import Reading, readings_of
from gromo_graph.growth.summing import sum_up
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.group import LinkedGroup
from gromo_graph.modules.joint import count, modules_of
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.measuring import start_alone
from gromo_graph.modules.saving import Snapshot, restored_statistic, saved_statistic
from gromo_graph.modules.statistic import SharedMoment, TensorStatistic
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.groups import gather_for
from gromo_graph.spec.kinds import Input
from gromo_graph.spec.settings import Growth


@dataclass(frozen=True)
class Gathered:
    """What was gathered, and where it is.

    Attributes:
        modules: layers that hold statistics and stored activations.
        readings: of new paths. targets: layers into which they lead. sums: merges into which they lead.
        entering: layers that enter those sums today, the targets among them.
        samples: that were counted. memory: bytes of all sums.
    """

    modules: Sequence[MeasuredModule]
    readings: Sequence[Reading]
    targets: Sequence[MeasuredModule]
    sums: Sequence[MergeGrowingModule]
    entering: Sequence[MeasuredModule]
    samples: int
    memory: int


class InputMoments:
    """S of what the network's inputs give, which no growth changes: of the same data it is counted once.

    Where few neurons read many inputs it costs more than all the rest of a plan.
    """

    def __init__(self) -> None:
        self._known: dict[str, TensorStatistic] = {}

    def forget(self) -> None:
        """The data are others now."""
        self._known.clear()

    def saved(self) -> Snapshot:
        """What is known, to go on with later."""
        parts = {key: saved_statistic(statistic) for key, statistic in self._known.items()}
        tensors = {
            f"{n}.{key}": t for n, part in enumerate(parts.values()) for key, t in part.tensors.items()
        }
        return Snapshot({key: dict(part.plain) for key, part in parts.items()}, tensors)

    def restore(self, snapshot: Snapshot) -> None:
        """Know what was known then."""
        for place, (key, plain) in enumerate(snapshot.plain.items()):
            begin = f"{place}."
            tensors = {
                name.removeprefix(begin): tensor
                for name, tensor in snapshot.tensors.items()
                if name.startswith(begin)
            }
            self._known[key] = restored_statistic(Snapshot(plain, tensors))

    def of(self, network: GrowingNetwork, readers: Sequence[MeasuredModule | Reading]) -> _Inputs:
        """Give those who read inputs what is known."""
        found: dict[str, SharedMoment] = {}
        for reader in readers:
            if isinstance(reader, Reading) and (reader.shared is not None or not reader.reusable):
                continue  # a layer counts for it, or it is no moment of the input alone
            sources = (reader.source,) if isinstance(reader, Reading) else network.graph.sources(reader.name)
            if isinstance(network.spec.nodes[sources[0]], Input):
                weight = next(network.parameters())
                form = reader.adapter.moment_key(reader.layer)
                key = repr((sources[0], form, weight.dtype, str(weight.device)))
                moment = found[key] = reader.input_moment
                if key in self._known:
                    moment.hold(self._known[key])
        return _Inputs(self._known, found)


@dataclass(frozen=True)
class _Inputs:
    """The moments of inputs in one pass."""

    known: dict[str, TensorStatistic]
    found: Mapping[str, SharedMoment]

    def knew(self, statistic: TensorStatistic) -> bool:
        """Whether it was known before this pass, so that nothing has been counted."""
        return any(statistic is each for each in self.known.values())

    def keep(self) -> None:
        """What was counted is known from now on."""
        for key, moment in self.found.items():
            if moment.statistic.samples:
                moment.hold(self.known.setdefault(key, moment.statistic))


@dataclass(frozen=True)
class Sums:
    """Which sums a pass keeps, none of them counted yet.

    Attributes:
        measured: layers that count S and M, and what the growth through them needs.
        modules: those, and the layers that would gain outputs. merges: whose layers are solved together.
        readings: of new paths. targets: layers into which they lead. sums: merges into which they lead.
        entering: layers that enter those sums today. project: whether their gradients have to be projected.
        matches: queries and keys that may grow.
    """

    measured: Sequence[MeasuredModule]
    modules: Sequence[MeasuredModule]
    merges: Sequence[MergeGrowingModule]
    readings: Sequence[Reading]
    targets: Sequence[MeasuredModule]
    sums: Sequence[MergeGrowingModule]
    entering: Sequence[MeasuredModule]
    project: bool
    matches: Sequence[Match] = ()

    def statistics(self) -> list[TensorStatistic]:
        """Every sum that is held, each once."""
        found = [statistic for module in self.modules for statistic in (module.tensor_s, module.tensor_m)]
        for module in self.modules:
            for link in module.growth_links or ():
                found += [link.m_prev, link.cross, link.s_growth.statistic]
        found += [block for merge in self.merges for block in merge.joint_blocks.values()]
        found += [statistic for reading in self.readings for statistic in reading.statistics()]
        found += [sums for match in self.matches for sums in (match.moment, match.sensitivity)]
        return list({id(statistic): statistic for statistic in found}.values())


def sums_of(
    network: GrowingNetwork,
    *,
    groups: Sequence[LinkedGroup],
    paths: Sequence[NewPath],
    narrow: Sequence[LinkedGroup],
    matches: Sequence[Match],
    policy: Growth,
) -> Sums:
    """Make ready for a pass.

    Args:
        groups: that may widen. paths: that may be added. narrow: groups that may get narrower.
        matches: queries and keys that may widen.
        policy: whether gradients have to be projected.
    """
    heads = [path for path in paths if path.place is not None]
    plain = [path.bridge for path in paths if path.place is None and path.bridge is not None]
    bridges = list({(bridge.source, bridge.target): bridge for bridge in plain}.values())
    into = list(dict.fromkeys(path.bridge.target for path in paths if path.bridge is not None))
    entering = {target: entering_layers(network, target) for target in into}
    project = policy.apply_delta or any(path.kind in ("new_node", "new_head") for path in paths)
    layers = [layer for each in entering.values() for layer in each] if project else []
    consumers = _distinct([*(c for group in (*groups, *narrow) for c in group.consumers), *layers])
    merges = _joint_merges([*(c for group in groups for c in group.consumers), *layers])
    partners = [module for merge in merges for module in modules_of(merge)]
    measured = _distinct([*consumers, *partners])
    modules = _distinct([*measured, *(p for g in groups for p in g.producers), *modules_of_matches(matches)])
    _start(modules, merges)
    gather_for(groups)
    like = next(network.parameters())
    readings = readings_of(network.graph, bridges, entering, measured, like)
    readings += [head_reading(network.graph, head, entering, like) for head in heads]
    units = [network.unit(target) for target in into]
    sums = [unit for unit in units if isinstance(unit, MergeGrowingModule)]
    sums = list(dict.fromkeys([*sums, *(match.attention for match in matches)]))
    targets = _distinct(unit for unit in units if isinstance(unit, MeasuredModule))
    return Sums(measured, modules, merges, readings, targets, sums, _distinct(layers), project, matches)


def gather(
    network: GrowingNetwork,
    loss: Loss,
    loader: Loader,
    kept: Sums,
    *,
    policy: Growth,
    known: InputMoments,
    processes: Processes,
) -> Gathered:
    """One pass over the data, by the functions of the modules.

    Args:
        kept: the sums. policy: when the pass may end early.
        known: second moments that need not be counted again.
        processes: that count together, each on its share of the data.
    """
    readings, measured, merges = kept.readings, kept.measured, kept.merges
    inputs = known.of(network, [*kept.modules, *readings])
    sources = list(dict.fromkeys(source for reading in readings for source in reading.sources))
    watched = Watched(_distinct([*kept.modules, *kept.targets]), kept.sums, sources)
    samples, error = 0, policy.statistics.error
    if error is not None:  # of a share of the data the error is so much larger
        error *= math.sqrt(processes.count)
    with processes.together():
        for seen in observe(network, loss, loader, watched, samples=samples_each(policy, processes)):
            for module in measured:
                module.update_computation(
                    desired_activation=seen.gradients[module.name],
                    weight_gradient=seen.weight_gradients.get(module.name),
                    bias_gradient=seen.bias_gradients.get(module.name),
                )
            for merge in merges:
                count(merge)
            for reading in readings:
                reading.update(seen, project=kept.project)
            for match in kept.matches:
                match.update(seen)
            samples += seen.samples
            if error is not None and _precise(measured, readings, kept.matches, error):
                break
    statistics = kept.statistics()
    sum_up([each for each in statistics if not inputs.knew(each)], processes)
    inputs.keep()
    (total,) = processes.totals(samples)
    for reading in readings:
        reading.rows = round(processes.totals(reading.rows)[0])
    return Gathered(
        watched.modules,
        readings,
        kept.targets,
        kept.sums,
        kept.entering,
        round(total),
        sum(statistic.nbytes for statistic in statistics),
    )


def samples_each(policy: Growth, processes: Processes) -> int | None:
    """How many samples each process looks at, where not all are wanted."""
    wanted = policy.statistics.samples
    return None if wanted is None else -(-wanted // processes.count)


def _start(modules: Sequence[MeasuredModule], merges: Sequence[MergeGrowingModule]) -> None:
    for module in modules:
        module.delta_raw = None
        start_alone(module)
        module.growth_links = []
    for merge in merges:
        merge.joint_blocks.clear()
        for module in modules_of(merge):
            module.joint_partners = modules_of(merge)


def _joint_merges(consumers: Iterable[MeasuredModule]) -> list[MergeGrowingModule]:
    """The sums that several layers enter with one gradient, some consumer among them."""
    merges = dict.fromkeys(c.next_module for c in consumers if isinstance(c.next_module, MergeGrowingModule))
    return [merge for merge in merges if len(modules_of(merge)) > 1]


def _precise(
    modules: Sequence[MeasuredModule],
    readings: Sequence[Reading],
    matches: Sequence[Match],
    error: float,
) -> bool:
    """Whether S and M of every layer are known to a relative error; N is made of the same data."""
    known = all(m.tensor_s.is_precise(error) and m.tensor_m.is_precise(error) for m in modules)
    known = known and all(match.moment.is_precise(error) for match in matches)
    return known and all(statistic.is_precise(error) for r in readings for statistic in r.statistics())


def _distinct(modules: Iterable[MeasuredModule]) -> list[MeasuredModule]:
    return list(dict.fromkeys(modules))


def let_go(modules: Iterable[MeasuredModule]) -> None:
    """Drop statistics and stored activations."""
    for module in modules:
        module.reset_computation()
        module.joint_partners = ()
        if isinstance(module.next_module, MergeGrowingModule):
            module.next_module.joint_blocks.clear()
