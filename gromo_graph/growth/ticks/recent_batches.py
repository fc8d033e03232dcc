"""The batches that a training has just seen, kept for the statistics of the next growth step."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map


class RecentBatches:
    """The last batches, on their device, with no more samples in them than it takes; it is a loader of pairs.

    Args:
        samples: the oldest batch is dropped as soon as the others have as many.

    >>> import torch
    >>> recent = RecentBatches(samples=4)
    >>> for number in range(5):
    ...     recent.add(torch.full((2, 1), float(number)), torch.full((2,), number))
    >>> [y.tolist() for _, y in recent]
    [[3, 3], [4, 4]]
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self._batches: deque[tuple[Any, Tensor]] = deque()
        self._held = 0

    def add(self, x: Any, y: Tensor) -> None:
        """Keep a batch, without its history of gradients."""
        self._batches.append((tree_map(_detached, x), y.detach()))
        self._held += len(y)
        while self._held - len(self._batches[0][1]) >= self.samples:
            self._held -= len(self._batches.popleft()[1])

    def clear(self) -> None:
        """Let all of them go."""
        self._batches.clear()
        self._held = 0

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        return iter(tuple(self._batches))

    def __len__(self) -> int:
        return len(self._batches)


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value
