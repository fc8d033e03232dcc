"""Sizes of what the layers around a width group read, in numbers a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gromo_graph.graph import Graph
from gromo_graph.modules import MergeGrowingModule
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.statistics.measured_group import MeasuredGroup


def values_read(group: MeasuredGroup[LayerModule], graph: Graph) -> int:
    """The numbers that the producers of a group read, and the constant of each that has a bias."""
    return sum(_read_by(producer, graph) for producer in group.producers)


def _read_by(module: LayerModule, graph: Graph) -> int:
    (source,) = graph.sources(module.name)
    one_hot = graph.spec.nodes[module.name].tokens or 1
    return math.prod(graph.shapes[source]) * one_hot + module.adapter.has_bias(module.layer)


def columns_beside(consumer: LayerModule) -> int:
    """Columns of all layers whose delta is solved for together with that of a layer."""
    merge = consumer.next_module
    beside = merge.joint_modules if isinstance(merge, MergeGrowingModule) else ()
    layers: Sequence[LayerModule] = beside if consumer in beside else (consumer,)
    return sum(layer.adapter.columns(layer.layer) for layer in layers)
