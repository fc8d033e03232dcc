"""The memory that the statistics of a plan will take, from sizes alone."""

from __future__ import annotations

from collections.abc import Hashable

from gromo_graph.algebra import accumulation_dtype
from gromo_graph.graph import Graph
from gromo_graph.growth.effort.group_sizes import values_read
from gromo_graph.growth.statistics_sums import Sums
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.statistics.cross_moments import readings_of, window_of
from gromo_graph.statistics.growth_link import GrowthLink


def expected_bytes(sums: Sums, network: GrowingNetwork, samples: int | None) -> int:
    """Bytes of all sums together: each is a product of what some layers read and of what others read or give.

    Args:
        samples: of the statistics, for rows that are kept; if it is not known, none are.
    """
    samples = samples or 0
    entries: dict[Hashable, int] = {}
    for module in sums.measured:
        columns = _columns(module)
        entries[id(module.tensor_s)] = columns**2
        entries[id(module.tensor_m)] = columns * module.adapter.pre_activations(module.layer)
    for module in sums.modules:
        for link in module.growth_links or ():
            entries |= _of_link(module, link, network.graph, samples)
    for merge in sums.merges:
        parts = [_columns(module) for module in merge.joint_modules]
        entries[id(merge)] = (sum(parts) ** 2 - sum(size**2 for size in parts)) // 2
    for counter in sums.counters:
        entries |= counter.entries()
    dtype = accumulation_dtype(next(network.parameters()).dtype)
    return sum(entries.values()) * dtype.itemsize


def _columns(module: LayerModule) -> int:
    return module.adapter.columns(module.layer)


def _of_link(
    consumer: LayerModule, link: GrowthLink[LayerModule], graph: Graph, samples: int
) -> dict[Hashable, int]:
    group = link.group
    if link.follows == "rows":
        (producer,) = group.producers
        (place, *_) = group.reads[consumer]
        gradient = consumer.adapter.pre_activations(consumer.layer) * readings_of(consumer, group, place)
        return {id(link): samples * (_columns(producer) + gradient)}
    producers = sum(_columns(producer) for producer in group.producers)
    readings = sum(readings_of(consumer, group, place) for place in group.reads[consumer])
    beside = sum(_columns(partner) for partner in consumer.partners)
    # A layer of rows is held against all that its producers read.
    if window_of(consumer, group) is None and not group.sees_samples:
        read = values_read(group, graph)
    else:
        read = producers * readings
    found: dict[Hashable, int] = {
        id(link.m_prev): producers * readings * consumer.adapter.pre_activations(consumer.layer),
        id(link.s_growth.statistic): producers**2,
    }
    if link.follows == "crossed":
        found[id(link.cross)] = read * beside
    if link.follows == "raw":
        found[id(link.activity)] = consumer.in_neurons
    return found
