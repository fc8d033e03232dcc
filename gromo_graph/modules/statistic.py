"""A mean that is kept as a sum and a count, so that parts of it add up exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gromo_graph.algebra import accumulation_dtype
from gromo_graph.errors import GrowthError


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
        self._expected = None if shape is None else tuple(shape)
        self._total: Tensor | None = None
        self._squares: Tensor | None = None  # Σ over updates of ‖sum of the update‖² / its samples

    def __call__(self) -> Tensor:
        """Sum divided by the number of samples.

        Raises:
            GrowthError: no sample has been counted yet.
        """
        return self.total / self.samples

    @property
    def total(self) -> Tensor:
        """The sum itself; raises GrowthError before the first sample."""
        if self._total is None or self.samples == 0:
            raise GrowthError(
                f"{self.name} has no samples yet: call init_computation(), then for each batch a forward "
                "pass, backward() of a sum-reduced loss and update_computation()"
            )
        return self._total

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the value, None while it is not known."""
        return self._expected if self._total is None else tuple(self._total.shape)

    @torch.no_grad()
    def update(self, total: Tensor, samples: int) -> None:
        """Count further samples.

        Args:
            total: the sum over these samples (not their mean). It is copied, never kept.
            samples: how many there were, at least 0.

        Raises:
            GrowthError: a shape other than before, or a negative count.
        """
        if self.shape is not None and tuple(total.shape) != self.shape:
            raise GrowthError(
                f"{self.name} has shape {self.shape} and got {tuple(total.shape)}: reset it "
                "(init_computation) where the layer has changed its size"
            )
        if samples < 0:
            raise GrowthError(f"{self.name} got {samples} samples: expected at least 0")
        if samples > 0:
            norm = torch.linalg.vector_norm(total.detach(), dtype=accumulation_dtype(total.dtype))
            self._count(total, samples, norm.square() / samples, 1)

    def _count(self, total: Tensor, samples: int, squares: Tensor, updates: int) -> None:
        if self._total is None or self._squares is None:
            dtype = accumulation_dtype(total.dtype) if self.dtype is None else self.dtype
            self._total = total.detach().to(dtype, copy=True)
            self._squares = squares.clone()
        else:
            self._total += total.detach().to(self._total.device)
            self._squares += squares.to(self._squares.device)
        self.samples += samples
        self.updates += updates

    def merge(self, other: TensorStatistic) -> None:
        """Add what another statistic has counted; the other one stays as it is."""
        if other._total is not None and other._squares is not None:
            if self.shape is not None and other.shape != self.shape:
                raise GrowthError(
                    f"{self.name} has shape {self.shape} and {other.name} {other.shape}: expected the same"
                )
            self._count(other._total, other.samples, other._squares, other.updates)

    @property
    def relative_error(self) -> float:
        """Estimated standard error of the mean over its size, both as Frobenius norms; infinite before two updates.

        The spread of the means of B updates, (Σ ‖sum_b‖²/n_b − ‖sum‖²/n) / (B − 1), is an estimate of the variance of one
        sample; a mean of n samples has 1/n of it.
        """
        if self._total is None or self._squares is None or self.updates < 2:
            return math.inf
        square = float(torch.linalg.vector_norm(self._total).square()) / self.samples
        if square == 0.0:
            return 0.0 if float(self._squares) == 0.0 else math.inf
        variance = max(0.0, float(self._squares) - square) / (self.updates - 1)
        return math.sqrt(variance / square)

    def is_precise(self, error: float, *, least_updates: int = 4) -> bool:
        """Whether there are enough samples for a relative error, judged from at least so many updates.

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
        self._total = self._squares = None
        self._expected = shape

    def apply(self, convert: Callable[[Tensor], Tensor]) -> None:
        """Move or cast the sum (as `torch.nn.Module.to` does), but never below single precision."""
        if self._total is not None and self._squares is not None:
            moved = convert(self._total)
            self._total = moved.to(accumulation_dtype(moved.dtype))
            self._squares = self._squares.to(self._total)

    def __repr__(self) -> str:
        return f"TensorStatistic({self.name!r}, shape={self.shape}, samples={self.samples})"


class SharedMoment:
    """A statistic that several modules keep up to date, counted once for each forward pass."""

    def __init__(self, name: str, shape: tuple[int, ...] | None = None) -> None:
        self.statistic = TensorStatistic(name, shape)
        self._counted: object | None = None

    def update_once(self, forward_pass: object, compute: Callable[[], tuple[Tensor, int]]) -> None:
        """Count what `compute` gives unless this forward pass (an identity) was the last one counted."""
        if forward_pass is not self._counted:
            self.statistic.update(*compute())
            self._counted = forward_pass

    def reset(self) -> None:
        self.statistic.reset()
        self._counted = None
