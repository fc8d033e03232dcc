"""Small batches joined to larger ones: in a small network a pass takes as long for few samples as for many.

Only losses that say `adds_up` have their batches joined, as that of `grow` does. Of others nobody knows whether they
compare the samples of a batch or hold a tensor of its size, nor whether their loader fills the same memory again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from gromo_graph.growth.effort.sample_parts import SampleParts
from gromo_graph.growth.observe import Loader
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import inputs_of

# Values that a joined batch has at the nodes and in the columns of statistics, about: more do not fit into a cache.
_VALUES = 2**20

Inputs = tuple[Any, ...]


@dataclass(frozen=True)
class JoinedBatches:
    """The batches of a loader, as many in one as have no more than so many samples and fit together.

    >>> import torch
    >>> batches = [(torch.zeros(2, 1), torch.zeros(2))] * 5
    >>> [len(y) for _, y in JoinedBatches(batches, samples=4)]
    [4, 4, 2]
    """

    loader: Loader
    samples: int

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        waiting: list[tuple[Inputs, Tensor]] = []
        for batch in self.loader:
            if not _has_rows(batch):
                yield from _all(waiting)
                waiting = []
                yield batch
                continue
            pair = inputs_of(batch[0]), batch[1]
            held = sum(len(target) for _, target in (*waiting, pair))
            if waiting and (held > self.samples or _form(pair) != _form(waiting[0])):
                yield joined(waiting)
                waiting = []
            waiting.append(pair)
        yield from _all(waiting)


def joined_parts(parts: SampleParts, network: GrowingNetwork, loss: object) -> SampleParts:
    """Both parts in batches as large as pays for a network; as they are for a loss that does not say `adds_up`."""
    if not getattr(loss, "adds_up", False):
        return parts
    samples = _VALUES // max(1, _values_of_a_sample(network))
    return replace(
        parts,
        statistics=JoinedBatches(parts.statistics, samples),
        slopes=JoinedBatches(parts.slopes, samples),
    )


def _values_of_a_sample(network: GrowingNetwork) -> int:
    """Values at all nodes, and what layers read, spread out to a row for each position and a column for each weight."""
    graph = network.graph
    layers = [module for module in network.modules() if isinstance(module, LayerModule)]
    read = sum(graph.positions(each.name) * each.adapter.columns(each.layer) for each in layers)
    return read + sum(prod(shape) for shape in graph.shapes.values())


def fit_together(pairs: Sequence[tuple[Inputs, Tensor]]) -> bool:
    """True if inputs and targets of all pairs differ in their number alone."""
    return len({_form(pair) for pair in pairs}) == 1


def joined(pairs: Sequence[tuple[Inputs, Tensor]]) -> tuple[Inputs, Tensor]:
    """One batch of several that fit together."""
    if len(pairs) == 1:
        return pairs[0]
    columns = zip(*(inputs for inputs, _ in pairs), strict=True)
    return tuple(torch.cat(column) for column in columns), torch.cat([target for _, target in pairs])


def _all(waiting: Sequence[tuple[Inputs, Tensor]]) -> Iterator[tuple[Inputs, Tensor]]:
    if waiting:
        yield joined(waiting)


def _form(pair: tuple[Inputs, Tensor]) -> tuple[Any, ...]:
    """Shapes of the samples, dtypes and devices: the same in all batches that can be joined."""
    return tuple((value.shape[1:], value.dtype, value.device) for value in (*pair[0], pair[1]))


def _has_rows(batch: Any) -> bool:
    """True if a batch is a pair whose inputs have a row for each target."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        return False
    values = (*inputs_of(batch[0]), batch[1])
    tensors = all(isinstance(value, Tensor) and value.dim() > 0 for value in values)
    return tensors and len({len(value) for value in values}) == 1
