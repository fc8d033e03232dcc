"""Rows behind a linear resampling of their positions, as by a pool, without writing down the rows before it.

Such a resampling is one matrix along the height and one along the width, and so is each tap of a kernel: the two
together are again one matrix along each axis, that is applied to the image once (docs/maths.md, "Convolutions").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph.algebra.patches import Patches


@dataclass(frozen=True)
class AxisMaps:
    """A linear map of positions that is one matrix along each axis, the same for each channel.

    Attributes:
        height, width: (new positions, old positions).
    """

    height: Tensor
    width: Tensor


def resampled_rows(patches: Patches, maps: AxisMaps, constant: Tensor | None = None) -> Tensor:
    """All rows behind a resampling, as an image (n, columns, new height, new width).

    Args:
        patches: the rows before it, one for each position of their grid.
        constant: as for `patch_matrix`.

    >>> image = torch.arange(4.0).reshape(1, 1, 1, 4)
    >>> mean = AxisMaps(torch.ones(1, 1), torch.full((1, 4), 0.25))
    >>> resampled_rows(Patches(image, ((0,), (0, 1)), grid=(1, 4)), mean).flatten()
    tensor([1.5000, 1.5000])
    """
    image = patches.image
    n, channels, rows, columns = image.shape
    height = _by_tap(maps.height, patches, 0).to(image)
    width = _by_tap(maps.width, patches, 1).to(image)
    narrow = (image.reshape(-1, columns) @ width.flatten(0, 1).T).reshape(n * channels, rows, -1)
    small = torch.matmul(height.flatten(0, 1), narrow)
    # (n, channels, tap, height, tap, width), the taps brought together
    values = small.reshape(n, channels, *height.shape[:2], *width.shape[:2]).transpose(3, 4)
    values = values.reshape(n, channels * patches.taps, height.shape[1], width.shape[1])
    if not patches.constant:
        return values
    ones = image.new_ones(n) if constant is None else constant.to(image)
    sums = maps.height.sum(dim=1)[:, None] * maps.width.sum(dim=1)
    return torch.cat((values, ones[:, None, None, None] * sums.to(image)), dim=1)


def _by_tap(matrix: Tensor, patches: Patches, axis: int) -> Tensor:
    """The matrix behind each tap along an axis, (taps, new positions, positions of the image)."""
    size = patches.image.shape[2 + axis]
    found = matrix.new_zeros(len(patches.offsets[axis]), matrix.shape[0], size)
    starts = patches.stride[axis] * torch.arange(patches.grid[axis], device=matrix.device)
    for tap, offset in enumerate(patches.offsets[axis]):
        inside = (starts + offset >= 0) & (starts + offset < size)
        found[tap][:, (starts + offset)[inside]] = matrix[:, inside]
    return found
