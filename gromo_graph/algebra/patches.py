"""The rows of a convolution: what a sliding kernel reads at each position of a grid.

An image is (n, channels, height, width); a sequence has height 1, and the rows of a linear layer are images of one
position. So one description serves every layer: row q of a grid reads the image at stride · q + offset, along each
axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from gromo_graph.algebra.deferred_product import PaddedRows, padded_rows
from gromo_graph.algebra.moments import accumulation_dtype
from gromo_graph.errors import GrowthError

Offsets = tuple[tuple[int, ...], tuple[int, ...]]
"""The offsets that a row reads relative to its position, along height and width."""
AxisWeights = tuple[tuple[float, ...], tuple[float, ...]]
"""The weight of each position of a grid, along height and width; the two are multiplied."""

ONE_POSITION: AxisWeights = ((1.0,), (1.0,))


@dataclass(frozen=True)
class Patches:
    """Rows b_q of an image, one for each sample and each position q of a grid.

    Attributes:
        image: (n, channels, height, width).
        offsets, stride: the row at q reads the image at stride · q + offset; outside of it there are zeros.
        grid: number of positions along height and width.
        constant: whether a row ends with a constant 1.
        spread: the values of the image stand so far apart, with zeros between (`spread_out`).
    """

    image: Tensor
    offsets: Offsets = ((0,), (0,))
    stride: tuple[int, int] = (1, 1)
    grid: tuple[int, int] = (1, 1)
    constant: bool = False
    spread: tuple[int, int] = (1, 1)

    @property
    def columns(self) -> int:
        """Length of a row."""
        return self.image.shape[1] * self.taps + self.constant

    @property
    def taps(self) -> int:
        """Values a row reads of each channel."""
        return len(self.offsets[0]) * len(self.offsets[1])

    @property
    def everywhere(self) -> AxisWeights:
        """Each position of the grid once."""
        return ((1.0,) * self.grid[0], (1.0,) * self.grid[1])

    @property
    def is_matrix(self) -> bool:
        """One position and one tap: the rows are the samples and nothing slides."""
        one = (1, 1)
        return self.offsets == ((0,), (0,)) and self.grid == one and tuple(self.image.shape[2:]) == one

    @cached_property
    def rows(self) -> PaddedRows:
        """The rows of a matrix with their constant; made once, for all products that need them."""
        return padded_rows(self.image[:, :, 0, 0], constant=self.constant)

    @property
    def together(self) -> Tensor:
        """The image without the zeros between its values."""
        return self.image[:, :, :: self.spread[0], :: self.spread[1]]

    def of(self, image: Tensor) -> Patches:
        """The same reading of another image."""
        return replace(self, image=image)


def rows_of_matrix(matrix: Tensor, *, constant: bool = False) -> Patches:
    """The rows of a matrix (rows, features) as patches of one position.

    >>> rows_of_matrix(torch.zeros(5, 3), constant=True).columns
    4
    """
    return Patches(measured_image(matrix[:, :, None, None]), constant=constant)


def patch_matrix(patches: Patches, *, constant: Tensor | None = None) -> Tensor:
    """All rows, (n, columns, positions): channels outermost, then the offsets, the constant last.

    Args:
        patches: what to read.
        constant: (n,) values that stand for the constant 1 of each sample; None is 1.

    >>> image = torch.arange(3.0).reshape(1, 1, 1, 3)
    >>> patch_matrix(Patches(image, ((0,), (-1, 0)), grid=(1, 3), constant=True))
    tensor([[[0., 0., 1.],
             [0., 1., 2.],
             [1., 1., 1.]]])
    """
    rows, columns = (range(size) for size in patches.grid)
    found = gather(patches.image, patches.offsets, patches.stride, rows, columns)
    n, positions = patches.image.shape[0], len(rows) * len(columns)
    values = found.permute(3, 0, 1, 2, 4, 5).reshape(n, patches.image.shape[1] * patches.taps, positions)
    if not patches.constant:
        return values
    last = values.new_ones(n) if constant is None else constant.to(values)
    return torch.cat((values, last[:, None, None].expand(n, 1, positions)), dim=1)


def gather(
    image: Tensor, offsets: Offsets, stride: tuple[int, int], rows: Sequence[int], columns: Sequence[int]
) -> Tensor:
    """The values that the positions rows × columns read, with zeros outside the image.

    Returns:
        (channels, offsets, offsets, n, rows, columns).
    """
    reads = [
        [stride[axis] * q + offset for q in positions]
        for axis, positions in ((0, rows), (1, columns))
        for offset in offsets[axis]
    ]
    padded, shift = _padded(image, reads[: len(offsets[0])], reads[len(offsets[0]) :])
    ways = [
        _way([position + shift[axis] for position in read], image) for axis, read in _by_axis(reads, offsets)
    ]
    n, channels = image.shape[:2]
    found = image.new_empty(channels, len(offsets[0]), len(offsets[1]), n, len(rows), len(columns))
    for i, height in enumerate(ways[: len(offsets[0])]):
        band = padded[:, :, height]
        for j, width in enumerate(ways[len(offsets[0]) :]):
            found[:, i, j] = band[:, :, :, width].transpose(0, 1)
    return found


def _by_axis(reads: list[list[int]], offsets: Offsets) -> list[tuple[int, list[int]]]:
    return [(int(place >= len(offsets[0])), read) for place, read in enumerate(reads)]


def _padded(image: Tensor, *reads: list[list[int]]) -> tuple[Tensor, tuple[int, int]]:
    """The image with as much margin as is read, and how far that moves its positions."""
    margins = []
    for axis in (0, 1):
        flat = [position for read in reads[axis] for position in read]
        size = image.shape[2 + axis]
        margins.append((max(0, -min(flat, default=0)), max(0, max(flat, default=0) - size + 1)))
    if any(margins[0]) or any(margins[1]):
        image = pad(image, (*margins[1], *margins[0]))
    return image, (margins[0][0], margins[1][0])


def _way(positions: list[int], image: Tensor) -> slice | Tensor:
    """Positions as a slice if they are evenly spaced (no copy), else as an index."""
    if not positions:
        return slice(0, 0)
    step = positions[1] - positions[0] if len(positions) > 1 else 1
    if step > 0 and positions == list(range(positions[0], positions[-1] + 1, step)):
        return slice(positions[0], positions[-1] + 1, step)
    return torch.tensor(positions, device=image.device)


def spread_out(image: Tensor, stride: tuple[int, int]) -> Tensor:
    """Zeros between the positions, so that position r moves to stride · r.

    >>> spread_out(torch.ones(1, 1, 1, 2), (1, 2))
    tensor([[[[1., 0., 1.]]]])
    """
    if stride == (1, 1):
        return image
    n, channels, height, width = image.shape
    sizes = ((height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1)
    wide = image.new_zeros(n, channels, *sizes)
    wide[:, :, :: stride[0], :: stride[1]] = image
    return wide


def measured_image(image: Tensor) -> Tensor:
    """An image detached and in the dtype sums are kept in; (n, channels, height, width)."""
    if image.dim() != 4:
        raise GrowthError(
            f"an image has shape {tuple(image.shape)}: expected (n, channels, height, width), and channels and "
            "length for a sequence"
        )
    return image.detach().to(accumulation_dtype(image.dtype))
