"""Widening a group: layers and operations with new channels, as copies that share the old parameters.

Producers get outputs behind their old ones, consumers get inputs behind the old ones of each place that they read, and
operations that have weights for each channel get new ones. Old entries keep their bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.algebra.neuron_weights import FanIn, FanOut, GroupNeurons
from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers import Kept, ParameterChange, Replaced, adapter_for, operation_adapter
from gromo_graph.layers.growing import GrowingLayer
from gromo_graph.layers.layer_group import LayerGroup
from gromo_graph.layers.operation import OperationAdapter, Passed
from gromo_graph.layers.replaced import inserted
from gromo_graph.surgery.group import Insertion, insertions, light_copy
from gromo_graph.surgery.scaled_entries import Scaled

Group = LayerGroup[GrowingLayer]


@dataclass(frozen=True)
class Step:
    """The changes of old weights in a widening, and the dependence of its parts on γ.

    Attributes:
        deltas: (out, columns) of consumers, by name: the weights move by −γ δ.
        shifts: (out,) of consumers: their biases move by −√γ times these (docs/maths.md, "Bias compensation").
        finite_scale: new channels are as large as they are at any γ, which scales their fan-out alone; else both sides
            get √γ.
    """

    deltas: Mapping[str, Tensor] = field(default_factory=dict)
    shifts: Mapping[str, Tensor] = field(default_factory=dict)
    finite_scale: bool = False


@dataclass(frozen=True)
class WidenedOperation:
    """An operation with new channels, which it may have to see before it knows their statistics.

    Attributes:
        old, new: the operation before and after. insertions: of the new channels, the last one first.
        spreads: root mean squares of the new channels at γ = 1, by the places of the insertions, if γ scales them.
    """

    old: torch.nn.Module
    new: torch.nn.Module
    insertions: Sequence[Insertion]
    spreads: Mapping[int, Tensor]

    @property
    def needs_moments(self) -> bool:
        """True if it has to know the mean and the variance of the new channels."""
        return operation_adapter(self.old).needs_moments

    @torch.no_grad()
    def write(self, gamma: float, moments: Mapping[int, tuple[Tensor, Tensor]] | None = None) -> None:
        """Give the new channels the weights that they have at a step size.

        Args:
            moments: mean and variance of each insertion, by its place; None if nothing has been measured.
        """
        if not (self.spreads or moments):
            return  # nothing depends on the step size
        values, _ = grown_operation(self.old, self.insertions, self.spreads, math.sqrt(gamma), moments or {})
        self.new.load_state_dict(values.state_dict())


@dataclass(frozen=True)
class Replacements:
    """Layers and operations that take the place of others.

    Attributes:
        modules: the new module for each old one. changes: what became of their parameters.
        entries: those that depend on γ; until they are written they are 0. operations: the same for operations.
    """

    modules: Mapping[torch.nn.Module, torch.nn.Module]
    changes: Sequence[ParameterChange]
    entries: Sequence[Scaled]
    operations: Sequence[WidenedOperation] = ()


@torch.no_grad()
def widened(group: Group, neurons: GroupNeurons, step: Step) -> Replacements:
    """The modules of a group with some new neurons; its own stay as they are.

    Args:
        neurons: in the order of the producers and the consumers of the group. step: what becomes of old weights.

    Raises:
        GrowthError: an operation cannot grow by so many channels.
    """
    size = neurons.size
    copies = {each: light_copy(each.layer) for each in (*group.producers, *group.consumers)}
    changes: list[ParameterChange] = []
    # Inputs first: then new outputs of a layer that also reads the group have zeros for its new inputs.
    for consumer, places in group.reads.items():
        for place in reversed(places):
            shape = consumer.adapter.in_extension_shape(copies[consumer], size * place.repeat)
            changes += consumer.adapter.extend_in(copies[consumer], _zeros(consumer.layer, shape), place.end)
    for producer in group.producers:
        changes += _append_outputs(copies[producer], size)
    for consumer in group.consumers:
        if consumer not in group.producers and consumer.name in {*step.deltas, *step.shifts}:
            changes += _own_bias(copies[consumer])
    entries: list[Scaled] = []
    for (consumer, places), fan_out in zip(group.reads.items(), neurons.fan_out, strict=True):
        old, new = consumer.layer, copies[consumer]
        delta, shift = step.deltas.get(consumer.name), step.shifts.get(consumer.name)
        entries += _old_entries(old, new, delta, shift, partial(with_zeros, places=places, size=size))
        entries += _new_inputs(old, new, places, fan_out, step.finite_scale)
    for producer, fan_in in zip(group.producers, neurons.fan_in, strict=True):
        reads = group.reads.get(producer, ())
        entries += _new_outputs(producer.layer, copies[producer], reads, fan_in, step.finite_scale)
    operations, of_operations = _operations(group, neurons, step.finite_scale)
    modules: dict[torch.nn.Module, torch.nn.Module] = {each.layer: new for each, new in copies.items()}
    modules |= {each.old: each.new for each in operations}
    return Replacements(modules, [*changes, *of_operations], entries, operations)


@torch.no_grad()
def with_outputs(layer: torch.nn.Module, fan_in: FanIn) -> Replacements:
    """A copy of a layer that nothing else grows with, with further outputs: √γ times some weights."""
    new = light_copy(layer)
    changes = _append_outputs(new, len(fan_in.weight))
    return Replacements({layer: new}, changes, _new_outputs(layer, new, (), fan_in, finite_scale=False))


@torch.no_grad()
def with_step(layer: torch.nn.Module, delta: Tensor) -> Replacements:
    """A copy of a layer whose weights move by −γ δ.

    Args:
        delta: (out, columns).
    """
    new: Any = light_copy(layer)
    new.weight = Parameter(new.weight.detach().clone(), requires_grad=new.weight.requires_grad)
    changes = [Kept(layer.get_parameter("weight"), new.weight, {}), *_own_bias(new)]
    return Replacements({layer: new}, changes, _old_entries(layer, new, delta, None))


def _append_outputs(layer: torch.nn.Module, size: int) -> list[ParameterChange]:
    """Append outputs whose weights are 0."""
    adapter = adapter_for(layer)
    bias = _zeros(layer, adapter.bias_extension_shape(layer, size)) if adapter.has_bias(layer) else None
    return [*adapter.extend_out(layer, _zeros(layer, adapter.out_extension_shape(layer, size)), bias)]


def with_zeros(weight: Tensor, places: Sequence[GroupPlace], size: int) -> Tensor:
    """A weight (out, in, ...) with zeros for the new inputs of some places, each with `size` new channels."""
    for place in reversed(places):
        zeros = weight.new_zeros(weight.shape[0], size * place.repeat, *weight.shape[2:])
        weight = inserted(weight, zeros, dim=1, at=place.end)
    return weight


def _zeros(layer: torch.nn.Module, shape: Sequence[int]) -> Tensor:
    return layer.get_parameter("weight").new_zeros(shape)


def _own_bias(layer: Any) -> list[ParameterChange]:
    """Give a copy a bias of its own, which can be written without a change of the old one."""
    if layer.bias is None:
        return []
    old = layer.bias
    layer.bias = Parameter(old.detach().clone(), requires_grad=old.requires_grad)
    return [Kept(old, layer.bias, {})]


def _old_entries(
    old: Any,
    new: Any,
    delta: Tensor | None,
    shift: Tensor | None,
    fitted: Callable[[Tensor], Tensor] = torch.Tensor.detach,
) -> list[Scaled]:
    """The old weights and biases of a layer, if they move: by −γ δ, the bias by −√γ times a shift too.

    Args:
        delta: (out, columns). shift: (out,).
        fitted: a weight of the old layer with zeros for the inputs that are new.
    """
    outputs = len(old.weight)
    found: list[Scaled] = []
    bias: list[tuple[float, Tensor]] = []
    if delta is not None:
        weight, of_bias = adapter_for(old).weight_and_bias(old, delta.to(old.weight))
        terms = [(0.0, new.weight.detach()[:outputs].clone()), (1.0, -fitted(weight))]
        found.append(Scaled(new.weight.detach()[:outputs], terms))
        bias += [] if of_bias is None else [(1.0, -of_bias)]
    if shift is not None:
        bias.append((0.5, -shift.reshape(old.bias.shape)))
    if bias:
        found.append(Scaled(new.bias.detach()[:outputs], [(0.0, old.bias.detach().clone()), *bias]))
    return found


def _new_inputs(
    old: Any, new: Any, places: Sequence[GroupPlace], fan_out: FanOut, finite_scale: bool
) -> list[Scaled]:
    """The weights with which a consumer reads the new channels, place after place."""
    found, before, power = [], 0, 1.0 if finite_scale else 0.5
    for place, part in zip(places, fan_out.by_place(), strict=True):
        values = part.flatten(1, 2).to(old.weight)
        at = place.end + before
        view = new.weight.detach()[: len(old.weight)].narrow(1, at, values.shape[1])
        found.append(Scaled(view, [(power, values)]))
        before += values.shape[1]
    return found


def _new_outputs(
    old: Any, new: Any, reads: Sequence[GroupPlace], fan_in: FanIn, finite_scale: bool
) -> list[Scaled]:
    """The weights with which a producer makes the new channels."""
    outputs, power = len(old.weight), 0.0 if finite_scale else 0.5
    weight = with_zeros(fan_in.weight.to(old.weight), reads, len(fan_in.weight))
    found = [Scaled(new.weight.detach()[outputs:], [(power, weight)])]
    if fan_in.bias is not None:
        found.append(Scaled(new.bias.detach()[outputs:], [(power, fan_in.bias.to(old.weight))]))
    return found


def _operations(
    group: Group, neurons: GroupNeurons, finite_scale: bool
) -> tuple[list[WidenedOperation], list[Replaced]]:
    """The operations between the layers that have something for each channel."""
    found: list[WidenedOperation] = []
    changes: list[Replaced] = []
    for index, member in enumerate(group.members):
        by_operation: dict[torch.nn.Module, list[Insertion]] = {}
        for place in reversed(group.places[member]):
            for each in insertions(member.function, member.positions, place, neurons.size):
                by_operation.setdefault(each.operation, []).append(each)
        for operation, those in by_operation.items():
            if type(operation_adapter(operation)).grow is OperationAdapter.grow:
                continue
            spread = neurons.spreads.get((index, those[0].index))
            spreads = {} if spread is None else {each.at: spread for each in those}
            new, replaced = grown_operation(operation, those, spreads, 1.0, {})
            found.append(WidenedOperation(operation, new, those, {} if finite_scale else spreads))
            changes += replaced
    return found, changes


def grown_operation(
    operation: torch.nn.Module,
    those: Sequence[Insertion],
    spreads: Mapping[int, Tensor],
    factor: float,
    moments: Mapping[int, tuple[Tensor, Tensor]],
) -> tuple[torch.nn.Module, list[Replaced]]:
    """A copy of an operation with new channels.

    Args:
        those: the insertions, the last one first. factor: s, the scaling factor of the channels.
        spreads: root mean squares of the channels at s = 1. moments: their mean and variance at s, each by the place of
            the insertion; 0 and 1 if they are not known: in evaluation mode a norm is the identity on new channels
            in any case.

    Raises:
        GrowthError: it cannot grow by so many channels.
    """
    new, adapter = light_copy(operation), operation_adapter(operation)
    like = next(operation.parameters(), torch.empty(0)).detach()
    replaced: list[Replaced] = []
    for each in those:
        mean, variance = moments.get(each.at, (like.new_zeros(each.size), like.new_ones(each.size)))
        passed = Passed(factor, mean.to(like), variance.to(like), spreads.get(each.at))
        adapter.check(new, each.size, passed)
        replaced += adapter.grow(new, each.at, each.size, passed)
    return new, replaced
