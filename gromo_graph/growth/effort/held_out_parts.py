"""The parts of the held-out samples by which step sizes are searched and decisions judged (docs/maths.md, "Step size").

Processes that share the data have, together, the samples that one process would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gromo_graph.growth.effort.joined_batches import fit_together, joined
from gromo_graph.growth.effort.sample_parts import samples_of
from gromo_graph.growth.observe import Loader, batches
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import inputs_of

SEARCHED, JUDGED = 256, 512
"""Samples by which step sizes are searched, and those by which decisions are judged, which include them; about."""
BLOCK = 16
"""Neighbours that are taken together, so that each process that shares them has some."""

Numbered = tuple[tuple[Tensor, ...], Tensor, Tensor]
"""Inputs and target of some samples, and the number of each one in the data."""
Chosen = Callable[[Tensor], Tensor]
"""True for the blocks, by their numbers, that are taken."""


@dataclass(frozen=True)
class HeldOutParts:
    """Samples from all over the held-out data, which decide together.

    Attributes:
        searched: those by which step sizes are searched. rest: the others, or None.
        few: whether there are fewer than a search should have.
    """

    searched: Loader
    rest: Loader | None
    few: bool = False

    def at_most(self, samples: int) -> bool:
        """True if they are known to be no more than that."""
        known = [samples_of(part) for part in (self.searched, self.rest) if part is not None]
        return sum(samples + 1 if count is None else count for count in known) <= samples

    def map(self, change: Callable[[Loader], Loader]) -> HeldOutParts:
        """The same with other values."""
        rest = None if self.rest is None else change(self.rest)
        return replace(self, searched=change(self.searched), rest=rest)


def held_out_parts(loader: Loader, network: GrowingNetwork, processes: Processes) -> HeldOutParts:
    """Every n-th block of 16 samples; all of them if they are few, or nobody knows how many.

    Args:
        loader: of this process. network: on whose device they are read. processes: that have the data together.
    """
    shared = hasattr(loader, "weighted") and processes.count <= BLOCK
    available = getattr(loader, "samples", None) if shared else samples_of(loader)
    if available is None or (processes.count > 1 and not shared):
        return HeldOutParts(loader, None)
    if available < 2 * SEARCHED:
        return HeldOutParts(loader, None, few=available < SEARCHED)
    judged = max(1, available // JUDGED)
    searched = judged * max(1, available // judged // SEARCHED)
    first = thinned(numbered(loader, network), lambda block: block % searched == 0)
    if not first:
        return HeldOutParts(loader, None)
    rest = thinned(numbered(loader, network), lambda block: (block % judged == 0) & (block % searched != 0))
    return HeldOutParts(first, rest or None)


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


def thinned(given: Iterable[Numbered], chosen: Chosen) -> list[tuple[Any, Tensor]]:
    """Some blocks of 16 samples, as one batch if their shapes allow that.

    Processes that share the samples have, together, those that one process has: of each block about as many.

    Returns:
        Nothing if the rows of a batch are no samples: inputs and target differ in their number.

    >>> x = torch.arange(64.0)
    >>> given = [((x[:40],), x[:40], x[:40]), ((x[40:],), x[40:], x[40:])]
    >>> ((inputs,), target), = thinned(given, lambda block: block % 3 == 0)
    >>> target.tolist() == [*range(16), *range(48, 64)]
    True
    """
    found: list[tuple[tuple[Tensor, ...], Tensor]] = []
    for inputs, target, numbers in given:
        if any(len(value) != len(target) for value in inputs):
            return []
        own = chosen(numbers.div(BLOCK, rounding_mode="floor"))
        if own.any():
            found.append((tuple(value[own] for value in inputs), target[own]))
    return [joined(found)] if fit_together(found) else list(found)
