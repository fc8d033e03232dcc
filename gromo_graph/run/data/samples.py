"""A part of the data: samples that lie in memory, on the disk, or come out of a loader."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gromo_graph.run.data.preparation import Preparation
from gromo_graph.run.data.raw import Array
from gromo_graph.run.data.several_inputs import InputForm


@dataclass(frozen=True, eq=False)
class Part:
    """Samples in memory.

    Attributes:
        x: float32 (samples, *input shape), standardised.
        y: int64 class indices (samples,), or float32 0 and 1 or standardised values (samples, outputs). With weights
            float32, with the weight of each sample in the last column.
        weighted: whether there are weights.
        forms: of several inputs, whose numbers stand side by side in x, (samples, numbers); () of one.
    """

    x: Tensor
    y: Tensor
    weighted: bool = False
    forms: tuple[InputForm, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Part:
        """The part on a device."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(x, y) of some samples."""
        return self.x[rows], self.y[rows]

    def chosen(self, rows: Tensor) -> Part:
        """A part of these samples alone."""
        return replace(self, x=self.x[rows], y=self.y[rows])


@dataclass(frozen=True, eq=False)
class MappedPart:
    """Samples with only the targets in memory: inputs are read from the disk, and standardised, when used.

    Attributes:
        x: raw numbers of all samples, (all samples, *any shape), mapped from a file.
        rows: of `x` that belong to this part.
        y: as of `Part`.
        preparation: how raw inputs become those of the network.
        name: what messages call the data.
        device: where the batches are. weighted: as of `Part`.
    """

    x: Array
    rows: Array
    y: Tensor
    preparation: Preparation
    name: str
    device: torch.device | str = "cpu"
    weighted: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def forms(self) -> tuple[InputForm, ...]:
        """As in `Part`."""
        return self.preparation.several_inputs

    def to(self, device: torch.device | str) -> MappedPart:
        """The part with batches on a device."""
        return replace(self, y=self.y.to(device), device=device)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(x, y) of some samples."""
        read = np.asarray(self.x[self.rows[rows.cpu().numpy()]])
        return self.preparation.inputs(read, name=self.name).to(self.device), self.y[rows]

    def chosen(self, rows: Tensor) -> MappedPart:
        """A part of these samples alone, still on the disk."""
        own = self.rows[rows.cpu().numpy()]
        return replace(self, rows=own, y=self.y[rows])


@dataclass(frozen=True, eq=False)
class Stream:
    """The samples of a loader of Python as they are: nothing is standardised.

    Attributes:
        name: train, validation or test.
        loader: gives pairs (x, y) each time it is iterated over, as a torch DataLoader does.
        shape: of one input. outputs: features of the network's output. labels: whether targets are classes.
        vocabulary: how many token ids x may hold; None if it holds values.
    """

    name: str
    loader: Any
    shape: tuple[int, ...]
    outputs: int
    labels: bool
    vocabulary: int | None = None
    weighted: ClassVar[bool] = False


Samples = Part | MappedPart | Stream


def size_of(part: Samples) -> int | None:
    """The number of samples, if it is known.

    >>> size_of(Part(torch.zeros(3, 2), torch.zeros(3)))
    3
    """
    if not isinstance(part, Stream):
        return len(part)
    try:
        return len(part.loader.dataset)
    except (AttributeError, TypeError):
        return None
