"""Σ u vᵀ over chosen positions of two images, the rows written down a few samples at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gromo_graph.algebra.patches import AxisWeights, Offsets, Patches, gather

# Values that may be gathered at once; samples are taken in portions so that no more are.
_GATHERED = {"cpu": 1 << 20, "cuda": 1 << 26}


@dataclass(frozen=True)
class View:
    """Another reading of an image at the positions of a common grid, each counted with a weight.

    Attributes:
        offsets, stride, constant: as in `Patches`.
        weights: how often each position counts.
    """

    offsets: Offsets
    weights: AxisWeights
    stride: tuple[int, int] = (1, 1)
    constant: bool = False

    @property
    def taps(self) -> int:
        """Values read of each channel."""
        return len(self.offsets[0]) * len(self.offsets[1])


def row_by_row(
    left: Patches,
    image: Tensor,
    view: View,
    rows: Sequence[int],
    columns: Sequence[int],
    weights: Sequence[Sequence[float]],
) -> Tensor:
    """The products of the rows at some positions, written down a few samples at a time.

    Returns:
        (channels, offsets, offsets, other channels, offsets, offsets).
    """
    width, other = left.image.shape[1] * left.taps, image.shape[1] * view.taps
    total = left.image.new_zeros(width, other)
    if rows and columns and width and other:
        portion = max(1, _gathered_values(image) // ((width + other) * len(rows) * len(columns)))
        usual = weights[0][0]
        alike = all(weight == usual for row in weights for weight in row)
        factor = None if alike else image.new_tensor(weights)
        same = left.image is image and (left.offsets, left.stride) == (view.offsets, view.stride)
        for x, y in zip(left.image.split(portion), image.split(portion), strict=True):
            u = gather(x, left.offsets, left.stride, rows, columns)
            v = u if same else gather(y, view.offsets, view.stride, rows, columns)
            if factor is not None:
                v = v * factor
            total.addmm_(u.reshape(width, -1), v.reshape(other, -1).T)
        if alike and usual != 1.0:
            total *= usual
    return total.reshape(
        left.image.shape[1], *map(len, left.offsets), image.shape[1], *map(len, view.offsets)
    )


def _gathered_values(image: Tensor) -> int:
    return _GATHERED.get(image.device.type, _GATHERED["cuda"])


def at_weighted_positions(left: Patches, image: Tensor, view: View) -> Tensor:
    rows, columns = ([q for q, weight in enumerate(axis) if weight] for axis in view.weights)
    weights = [[view.weights[0][q] * view.weights[1][p] for p in columns] for q in rows]
    return row_by_row(left, image, view, rows, columns, weights)
