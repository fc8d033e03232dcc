"""A mean that is kept as a sum and a count, so that parts of it add up exactly."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gromo_graph.algebra import accumulation_dtype
from gromo_graph.errors import GrowthError


class TensorStatistic:
    """A running sum of a tensor over samples; calling it gives the mean.

    Args:
        name: what it is, for messages, e.g. "S of stem".
        shape: expected shape; None takes the shape of the first update.

    >>> statistic = TensorStatistic("E[x]")
    >>> statistic.update(torch.tensor([6.0, 2.0]), samples=2)
    >>> statistic.update(torch.tensor([0.0, 4.0]), samples=2)
    >>> statistic()
    tensor([1.5000, 1.5000])
    """

    def __init__(self, name: str = "statistic", shape: tuple[int, ...] | None = None) -> None:
        self.name = name
        self.samples = 0
        self._expected = None if shape is None else tuple(shape)
        self._total: Tensor | None = None

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
        if self._total is None:
            dtype = accumulation_dtype(total.dtype)
            self._total = total.detach().to(dtype, copy=True)
        else:
            self._total += total.detach().to(self._total.device)
        self.samples += samples

    def merge(self, other: TensorStatistic) -> None:
        """Add what another statistic has counted; the other one stays as it is."""
        if other._total is not None:
            self.update(other._total, other.samples)

    def reset(self, shape: tuple[int, ...] | None = None) -> None:
        """Forget every sample, and the expected shape unless one is given."""
        self.samples = 0
        self._total = None
        self._expected = shape

    def apply(self, convert: Callable[[Tensor], Tensor]) -> None:
        """Move or cast the sum (as `torch.nn.Module.to` does), but never below single precision."""
        if self._total is not None:
            moved = convert(self._total)
            self._total = moved.to(accumulation_dtype(moved.dtype))

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
