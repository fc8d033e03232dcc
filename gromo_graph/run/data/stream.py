"""Data out of loaders of Python: any DataLoader, an IterableDataset behind one, a list of batches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.run.data.preparation import Preparation, check_tokens
from gromo_graph.run.data.samples import Stream
from gromo_graph.run.data.tensor_loader import Batch, SharedLoader
from gromo_graph.spec.train_settings import Task

_PARTS = ("train", "validation", "test")


def is_loaders(value: object) -> bool:
    """True if this is a map of loaders by part.

    >>> is_loaders({"train": [], "validation": []}), is_loaders({"x": [], "y": []})
    (True, False)
    """
    return isinstance(value, Mapping) and "train" in value and "x" not in value


def streams(
    loaders: Mapping[str, Any],
    *,
    shape: tuple[int, ...],
    outputs: int,
    task: Task,
    vocabulary: int | None = None,
) -> dict[str, Stream]:
    """The parts that loaders give; a first batch of each is looked at.

    Args:
        loaders: train and validation, and perhaps test.
        shape: of one input of the network. outputs: features of its output. task: what it is trained for.
        vocabulary: how many token ids the input may hold; None if it holds values.

    Raises:
        RunError: a loader is missing, can be read only once, or gives something else than is expected.
    """
    unknown = sorted(set(map(str, loaders)) - set(_PARTS))
    if unknown or any(loaders.get(name) is None for name in ("train", "validation")):
        found = ", ".join(map(str, loaders))
        raise RunError(f"data: loaders for {found}: expected train and validation, and perhaps test")
    parts = {
        name: Stream(name, loaders[name], shape, outputs, task == "classification", vocabulary)
        for name in _PARTS
        if loaders.get(name) is not None
    }
    for part in parts.values():
        if isinstance(part.loader, Iterator):
            raise RunError(
                f"data: the {part.name} loader is a {type(part.loader).__name__}, which is empty after one epoch: "
                "expected a DataLoader, a list of batches, or an object whose __iter__ begins anew"
            )
        _first(part)
    return parts


def fingerprint_of(parts: Mapping[str, Stream]) -> str:
    """The sha256 of the first held-out batch, the most that is known without reading all."""
    x, y = _first(parts["validation"])
    digest = hashlib.sha256(repr((tuple(x.shape), tuple(y.shape))).encode())
    for values in (x, y):
        digest.update(np.ascontiguousarray(values.cpu().double().numpy(), dtype="<f8").tobytes())
    return digest.hexdigest()


def as_they_are(
    shape: tuple[int, ...], outputs: int, task: Task, vocabulary: int | None = None
) -> Preparation:
    """The preparation of data that are given as the network reads them."""
    classes = task == "classification"
    size, targets = math.prod(shape), 0 if classes else outputs
    return Preparation(
        task=task,
        shape=shape,
        outputs=outputs,
        features=(),
        classes=tuple(range(outputs)) if classes else (),
        mean=(0.0,) * size,
        scale=(1.0,) * size,
        target_mean=(0.0,) * targets,
        target_scale=(1.0,) * targets,
        vocabulary=vocabulary,
    )


def _first(part: Stream) -> tuple[Tensor, Tensor]:
    batch = next(iter(StreamLoader(part)), None)
    if batch is None:
        raise RunError(f"data: the {part.name} loader gave no batch")
    return batch


class StreamLoader(SharedLoader):
    """Yields what a loader gives, checked, on a device.

    What the loader draws from torch's generator (its order, random crops) is a function of seed and epoch alone, and
    nobody else's draws are disturbed.

    Args:
        part: the loader. seed: of its draws. device: where the batches are.
        share: see `SharedLoader`; each process reads all batches and keeps its rows.
        least: samples of a batch; a smaller one is joined to the one before it.
    """

    def __init__(
        self,
        part: Stream,
        *,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        share: tuple[int, int] = (0, 1),
        least: int = 1,
    ) -> None:
        super().__init__(share)
        self.least = least
        self.part, self.device = part, device
        self.seed = 0 if seed is None else seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of this epoch; samplers and data sets that have a `set_epoch` of their own are told too."""
        self.epoch = epoch
        loader = self.part.loader
        for told in (loader, getattr(loader, "sampler", None), getattr(loader, "dataset", None)):
            if callable(method := getattr(told, "set_epoch", None)):
                method(epoch)

    def __len__(self) -> int:
        return len(self.part.loader)

    def weighted(self) -> Iterator[Batch]:
        """As in `SharedLoader`."""
        for x, y in self._joined():
            own, weight = self.own(len(y))
            yield Batch(x[own].to(self.device), y[own].to(self.device), weight, len(y))

    def _joined(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of no less than `least` samples, if there are so many."""
        if self.least == 1:
            yield from self._batches()
            return
        waiting: tuple[Tensor, Tensor] | None = None
        for x, y in self._batches():
            if waiting is not None and min(len(y), len(waiting[1])) < self.least:
                waiting = torch.cat((waiting[0], x)), torch.cat((waiting[1], y))
                continue
            if waiting is not None:
                yield waiting
            waiting = x, y
        if waiting is not None:
            yield waiting

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        drawn = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        state = drawn.get_state()
        own = getattr(self.part.loader, "generator", None)
        if isinstance(own, torch.Generator):
            own.manual_seed(drawn.initial_seed())
        batches: Any = None
        while True:
            with _told(self.part.name), torch.random.fork_rng(devices=[]):
                torch.set_rng_state(state)
                batches = iter(self.part.loader) if batches is None else batches
                batch = next(batches, None)
                state = torch.get_rng_state()
            if batch is None:
                return
            yield self._checked(batch)

    def _checked(self, batch: Any) -> tuple[Tensor, Tensor]:
        part, where = self.part, f"data: the {self.part.name} loader"
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise RunError(f"{where} gave a {type(batch).__name__}: expected pairs (x, y)")
        x, y = batch
        if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
            raise RunError(f"{where} gave {type(x).__name__} and {type(y).__name__}: expected two tensors")
        if tuple(x.shape[1:]) != part.shape or len(x) != len(y) or not len(x):
            raise RunError(
                f"{where} gave x of shape {tuple(x.shape)} for {len(y)} targets: expected (samples, "
                f"{', '.join(map(str, part.shape))}), as the input of the spec says"
            )
        check_tokens(x, part.vocabulary, where)
        if part.labels:
            if (
                y.is_floating_point()
                or y.dim() != 1
                or not (int(y.min()) >= 0 and int(y.max()) < part.outputs)
            ):
                found = f"{tuple(y.shape)}, {y.dtype}, from {y.min().item()} to {y.max().item()}"
                raise RunError(
                    f"{where} gave targets of shape {found}: expected whole class indices (samples,) from 0 to "
                    f"{part.outputs - 1}"
                )
            return x.float(), y.long()
        if y[0].numel() != part.outputs:
            raise RunError(
                f"{where} gave targets of shape {tuple(y.shape)}: expected (samples, {part.outputs}) values"
            )
        return x.float(), y.float().reshape(len(y), part.outputs)


@contextmanager
def dead_workers_told() -> Iterator[None]:
    """Turn the death of a worker of a DataLoader into a RunError: torch raises wherever the signal comes in.

    Raises:
        RunError: one has died.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _dead(str(error).splitlines()[0]) from error


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn errors of a user's loader into errors of the data."""
    try:
        with dead_workers_told():
            yield
    except RunError:
        raise
    except (ConnectionError, EOFError) as error:  # its end may be noticed before its death is
        raise _dead(f"the {name} loader raised {type(error).__name__}: {error}") from error
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[-1]
        raise RunError(f"data: the {name} loader raised {type(error).__name__}: {said}") from error


def _dead(said: str) -> RunError:
    return RunError(
        f"data: a worker of a loader has died: {said}; where memory is short take fewer workers or smaller batches; "
        "gromo-graph resume goes on from the last checkpoint"
    )
