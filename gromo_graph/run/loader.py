"""TensorLoader: batches of samples that lie in memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gromo_graph.run.data import Part


class TensorLoader:
    """Yields pairs (x, y). With a seed the order is drawn anew each epoch, as a function of seed and epoch alone.

    So a growth step that reads the loader again sees the samples in the order of the epoch, and a run that
    goes on at some epoch sees what it would have seen. A part so small is faster indexed than sent through workers.

    Args:
        part: the samples.
        batch_size: of all batches but the last.
        seed: of the order; None keeps that of the data.
        device: where the batches are.
        share: which one of how many: (0, 2) yields every second sample of each batch, (1, 2) the others.

    >>> part = Part(torch.arange(5.0)[:, None], torch.arange(5))
    >>> [y.tolist() for _, y in TensorLoader(part, 2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        part: Part,
        batch_size: int,
        *,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.x = part.x.to(device)
        self.y = part.y.to(device)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.place, self.shares = share

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.split(self._order(), self.batch_size):
            own = rows[self.place :: self.shares]
            if len(own):
                yield self.x[own], self.y[own]

    def weighted(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        """(x, y, weight) of each batch for training together: the mean over processes of weight · own mean loss is the
        mean over the batch.

        Of a last batch too small for all some have none; they get a sample with weight 0, as all take part in each.
        """
        for rows in torch.split(self._order(), self.batch_size):
            own = rows[self.place :: self.shares]
            weight = len(own) * self.shares / len(rows)
            own = own if len(own) else rows[:1]
            yield self.x[own], self.y[own], weight

    def _order(self) -> Tensor:
        if self.seed is None:
            return torch.arange(len(self.x), device=self.x.device)
        # Seeds are hashed by the generator, so neighbouring epochs and seeds draw unrelated orders.
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        return torch.randperm(len(self.x), generator=generator).to(self.x.device)
