"""A mean that is kept as a sum and a count, so that parts of it add up exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from gromo_graph.algebra import Moment, ParameterGradient, Product, accumulation_dtype
from gromo_graph.errors import GrowthError

# Entries of a tensor that its error is judged by, and how many times they are remembered (an even number).
_ENTRIES = 1 << 12
_MARKS = 64


class Counted(NamedTuple):
    """The content of a statistic: the sum itself (of an `upper` one only what is on and above the diagonal means

    something), and what its error is estimated from.
    """

    total: Tensor
    upper: bool
    squares: float
    parts: int


class TensorStatistic:
    """A running sum of a tensor over samples; calling it gives the mean.

    It also estimates how far that mean is from the one of all samples that could be drawn: from how much the means of
    the updates differ from each other.

    Args:
        name: what it is, for messages, e.g. "S of stem".
        shape: expected shape; None takes the shape of the first update.
        dtype: in which the sum is kept; None takes that of the first update, at least single precision.

    >>> statistic = TensorStatistic("E[x]")
    >>> statistic.update(torch.tensor([6.0, 2.0]), samples=2)
    >>> statistic.update(torch.tensor([0.0, 4.0]), samples=2)
    >>> statistic()
    tensor([1.5000, 1.5000])
    """

    def __init__(
        self,
        name: str = "statistic",
        shape: tuple[int, ...] | None = None,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.name = name
        self.samples = 0
        self.updates = 0
        self.dtype = dtype
        self._shape = None if shape is None else tuple(shape)
        self._sum: Tensor | None = None  # may have zeros beyond the shape
        self._upper = False  # what is below the diagonal is what is above, mirrored
        self._in_place = False  # the sum was laid out for products that are added in place
        self._squares = 0.0  # Σ over parts (one or more updates each) of ‖sum of the part‖² / its samples
        self._parts = 0
        self._marks: list[tuple[Tensor, int]] = []  # some entries of the sum after a part, and its samples
        self._every = 1  # updates of a part
        self._unmarked = 0  # samples since the last mark

    def __call__(self) -> Tensor:
        """Sum divided by the number of samples.

        Raises:
            GrowthError: no sample has been counted yet.
        """
        return self.total / self.samples

    @property
    def total(self) -> Tensor:
        """The sum itself; raises GrowthError before the first sample."""
        if self._sum is None or self._shape is None or self.samples == 0:
            raise GrowthError(
                f"{self.name} has no samples yet: call init_computation(), then for each batch a forward "
                "pass, backward() of a sum-reduced loss and update_computation()"
            )
        total = self._sum[tuple(slice(size) for size in self._shape)]
        if not self._upper:
            return total
        return torch.where(torch.ones_like(total, dtype=torch.bool).triu(), total, total.T)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the value, None while it is not known."""
        return self._shape

    @property
    def nbytes(self) -> int:
        """The bytes that the sum takes."""
        return 0 if self._sum is None else self._sum.numel() * self._sum.element_size()

    def update(self, total: Moment, samples: int) -> None:
        """Count further samples.

        Args:
            total: the sum over these samples (not their mean), or a product to be added. It is copied, never kept.
            samples: how many there were, at least 0.

        Raises:
            GrowthError: a shape other than before, or a negative count.
        """
        shape = tuple(total.shape)
        if self._shape is not None and shape != self._shape:
            raise GrowthError(
                f"{self.name} has shape {self._shape} and got {shape}: reset it "
                "(init_computation) where the layer has changed its size"
            )
        if samples < 0:
            raise GrowthError(f"{self.name} got {samples} samples: expected at least 0")
        if samples == 0:
            return
        self._shape = shape
        if isinstance(total, Tensor):
            self._add(total.detach())
        else:
            self._add_in_place(total)
        self.samples += samples
        self.updates += 1
        self._judge(samples)

    def _add(self, total: Tensor) -> None:
        if self._sum is None:
            dtype = accumulation_dtype(total.dtype) if self.dtype is None else self.dtype
            self._sum = total.to(dtype, copy=True)
        else:
            self._sum[tuple(slice(size) for size in total.shape)] += total.to(self._sum.device)

    def _add_in_place(self, moment: Product | ParameterGradient) -> None:
        if self._sum is None and self.dtype is None:
            self._sum, self._upper, self._in_place = moment.zeros(), moment.upper, True
        if self._in_place and self._sum is not None:
            moment.add_to(self._sum)
        else:
            self._add(moment.value())

    def _judge(self, samples: int) -> None:
        """Remember some entries of the sum; the error is worked out from them when it is asked for.

        When there are many such marks every second one is forgotten, and further ones are set half as often.
        """
        if not self._marks:
            self._marks = [(torch.zeros_like(self._mark()), 0)]
        self._unmarked += samples
        if self.updates % self._every:
            return
        self._set_mark()
        if len(self._marks) > _MARKS:
            self._every *= 2
            first, *rest = self._marks
            pairs = zip(rest[::2], rest[1::2], strict=True)
            self._marks = [first, *((after, a + b) for (_, a), (after, b) in pairs)]

    def _mark(self) -> Tensor:
        assert self._sum is not None
        return _sampled(self._sum).clone()

    def _set_mark(self) -> None:
        self._marks.append((self._mark(), self._unmarked))
        self._unmarked = 0

    def _work_out(self) -> None:
        """Add the squares between the marks, and keep the last mark alone."""
        if self._unmarked:
            self._set_mark()
        if len(self._marks) > 1:
            marks = torch.stack([mark.flatten() for mark, _ in self._marks])
            squares = torch.linalg.vector_norm(marks.diff(dim=0), dim=1).square().tolist()
            counts = [samples for _, samples in self._marks[1:]]
            self._squares += sum(square / count for square, count in zip(squares, counts, strict=True))
            self._parts += len(counts)
            self._marks = [(self._marks[-1][0], 0)]

    @torch.no_grad()
    def merge(self, other: TensorStatistic) -> None:
        """Add the samples of another statistic, which stays as it is.

        Raises:
            GrowthError: the two have different shapes.
        """
        if other._sum is None:
            return
        if self._shape is not None and other._shape != self._shape:
            raise GrowthError(
                f"{self.name} has shape {self._shape} and {other.name} {other._shape}: expected the same"
            )
        self._work_out()
        other._work_out()
        if self._sum is None and self.dtype is None:
            self._sum, self._upper, self._in_place = other._sum.clone(), other._upper, other._in_place
        elif self._sum is not None and (self._upper, self._sum.shape) == (other._upper, other._sum.shape):
            self._sum += other._sum.to(self._sum.device)
        else:
            self._add(other.total)
        self._shape = other._shape
        self._squares += other._squares
        self._parts += other._parts
        self.samples += other.samples
        self.updates += other.updates
        self._marks = [(self._mark(), 0)]

    def counted(self) -> Counted:
        """The sum and the squares that its error is estimated from; a change of the sum changes the statistic.

        Raises:
            GrowthError: nothing has been counted yet.
        """
        self._work_out()
        if self._sum is None:
            raise GrowthError(f"{self.name} has no samples yet")
        return Counted(self._sum, self._upper, self._squares, self._parts)

    def recount(self, samples: int, updates: int, *, squares: float, parts: int) -> None:
        """Set the number of samples that the sum of `counted` stands for, after others were added to it."""
        self.samples, self.updates, self._squares, self._parts = samples, updates, squares, parts
        self._marks = [(self._mark(), 0)]

    def rescale(self, factor: float) -> None:
        """Multiply the sum, as if each sample had counted so much more."""
        if self._sum is None or factor == 1.0:
            return
        self._work_out()
        self._sum *= factor
        self._squares *= factor**2
        self._marks = [(self._mark(), 0)]

    @property
    def relative_error(self) -> float:
        """Estimated standard error of the mean over its size, both as Frobenius norms; infinite before two updates.

        The spread of the means of B parts of the samples, (Σ ‖sum_b‖²/n_b − ‖sum‖²/n) / (B − 1), is an estimate of the
        variance of one sample; a mean of n samples has 1/n of it. A part is an update, or several of many. Of a large
        tensor some entries stand for all.
        """
        self._work_out()
        if self._sum is None or self._parts < 2:
            return math.inf
        square = float(torch.linalg.vector_norm(_sampled(self._sum)).square()) / self.samples
        if square == 0.0:
            return 0.0 if self._squares == 0.0 else math.inf
        variance = max(0.0, self._squares - square) / (self._parts - 1)
        return math.sqrt(variance / square)

    def is_precise(self, error: float, *, least_updates: int = 4) -> bool:
        """True if there are enough samples for a relative error, judged from at least so many updates.

        >>> statistic = TensorStatistic("E[x]")
        >>> for _ in range(4):
        ...     statistic.update(torch.ones(3), samples=1)
        >>> statistic.is_precise(0.01)
        True
        """
        return self.updates >= least_updates and self.relative_error <= error

    def reset(self, shape: tuple[int, ...] | None = None) -> None:
        """Forget every sample, and the expected shape unless one is given."""
        self.samples = self.updates = 0
        self._sum, self._squares, self._parts = None, 0.0, 0
        self._marks, self._every, self._unmarked = [], 1, 0
        self._upper = self._in_place = False
        self._shape = shape

    def apply(self, convert: Callable[[Tensor], Tensor]) -> None:
        """Move or cast the sum (as `torch.nn.Module.to` does), but never below single precision."""
        if self._sum is not None:
            self._work_out()
            moved = convert(self._sum)
            self._sum = moved.to(accumulation_dtype(moved.dtype))
            self._marks = [(self._mark(), 0)]

    def __repr__(self) -> str:
        return f"TensorStatistic({self.name!r}, shape={self.shape}, samples={self.samples})"


def _sampled(tensor: Tensor) -> Tensor:
    """Evenly spaced rows of a large tensor, a small one as it is; a view."""
    if tensor.dim() == 0 or tensor.numel() <= _ENTRIES:
        return tensor
    some: Tensor = tensor[:: math.ceil(tensor.numel() / _ENTRIES)]
    return some


class SharedMoment:
    """A statistic that several modules keep up to date, counted once for each forward pass."""

    def __init__(self, name: str, shape: tuple[int, ...] | None = None) -> None:
        self.statistic = TensorStatistic(name, shape)
        self._counted: object | None = None
        self._held = False

    def hold(self, statistic: TensorStatistic) -> None:
        """Use a known statistic instead of counting, until the next reset."""
        self.statistic, self._held = statistic, True

    def update_once(self, forward_pass: object, compute: Callable[[], tuple[Moment, int]]) -> None:
        """Count the result of `compute`, unless this forward pass (an identity) was counted last."""
        if forward_pass is not self._counted and not self._held:
            self.statistic.update(*compute())
            self._counted = forward_pass

    def reset(self) -> None:
        """Forget every sample; a statistic that was held stays as it is for its owner."""
        if self._held:
            self.statistic, self._held = TensorStatistic(self.statistic.name), False
        self.statistic.reset()
        self._counted = None
