"""The batches of a run: of its training, of the statistics of its ticks, and of its measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from gromo_graph.errors import RunError
from gromo_graph.growth.effort.sample_size import samples_for
from gromo_graph.growth.observe import is_sized
from gromo_graph.growth.process_sums import Processes
from gromo_graph.network import GrowingNetwork
from gromo_graph.run.data.batches import AnyLoader, batches_of, needs_company
from gromo_graph.run.data.prepare_data import Data
from gromo_graph.run.data.samples import Stream

_EVALUATION_BATCH = (
    256  # the activations of more do not fit into a cache: 1,024 images take 1.6 times as long for each
)


@dataclass(frozen=True)
class RunBatches:
    """The batches of a run, on the device of its network.

    Attributes:
        network: whose spec says how large they are. data: all parts. seed: of the order of the training.
        processes: that share each batch.
    """

    network: GrowingNetwork
    data: Data
    seed: int
    processes: Processes

    def training(self) -> AnyLoader:
        """The training data, in an order of each epoch."""
        train = self.network.spec.train
        return batches_of(
            self.data.train,
            train.batch_size,
            seed=self.seed,
            device=self._device,
            share=self._share,
            least=self._least,
            augment=self.data.augment,
            workers=train.workers,
        )

    def measured(self) -> dict[str, AnyLoader]:
        """Every part of the data in its own order, by name."""
        return {
            name: batches_of(part, _EVALUATION_BATCH, device=self._device, share=self._share)
            for name, part in self.data.parts.items()
        }

    def of_tick(self, tick: int) -> AnyLoader:
        """The training samples for the statistics of a tick: drawn from the seed and the tick alone."""
        part = self.data.train
        assert not isinstance(part, Stream)
        count = samples_for(self.network.spec.growth).total
        drawn = torch.Generator().manual_seed((self.seed * 1_000_003 + tick * 7_919 + 1) % 2**63)
        rows = torch.randperm(len(part), generator=drawn)[:count]
        size = self.network.spec.train.batch_size
        return batches_of(
            part.chosen(rows),
            size,
            device=self._device,
            share=self._share,
            least=self._least,
            augment=self.data.augment,
        )

    def steps(self, loader: AnyLoader) -> int | None:
        """Steps of the optimizer in the whole training; None if growth counts epochs and they are not known.

        Raises:
            RunError: they are not known, and growth takes place at shares of them.
        """
        train = self.network.spec.train
        if is_sized(loader):
            return math.ceil(len(loader) / train.accumulate) * train.epochs
        if self.network.spec.growth.counts_epochs:
            return None
        raise RunError(
            "data: the train loader has no length, and growth takes place at shares of the training: give it a "
            "`__len__`, or count in epochs with `growth.when.every: 1`"
        )

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def _share(self) -> tuple[int, int]:
        return self.processes.rank, self.processes.count

    @property
    def _least(self) -> int:
        """The fewest samples of a batch."""
        return 2 * self.processes.count if needs_company(self.network.graph) else 1
