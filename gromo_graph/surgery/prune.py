"""Channels taken out of a group: which ones are missed least, and what is left of the modules without them.

What a consumer made of a channel can often be made of the others: the weights that come nearest to it are a least
squares problem in the second moment S of what the consumer reads. With P = S⁻¹, taking out the columns R of a channel
leaves the error tr(W_R P_RR⁻¹ W_Rᵀ) and the weights W − W_R P_RR⁻¹ P_R (Hassibi and Stork: Optimal Brain Surgeon, 1993,
for one layer). S and the weights are all it takes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers import Kept, adapter_for, operation_adapter, operations_with_repeats
from gromo_graph.layers.growing import GrowingLayer
from gromo_graph.layers.layer_group import LayerGroup
from gromo_graph.surgery.group import features_of

Group = LayerGroup[GrowingLayer]

# Ridge on S relative to its mean diagonal, so that channels that are equal, or always zero, do not make it singular: as
# small as the precision of S allows, and no smaller than an inverse in double precision can bear.
_ROUNDINGS, _LEAST_RIDGE = 16.0, 1e-11


@dataclass(frozen=True)
class Removal:
    """Channels in the order in which they are missed least.

    Attributes:
        order: the channels taken out, one after the other.
        errors: of what the consumers made of their inputs, the share that is lost once so many are out.
        changes: for each number of channels taken out, from 0 on, what that adds to [weight | bias] of each consumer,
            by its name; the weights of the channels themselves become zero.
    """

    order: tuple[int, ...]
    errors: tuple[float, ...]
    changes: tuple[Mapping[str, Tensor], ...]


@dataclass(frozen=True)
class Reader:
    """A layer that reads the group.

    Attributes:
        name: of the layer. layer: itself. s: (columns, columns), E[b bᵀ] of what it reads, the constant last.
        columns: (channels, columns of each), those that the channels of the group fill.
    """

    name: str
    layer: torch.nn.Module
    s: Tensor
    columns: Tensor


def reader_of(group: Group, consumer: GrowingLayer, s: Tensor) -> Reader:
    """A consumer of a group with its second moment S."""
    adapter, layer = consumer.adapter, consumer.layer
    taps = adapter.fan_in(layer) // adapter.in_neurons(layer)
    columns = columns_of(group.reads[consumer], torch.arange(group.width), taps)
    return Reader(consumer.name, layer, s, columns.to(s.device))


class _Fit:
    """The least squares of one consumer."""

    def __init__(self, reader: Reader) -> None:
        s = reader.s.to(torch.float64 if reader.s.device.type != "mps" else torch.float32)
        layer: Any = reader.layer
        bias = None if layer.bias is None else layer.bias.detach()
        self.before = self.weight = adapter_for(layer).matrix(layer.weight.detach(), bias).to(s)
        self.power = float(((self.weight @ s) * self.weight).sum())
        ridge = relative_ridge(reader.s.dtype) * float(s.diagonal().mean())
        self.inverse = torch.linalg.inv(s + max(ridge, torch.finfo(s.dtype).tiny) * torch.eye(len(s)).to(s))
        self.columns = reader.columns

    def errors(self) -> Tensor:
        """Share of the power lost by taking each channel out, (channels,)."""
        of_channel = self.weight[:, self.columns].transpose(0, 1)  # (channels, out, columns)
        inside = self.inverse[self.columns[:, :, None], self.columns[:, None, :]]
        solved = torch.linalg.solve(inside, of_channel.transpose(1, 2))  # (channels, columns, out)
        lost = torch.einsum("koc,kco->k", of_channel, solved)
        return lost / self.power if self.power else torch.zeros_like(lost)

    def remove(self, channel: int) -> None:
        """Take a channel out: its columns become zero, the others make up for it."""
        gone = self.columns[channel]
        inside, rows = self.inverse[gone[:, None], gone[None, :]], self.inverse[gone]
        self.weight = self.weight - self.weight[:, gone] @ torch.linalg.solve(inside, rows)
        self.inverse = self.inverse - rows.T @ torch.linalg.solve(inside, rows)
        self.weight[:, gone] = 0.0
        self.inverse[gone, gone] = 1.0  # its own block stays regular; what reads it is zero


def relative_ridge(dtype: torch.dtype) -> float:
    """The ridge on S relative to its mean diagonal, for sums that are kept in a dtype."""
    return max(_ROUNDINGS * torch.finfo(dtype).eps, _LEAST_RIDGE)


def columns_of(places: Sequence[GroupPlace], channels: Tensor, taps: int) -> Tensor:
    """The columns of the rows of a consumer that some channels of a group fill, (channels, columns of each)."""
    found = []
    for place in places:
        features = features_of(place, channels)
        found.append((features[:, :, None] * taps + torch.arange(taps)).flatten(1))
    return torch.cat(found, dim=1)


@torch.no_grad()
def least_missed(readers: Sequence[Reader], count: int, kept: Collection[int] = ()) -> Removal:
    """The `count` channels that are missed least, found one by one.

    Args:
        kept: channels that stay in any case.
    """
    fits = {reader.name: _Fit(reader) for reader in readers}
    order: list[int] = []
    errors: list[float] = []
    changes: list[Mapping[str, Tensor]] = [{n: torch.zeros_like(fit.before) for n, fit in fits.items()}]
    total = 0.0
    for _ in range(count):
        lost = torch.stack([fit.errors().cpu() for fit in fits.values()]).sum(dim=0)
        lost[[*order, *kept]] = torch.inf
        channel = int(lost.argmin())
        total += float(lost[channel])
        for fit in fits.values():
            fit.remove(channel)
        order.append(channel)
        errors.append(total)
        changes.append({name: fit.weight - fit.before for name, fit in fits.items()})
    return Removal(tuple(order), tuple(errors), tuple(changes))


@dataclass(frozen=True)
class Left:
    """The modules of a group after some channels are gone.

    Attributes:
        modules: the layer or operation that takes the place of each that changes.
        changes: what became of their parameters.
    """

    modules: Mapping[torch.nn.Module, torch.nn.Module]
    changes: tuple[Kept, ...]


@torch.no_grad()
def without(group: Group, channels: Sequence[int], changes: Mapping[str, Tensor]) -> Left:
    """Layers and operations without some channels; the modules of the group stay as they are.

    Args:
        group: whose. channels: which.
        changes: (out, columns), what to add to [weight | bias] of each consumer, the channels still in it.

    Raises:
        GrowthError: an operation cannot lose features.
    """
    gone = set(channels)
    stay = torch.tensor([channel for channel in range(group.width) if channel not in gone])
    modules: dict[torch.nn.Module, torch.nn.Module] = {}
    kept: list[Kept] = []
    for each in dict.fromkeys((*group.producers, *group.consumers)):
        outputs = stay if each in group.producers else torch.arange(each.out_neurons)
        inputs = _kept(each.in_neurons, group.reads.get(each, ()), stay).nonzero()[:, 0]
        modules[each.layer], of_layer = layer_left(each.layer, outputs, inputs, changes.get(each.name))
        kept += of_layer
    for operation, places in _operations(group, stay):
        left = operation_adapter(operation).left(operation, places)
        if left is not operation:
            modules[operation] = left
            pairs = zip(operation.parameters(), left.parameters(), strict=True)
            kept += [Kept(old, now, {0: places}) for old, now in pairs]
    return Left(modules, tuple(kept))


def layer_left(
    layer: Any, outputs: Tensor, inputs: Tensor, change: Tensor | None
) -> tuple[torch.nn.Module, list[Kept]]:
    """A layer with some of its outputs and inputs, after a change of [weight | bias]."""
    adapter = adapter_for(layer)
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    if change is not None:
        added, more = adapter.weight_and_bias(layer, change.to(weight))
        weight, bias = weight + added, bias if bias is None or more is None else bias + more
    outputs, inputs = outputs.to(weight.device), inputs.to(weight.device)
    new: Any = adapter.layer_of(layer, weight[outputs][:, inputs], None if bias is None else bias[outputs])
    kept = [Kept(layer.weight, new.weight, {0: outputs, 1: inputs})]
    if bias is not None:
        kept.append(Kept(layer.bias, new.bias, {0: outputs}))
    return new, kept


def _kept(width: int, places: Sequence[GroupPlace], stay: Tensor, positions: int = 1) -> Tensor:
    """The mask of the features that stay.

    Args:
        places: where the group stands among them. stay: its channels that do. positions: as for `insertions`.
    """
    kept = torch.ones(width, dtype=torch.bool)
    for place in places:
        kept[place.start // positions : place.end // positions] = False
        kept[features_of(place, stay, positions).flatten()] = True
    return kept


def _operations(group: Group, stay: Tensor) -> Iterator[tuple[torch.nn.Module, Tensor]]:
    """The operations of a group, each with the features that stay there."""
    for member in group.members:
        kept = _kept(member.own_width, group.places[member], stay, member.positions)
        for operation, times in operations_with_repeats(member.function, member.positions):
            kept = kept.repeat_interleave(times)
            yield operation, kept.nonzero()[:, 0]
