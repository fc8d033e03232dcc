"""The neurons of a solved problem, layer by layer, and those of several groups as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.algebra import OptimalExtension
from gromo_graph.algebra.neuron_weights import FanIn, FanOut, GroupNeurons
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers.growing import GrowingLayer
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.statistics.cross_moments import readings_of
from gromo_graph.statistics.growth_moment import spans_of
from gromo_graph.statistics.measured_group import ObservedGroup


def united(
    union: ObservedGroup, groups: Sequence[ObservedGroup], neurons: Sequence[GroupNeurons]
) -> GroupNeurons:
    """The neurons of several groups as those of all of them together, the i-th of each as one.

    Args:
        union: the modules of all groups. groups, neurons: equally many of each.
    """
    fan_in: dict[GrowingLayer, FanIn] = {}
    by_place: dict[tuple[GrowingLayer, GroupPlace], Tensor] = {}
    spreads: dict[tuple[int, int], Tensor] = {}
    index_of = {module: index for index, module in enumerate(union.members)}
    for group, found in zip(groups, neurons, strict=True):
        fan_in |= dict(zip(group.producers, found.fan_in, strict=True))
        for (consumer, places), fan_out in zip(group.reads.items(), found.fan_out, strict=True):
            by_place |= {
                (consumer, place): part for place, part in zip(places, fan_out.by_place(), strict=True)
            }
        spreads |= {(index_of[group.members[i]], at): value for (i, at), value in found.spreads.items()}
    fan_outs = []
    for consumer, places in union.reads.items():
        parts = [by_place[consumer, place].flatten(1, 2) for place in places]
        fan_outs.append(FanOut(torch.cat(parts, dim=1), repeats_of(union, consumer)))
    values = [found.values for found in neurons]
    squares = [value.square() for value in values if value is not None]
    return GroupNeurons(
        tuple(fan_in[producer] for producer in union.producers),
        tuple(fan_outs),
        torch.stack(squares).sum(dim=0).sqrt() if len(squares) == len(values) else None,
        neurons[0].solver,
        neurons[0].decomposition,
        spreads,
    )


def split(group: ObservedGroup, found: OptimalExtension, columns: Tensor) -> GroupNeurons:
    """The neurons of a solved problem, part by part.

    Args:
        group: whose problem it was.
        found: α over the kept columns, ω over the outputs of all consumers side by side.
        columns: which columns were kept; the others are 0.
    """
    spans = spans_of(group)
    size = found.singular_values.shape[0]
    alpha = found.alpha.new_zeros(size, spans[group.producers[-1]].stop)
    alpha[:, columns] = found.alpha
    outputs = [consumer.pre_activations for consumer in group.consumers]
    readings = [
        [readings_of(consumer, group, place) for place in places] for consumer, places in group.reads.items()
    ]
    omegas = found.omega.split([out * sum(each) for out, each in zip(outputs, readings, strict=True)])
    fan_in = []
    for producer in group.producers:
        weight, bias = producer.adapter.fan_in_weight(producer.layer, alpha[:, spans[producer]])
        kind = producer.weight.dtype
        fan_in.append(FanIn(weight.to(kind), None if bias is None else bias.to(kind)))
    fan_out = []
    for consumer, omega, each in zip(group.consumers, omegas, readings, strict=True):
        kernel = group.kernel_of(consumer)
        out = consumer.pre_activations
        parts = [
            consumer.adapter.fan_out_weight(consumer.layer, part.reshape(out, reading, size), kernel)
            for part, reading in zip(omega.split([out * reading for reading in each]), each, strict=True)
        ]
        weight = torch.cat(parts, dim=1).to(consumer.weight.dtype)
        fan_out.append(FanOut(weight, repeats_of(group, consumer)))
    return GroupNeurons(
        tuple(fan_in),
        tuple(fan_out),
        found.singular_values.to(group.producers[0].weight.dtype),
        found.solver,
        found.decomposition,
    )
