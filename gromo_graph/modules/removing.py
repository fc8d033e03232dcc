"""Channels taken out of a group: which ones are missed least, and what is left of the modules without them.

What a consumer made of a channel can often be made of the others: the weights that come nearest to it are a least
squares problem in the second moment S of what the consumer reads. With P = S⁻¹, taking out the columns R of a channel
leaves the error tr(W_R P_RR⁻¹ W_Rᵀ) and the weights W − W_R P_RR⁻¹ P_R (Hassibi and Stork: Optimal Brain Surgeon, 1993,
for one layer). S and the weights are all it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.graph.width_flow import GroupPlace
from gromo_graph.layers import Kept, operation_adapter, operations_with_repeats
from gromo_graph.modules.layer_module import Group, LayerModule

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


class _Fit:
    """The least squares of one consumer."""

    def __init__(self, group: Group, consumer: LayerModule) -> None:
        counted = consumer.tensor_s()
        s = counted.to(torch.float64 if consumer.device.type != "mps" else torch.float32)
        adapter, layer = consumer.adapter, consumer.layer
        bias = None if consumer.bias is None else consumer.bias.detach()
        self.before = self.weight = adapter.matrix(consumer.weight.detach(), bias).to(s)
        self.power = float(((self.weight @ s) * self.weight).sum())
        ridge = relative_ridge(counted.dtype) * float(s.diagonal().mean())
        self.inverse = torch.linalg.inv(s + max(ridge, torch.finfo(s.dtype).tiny) * torch.eye(len(s)).to(s))
        taps = adapter.fan_in(layer) // consumer.in_neurons
        self.columns = columns_of(group, consumer, torch.arange(group.width), taps).to(s.device)

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
    """What is added to the diagonal of S, relative to its mean, for sums that are kept in a dtype."""
    return max(_ROUNDINGS * torch.finfo(dtype).eps, _LEAST_RIDGE)


def columns_of(group: Group, consumer: LayerModule, channels: Tensor, taps: int) -> Tensor:
    """The columns of the rows of a consumer that some channels of a group fill, (channels, columns of each)."""
    found = []
    for place in group.reads[consumer]:
        features = place.start + channels[:, None] * place.repeat + torch.arange(place.repeat)
        found.append((features[:, :, None] * taps + torch.arange(taps)).flatten(1))
    return torch.cat(found, dim=1)


@torch.no_grad()
def least_missed(group: Group, count: int) -> Removal:
    """The `count` channels that are missed least, found one by one.

    Raises:
        GrowthError: a consumer has no statistics.
    """
    fits = {consumer: _Fit(group, consumer) for consumer in group.consumers}
    order: list[int] = []
    errors: list[float] = []
    changes: list[Mapping[str, Tensor]] = [{c.name: torch.zeros_like(fit.before) for c, fit in fits.items()}]
    total = 0.0
    for _ in range(count):
        lost = torch.stack([fit.errors().cpu() for fit in fits.values()]).sum(dim=0)
        lost[order] = torch.inf
        channel = int(lost.argmin())
        total += float(lost[channel])
        for fit in fits.values():
            fit.remove(channel)
        order.append(channel)
        errors.append(total)
        changes.append({c.name: fit.weight - fit.before for c, fit in fits.items()})
    return Removal(tuple(order), tuple(errors), tuple(changes))


@dataclass(frozen=True)
class Left:
    """What is left of the modules of a group.

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
        changes: what to add to [weight | bias] of each consumer, the channels still in it.

    Raises:
        GrowthError: an operation cannot lose features.
    """
    stay = torch.tensor([c for c in range(group.width) if c not in set(channels)])
    modules: dict[torch.nn.Module, torch.nn.Module] = {}
    kept: list[Kept] = []
    for layer in dict.fromkeys((*group.producers, *group.consumers)):
        outputs = stay if layer in group.producers else torch.arange(layer.out_neurons)
        inputs = _features_left(group, layer, stay)
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        if layer in group.reads:
            added, more = layer.adapter.weight_and_bias(layer.layer, changes[layer.name].to(weight))
            weight, bias = weight + added, bias if bias is None or more is None else bias + more
        device = weight.device
        weight = weight[outputs.to(device)][:, inputs.to(device)]
        new = layer.adapter.layer_of(layer.layer, weight, None if bias is None else bias[outputs.to(device)])
        modules[layer.layer] = new
        kept.append(Kept(layer.weight, new.weight, {0: outputs, 1: inputs}))  # type: ignore[arg-type]
        if layer.bias is not None:
            kept.append(Kept(layer.bias, new.bias, {0: outputs}))  # type: ignore[arg-type]
    for operation, places in _operations(group, stay):
        left = operation_adapter(operation).left(operation, places)
        if left is not operation:
            modules[operation] = left
            pairs = zip(operation.parameters(), left.parameters(), strict=True)
            kept += [Kept(old, now, {0: places}) for old, now in pairs]
    return Left(modules, tuple(kept))


def _features_left(group: Group, layer: LayerModule, stay: Tensor) -> Tensor:
    """The inputs of a layer that stay."""
    if layer not in group.reads:
        return torch.arange(layer.in_neurons)
    kept = torch.ones(layer.in_neurons, dtype=torch.bool)
    for place in group.reads[layer]:
        kept[place.start : place.end] = False
        kept[(place.start + stay[:, None] * place.repeat + torch.arange(place.repeat)).flatten()] = True
    return kept.nonzero()[:, 0]


def _operations(group: Group, stay: Tensor) -> Iterator[tuple[torch.nn.Module, Tensor]]:
    """The operations of a group, each with the features that stay there."""
    for member in (*group.producers, *group.merges):
        places = group.places[member]
        width, flattened = member.own_width, member.positions
        kept = torch.ones(width, dtype=torch.bool)
        for place in places:
            _mark(kept, place, flattened, stay)
        for operation, times in operations_with_repeats(member.function, flattened):
            kept = kept.repeat_interleave(times)
            yield operation, kept.nonzero()[:, 0]


def _mark(kept: Tensor, place: GroupPlace, flattened: int, stay: Tensor) -> None:
    """Take the channels that go out of the features before the function of a place's module."""
    start, repeat = place.start // flattened, place.repeat // flattened
    kept[start : start + place.width * repeat] = False
    kept[(start + stay[:, None] * repeat + torch.arange(repeat)).flatten()] = True
