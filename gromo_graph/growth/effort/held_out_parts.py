"""The parts of the held-out samples by which step sizes are searched and decisions judged (docs/maths.md, "Step size").

Processes that share the data have, together, the samples that one process would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from gromo_graph.growth.effort.sample_parts import samples_of
from gromo_graph.growth.observe import Loader, batches
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import inputs_of

SEARCHED, JUDGED = 256, 512
"""Samples of the part by which step sizes are searched, and of the one by which decisions are judged, about."""
BLOCK = 16
"""Neighbours that are taken together, so that each process that shares them has some."""

Numbered = tuple[tuple[Tensor, ...], Tensor, Tensor]
"""Inputs and target of some samples, and the number of each one in the data."""


def held_out_part(loader: Loader, network: GrowingNetwork, processes: Processes, about: int) -> Loader:
    """Samples from all over the held-out data; all of them if they are few, or nobody knows how many.

    Args:
        loader: of this process. network: on whose device they are read. processes: that have the data together.
        about: the samples of the part, which has up to twice as many.
    """
    shared = hasattr(loader, "weighted") and processes.count <= BLOCK
    available = getattr(loader, "samples", None) if shared else samples_of(loader)
    if available is None or available < 2 * about or (processes.count > 1 and not shared):
        return loader
    return thinned(numbered(loader, network), available // about) or loader


def numbered(loader: Loader, network: GrowingNetwork) -> Iterator[Numbered]:
    """The batches of a loader with the number of each sample; processes that share them number them alike."""
    passed = 0
    if hasattr(loader, "weighted"):
        for x, y, weight, samples in loader.weighted():
            own = torch.arange(passed + loader.place, passed + samples, loader.shares)  # type: ignore[attr-defined]
            passed += samples
            if weight:
                yield inputs_of(x), y, own
        return
    for inputs, target in batches(loader, network):
        yield inputs, target, torch.arange(passed, passed + len(target))
        passed += len(target)


def thinned(given: Iterable[Numbered], every: int) -> list[tuple[Any, Tensor]]:
    """Every n-th block of 16 samples, as one batch if their shapes allow that.

    Processes that share the samples have, together, those that one process has: of each block about as many.

    Returns:
        Nothing if the rows of a batch are no samples: inputs and target differ in their number.

    >>> x = torch.arange(64.0)
    >>> ((inputs,), target), = thinned([((x[:40],), x[:40], x[:40]), ((x[40:],), x[40:], x[40:])], 3)
    >>> target.tolist() == [*range(16), *range(48, 64)]
    True
    """
    found: list[tuple[tuple[Tensor, ...], Tensor]] = []
    for inputs, target, numbers in given:
        if any(len(value) != len(target) for value in inputs):
            return []
        chosen = numbers.div(BLOCK, rounding_mode="floor") % every == 0
        if chosen.any():
            found.append((tuple(value[chosen] for value in inputs), target[chosen]))
    if len({tuple(value.shape[1:] for value in (*inputs, target)) for inputs, target in found}) != 1:
        return list(found)
    columns = list(zip(*(inputs for inputs, _ in found), strict=True))
    return [(tuple(torch.cat(column) for column in columns), torch.cat([target for _, target in found]))]
