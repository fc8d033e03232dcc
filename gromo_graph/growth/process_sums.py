"""Several processes that grow one network: each sees a share of the data, sums are exact, decisions are one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.growth.out_of_memory import SharedMemoryError, out_of_memory
from gromo_graph.statistics.running_mean import TensorStatistic

# Bytes of one message: larger sums go in several.
_BUCKET = 32 * 1024 * 1024

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """This process among those of the run; alone, every method gives back what it gets.

    Attributes:
        rank: from 0; the first one decides and writes. count: of all. device: where messages lie.
    """

    rank: int = 0
    count: int = 1
    device: torch.device | str = "cpu"

    @staticmethod
    def current() -> Processes:
        """The processes of torch.distributed, if it has been initialised."""
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return Processes()
        on_gpu = dist.get_backend() == "nccl"
        device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        return Processes(dist.get_rank(), dist.get_world_size(), device)

    @property
    def is_first(self) -> bool:
        """True if it is the one that decides, writes and speaks."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put into each tensor the sum over all processes; each gives as many, of the same shapes and dtypes."""
        if self.count == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket]).to(self.device)
            with lost_peers():
                dist.all_reduce(flat)
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.reshape(tensor.shape))

    def totals(self, *values: float) -> tuple[float, ...]:
        """The sum of each value over all processes, in double precision."""
        if self.count == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        self.add_up([total])
        return tuple(total.tolist())

    def rows(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, those of the first one first; the first one has some.

        >>> ALONE.rows(torch.ones(2, 3)).shape
        torch.Size([2, 3])
        """
        if self.count == 1:
            return tensor
        counts = torch.zeros(self.count, dtype=torch.int64)
        counts[self.rank] = len(tensor)
        self.add_up([counts])
        shape = self.order(tensor.shape[1:]) if self.is_first else self.order([0] * (tensor.dim() - 1))
        found = tensor.new_zeros(int(counts.sum()), *shape)
        begin = int(counts[: self.rank].sum())
        found[begin : begin + len(tensor)] = tensor.reshape(len(tensor), *shape)
        self.add_up([found])
        return found

    def any(self, flag: bool) -> bool:
        """True if it is true in any process."""
        return self.totals(float(flag))[0] > 0.0

    def shared(self, value: Value) -> Value:
        """The value of the first process: all tensors in tuples, lists, maps and dataclasses, of any shape.

        The rest of the value is one's own: it has to be the same in all processes.
        """
        if self.count == 1:
            return value
        own = list(_tensors_in(value))
        shapes = self._shapes([tuple(tensor.shape) for tensor in own])
        received: dict[int, Tensor] = {}
        for dtype, device in dict.fromkeys((tensor.dtype, tensor.device) for tensor in own):
            places = [i for i, t in enumerate(own) if (t.dtype, t.device) == (dtype, device)]
            sizes = [math.prod(shapes[i]) for i in places]
            flat = torch.empty(sum(sizes), dtype=dtype, device=device)
            if self.is_first:
                flat = torch.cat([own[i].detach().reshape(-1) for i in places])
            parts = self._sent(flat).split(sizes)
            received |= {i: part.reshape(shapes[i]) for i, part in zip(places, parts, strict=True)}
        found: Value = _with_tensors(value, iter([received[i] for i in range(len(own))]))
        return found

    def number(self, value: float) -> float:
        """The number that the first process has."""
        return float(self.shared(torch.tensor(value, dtype=torch.float64)))

    def order(self, places: Sequence[int]) -> list[int]:
        """The whole numbers that the first process has."""
        found: list[int] = self.shared(torch.tensor(list(places), dtype=torch.int64)).tolist()
        return found

    @contextmanager
    def together(self) -> Iterator[None]:
        """Work that each process does for itself; if it fails in one, none goes on.

        Raises:
            RunError: it failed in another process, whose own message says why.
            SharedMemoryError: in one or several there was too little memory, and nothing else was wrong.
        """
        try:
            yield
        except BaseException as error:
            failed, lacking = self.totals(1, out_of_memory(error))
            if self.count > 1 and failed == lacking:
                raise SharedMemoryError(str(error)) from error
            raise
        failed, lacking = self.totals(0, 0)
        if failed and failed == lacking:
            raise SharedMemoryError("in another process")
        if failed:
            raise RunError("another process of the run has failed: its own message says why")

    def _shapes(self, own: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The shapes of the tensors of the first process."""
        words = torch.tensor([word for shape in own for word in (len(shape), *shape)], dtype=torch.int64)
        length = int(self._sent(torch.tensor(len(words))))
        sent = iter(self._sent(words if self.is_first else torch.empty(length, dtype=torch.int64)).tolist())
        return [tuple(next(sent) for _ in range(next(sent))) for _ in own]

    def _sent(self, tensor: Tensor) -> Tensor:
        message = tensor.to(self.device).contiguous()
        if message.numel():
            with lost_peers():
                dist.broadcast(message, src=0)
        return message.to(tensor.device)


ALONE = Processes()
"""A single process."""


@contextmanager
def lost_peers() -> Iterator[None]:
    """Tell in words that another process has gone.

    Raises:
        RunError: it has.
    """
    try:
        yield
    except RuntimeError as error:
        known = isinstance(error, dist.DistError) or any(
            word in str(error) for word in ("gloo", "NCCL", "Connection", "Broken pipe")
        )
        if not known:
            raise
        raise RunError(
            "another process of the run has ended, so this one cannot go on: its own message says why, or that of the "
            "launcher if it was killed; gromo-graph resume goes on from the last checkpoint, also with another number "
            "of processes"
        ) from error


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors of one dtype and device that go in one message; pieces of those that are too large."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        # A view, so that what is received lands in the tensor itself.
        flat = tensor.view(-1)
        for piece in flat.split(max(1, _BUCKET // tensor.element_size())):
            bytes_of = piece.numel() * piece.element_size()
            other = bucket and (bucket[0].dtype, bucket[0].device) != (piece.dtype, piece.device)
            if bucket and (other or size + bytes_of > _BUCKET):
                yield bucket
                bucket, size = [], 0
            bucket.append(piece)
            size += bytes_of
    if bucket:
        yield bucket


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors_in(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors_in(each)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _tensors_in(getattr(value, field.name))


def _with_tensors(value: Any, found: Iterator[Tensor]) -> Any:
    """The value with other tensors in the places of its own, in the order of `_tensors_in`."""
    if isinstance(value, Tensor):
        return next(found)
    if isinstance(value, Mapping):
        return {key: _with_tensors(each, found) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_with_tensors(each, found) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        own = [
            field.name
            for field in fields(value)
            if any(True for _ in _tensors_in(getattr(value, field.name)))
        ]
        return replace(value, **{name: _with_tensors(getattr(value, name), found) for name in own})
    return value


def sum_up(statistics: Sequence[TensorStatistic], processes: Processes) -> None:
    """Add what the other processes have counted to each statistic; all processes give the same ones, in one order.

    Those that nobody has counted stay empty.
    """
    statistics = [statistic for statistic in statistics if statistic.samples]
    if processes.count == 1 or not statistics:
        return
    counts = torch.tensor([[s.samples, s.updates] for s in statistics], dtype=torch.int64)
    parts = [statistic.counted() for statistic in statistics]
    spreads = torch.tensor([[part.squares, part.parts] for part in parts], dtype=torch.float64)
    packed = [_packed(part.total, upper=part.upper) for part in parts]
    processes.add_up([counts, spreads, *packed])
    for statistic, part, values, (samples, updates), (squares, number) in zip(
        statistics, parts, packed, counts.tolist(), spreads.tolist(), strict=True
    ):
        _unpack(values, part.total, upper=part.upper)
        statistic.recount(samples, updates, squares=squares, parts=round(number))


def _packed(total: Tensor, *, upper: bool) -> Tensor:
    """A copy in one row; of a symmetric sum what is on and above the diagonal, about half of it."""
    if not upper:
        return total.reshape(-1).clone()
    return total[_above(total)]


def _unpack(values: Tensor, total: Tensor, *, upper: bool) -> None:
    if upper:
        total[_above(total)] = values
    else:
        total.copy_(values.reshape(total.shape))


def _above(total: Tensor) -> Tensor:
    return torch.ones_like(total, dtype=torch.bool).triu()
