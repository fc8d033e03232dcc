"""The samples of a decision in two parts: new neurons are solved from one, and the other measures their slopes.

On the samples that they were solved from, new neurons look better than they are (docs/maths.md, "How many samples").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gromo_graph.growth.effort.sample_size import SampleSize
from gromo_graph.growth.observe import Loader, is_sized

Batch = tuple[Any, Tensor]

SAMPLES_FOR_NORMS = 512
"""Samples from which norms measure means and variances."""


@dataclass(frozen=True)
class SampleParts:
    """Two loaders.

    Attributes:
        statistics, slopes: what each part reads. samples: of the statistics; None if it is not known.
    """

    statistics: Loader
    slopes: Loader
    samples: int | None


def sample_parts(loader: Loader, whole: SampleSize, processes: int = 1) -> SampleParts:
    """The parts of a loader; if it has too few samples for both, each part is all of it.

    Args:
        loader: of this process. whole: samples of all processes together. processes: that each have a loader.

    Of a list of batches those of the parts lie evenly over the list; of any other loader they are the first ones.

    >>> import torch
    >>> batches = [(torch.full((2,), float(i)), torch.zeros(2)) for i in range(12)]
    >>> parts = sample_parts(batches, SampleSize(4, 2))
    >>> [int(x[0]) for x, _ in parts.statistics], [int(x[0]) for x, _ in parts.slopes]
    ([0, 8], [4])
    """
    available, size = samples_of(loader), whole.of_each(processes)
    read = whole if hasattr(loader, "weighted") else size  # the processes share the batches of such a loader
    if size.total is None or size.statistics is None or size.slopes is None:
        if size.statistics is None or (available is not None and available <= size.statistics):
            return SampleParts(loader, loader, available)
        first = _Part(loader, read.statistics or 0)
        return SampleParts(first, loader if is_sized(loader) else first, size.statistics)
    if available is not None and available < size.total:
        return SampleParts(loader, loader, available)
    if isinstance(loader, list | tuple):
        return _spread_out(loader, size.statistics, size.slopes)
    first = _Part(loader, read.statistics or 0)
    return SampleParts(first, _Part(loader, read.slopes or 0, behind=first), size.statistics)


def some_samples(loader: Loader, samples: int, processes: int = 1) -> Loader:
    """About so many samples of a loader, chosen as those of the statistics are; all if it has few more.

    Args:
        loader: of this process. samples: of all processes together. processes: that each have a loader.

    >>> import torch
    >>> batches = [(torch.full((2,), float(i)), torch.zeros(2)) for i in range(12)]
    >>> [int(x[0]) for x, _ in some_samples(batches, 4)]
    [0, 8]
    >>> some_samples(batches, 20) is batches
    True
    """
    return sample_parts(loader, SampleSize(samples, samples // 2), processes).statistics


@dataclass
class _Part:
    """Some samples of a loader in whole batches, until there are so many; those behind another part, if there are any.

    Attributes:
        ended: the loader had no more than this part, as far as it has been read.
    """

    loader: Loader
    samples: int
    behind: _Part | None = None
    ended: bool = False

    def __iter__(self) -> Iterator[Batch]:
        skipped = 0 if self.behind is None or self.behind.ended else self.behind.samples
        passed = given = 0
        for batch, samples in _with_sizes(self.loader):
            if passed < skipped:
                passed += samples
                continue
            given += samples
            if batch is not None:
                yield batch
            if given >= self.samples:
                return
        self.ended = True
        if passed and not given:
            yield from _Part(self.loader, self.samples)


def _with_sizes(loader: Loader) -> Iterator[tuple[Batch | None, int]]:
    """Batches with their samples; if processes share a batch, those of all, so that all stop at the same one.

    A process that has no sample of a batch gets None.
    """
    shared = getattr(loader, "weighted", None)
    if shared is None:
        yield from ((batch, _size(batch)) for batch in loader)
    else:
        yield from (((x, y) if weight else None, samples) for x, y, weight, samples in shared())


def samples_of(loader: Loader) -> int | None:
    """Samples of a loader, None if they cannot be known without reading it."""
    if isinstance(loader, list | tuple):
        return sum(_size(loader[place]) for place in range(len(loader)))
    shared = getattr(loader, "samples_each", None)  # of a loader that several processes share
    if isinstance(shared, int):
        return shared
    batch_size = getattr(loader, "batch_size", None)
    if not is_sized(loader) or not isinstance(batch_size, int):
        return None
    most: int = len(loader) * batch_size  # type: ignore[arg-type]
    try:
        return min(most, len(loader.dataset))  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        return most


def _size(batch: Any) -> int:
    """Samples of a batch; of what is none, and will be refused, 0."""
    return len(batch[1]) if isinstance(batch, list | tuple) and len(batch) == 2 else 0


def _spread_out(batches: Sequence[Batch], statistics: int, slopes: int) -> SampleParts:
    """Batches in turn from all over a list."""
    available = samples_of(batches) or 0
    mean = max(1, available // len(batches))
    count = min(len(batches), -(-statistics // mean) + -(-slopes // mean))
    some = [batches[place * len(batches) // count] for place in range(count)]
    total = statistics + slopes
    first: list[Batch] = []
    second: list[Batch] = []
    solved = measured = 0
    for batch in some:
        # The part that lacks the larger share of what it wants is next.
        if solved * slopes <= measured * statistics or len(some) == 1:
            first.append(batch)
            solved += _size(batch)
        else:
            second.append(batch)
            measured += _size(batch)
    if not second or solved + measured < total // 2:
        return SampleParts(batches, batches, available)
    return SampleParts(first, second, solved)
