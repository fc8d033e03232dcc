"""TensorLoader: batches of samples that can be picked by their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gromo_graph.run.data.image_sets.augmentation import augmented
from gromo_graph.run.data.samples import MappedPart, Part
from gromo_graph.run.data.several_inputs import parted
from gromo_graph.spec.data_sections import UNCHANGED, Augment


class Batch(NamedTuple):
    """The share that a process has of a batch.

    Attributes:
        x, y: its samples; several inputs are a tuple.
        weight: the mean over processes of weight · own mean loss is the mean over the batch.
        samples: of the whole batch.
    """

    x: Any
    y: Tensor
    weight: float
    samples: int


class SharedLoader:
    """Yields pairs (x, y): of each batch the share of this process; a base class.

    Args:
        share: which one of how many: (0, 2) yields every second sample of each batch, (1, 2) the others.
    """

    def __init__(self, share: tuple[int, int] = (0, 1)) -> None:
        self.place, self.shares = share

    def weighted(self) -> Iterator[Batch]:
        """Batches for training together.

        Of a last batch too small for all some have none; they get a sample with weight 0, as all take part in each.
        """
        raise NotImplementedError

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        for batch in self.weighted():
            if batch.weight:
                yield batch.x, batch.y

    def own(self, samples: int) -> tuple[slice, float]:
        """The samples of a batch that belong to this process, and their weight."""
        own = len(range(self.place, samples, self.shares))
        if own:
            return slice(self.place, None, self.shares), own * self.shares / samples
        return slice(0, 1), 0.0


class TensorLoader(SharedLoader):
    """Yields pairs (x, y). With a seed the order is drawn anew each epoch, as a function of seed and epoch alone.

    So a growth step that reads the loader again sees the samples in the order of the epoch, and a run that
    goes on at some epoch sees what it would have seen. A part so small is faster indexed than sent through workers.

    Args:
        part: the samples.
        batch_size: of all batches but the last.
        seed: of the order; None keeps that of the data.
        device: where the batches are.
        share: see `SharedLoader`.
        least: samples of a batch; a smaller last one is joined to the one before it.
        augment: random changes of samples that are images, drawn anew each epoch as the order is.
        workers: processes that take samples ahead, of a part that is prepared late; they draw nothing.

    >>> part = Part(torch.arange(5.0)[:, None], torch.arange(5))
    >>> [y.tolist() for _, y in TensorLoader(part, 2)]
    [[0, 1], [2, 3], [4]]
    >>> [y.tolist() for _, y in TensorLoader(part, 2, least=2)]
    [[0, 1], [2, 3, 4]]
    """

    def __init__(
        self,
        part: Part | MappedPart,
        batch_size: int,
        *,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        share: tuple[int, int] = (0, 1),
        least: int = 1,
        augment: Augment = UNCHANGED,
        workers: int = 0,
    ) -> None:
        super().__init__(share)
        self.least, self.augment = least, augment
        self.workers = workers if isinstance(part, MappedPart) else 0
        self.part = part.to(device)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._sizes())

    @property
    def samples(self) -> int:
        """The samples of all processes together."""
        return len(self.part)

    @property
    def samples_each(self) -> int:
        """The samples of a process, rounded down: the same number in all of them."""
        return len(self.part) // self.shares

    def weighted(self) -> Iterator[Batch]:
        """As in `SharedLoader`."""
        drawn = self._generator(self.seed or 0)
        batches = torch.split(self._order(), self._sizes())
        shares = [self.own(len(rows)) for rows in batches]
        taken = self._taken([rows[own] for rows, (own, _) in zip(batches, shares, strict=True)])
        for rows, (_, weight), samples in zip(batches, shares, taken, strict=True):
            x, y = augmented(*samples, self.augment, drawn)
            yield Batch(parted(x, self.part.forms), y, weight, len(rows))

    def _taken(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The samples of each batch, on the device; chance is drawn from here alone, whoever takes them."""
        if not self.workers:
            yield from map(self.part.take, batches)
            return
        device = self.part.y.device
        ahead = DataLoader(
            _Batches(self.part.to("cpu"), [rows.cpu() for rows in batches]),
            batch_size=None,
            num_workers=self.workers,
            generator=torch.Generator(),
        )
        for x, y in ahead:
            yield x.to(device), y.to(device)

    def _sizes(self) -> list[int]:
        whole, rest = divmod(len(self.part), self.batch_size)
        sizes = [self.batch_size] * whole
        if rest >= self.least or not whole:
            return sizes + [rest] * (rest > 0)
        return [*sizes[:-1], sizes[-1] + rest]

    def _order(self) -> Tensor:
        device = self.part.y.device
        if self.seed is None:
            return torch.arange(len(self.part), device=device)
        return torch.randperm(len(self.part), generator=self._generator(self.seed)).to(device)

    def _generator(self, seed: int) -> torch.Generator:
        """Seeds are hashed by the generator, so neighbouring epochs and seeds draw unrelated orders."""
        return torch.Generator().manual_seed((seed * 1_000_003 + self.epoch) % 2**63)


class _Batches(Dataset[tuple[Tensor, Tensor]]):
    """The samples of each batch, by its number."""

    def __init__(self, part: Part | MappedPart, batches: Sequence[Tensor]) -> None:
        self.part, self.batches = part, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        return self.part.take(self.batches[number])
