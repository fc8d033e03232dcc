"""Positions in windows: attention sees those of one window alone, as if each window were a sample of its own.

All of it calls methods of tensors with sizes that are known beforehand, so that an exported network computes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from gromo_graph.spec.kinds import Shape


@dataclass(frozen=True)
class Windows:
    """The windows of a sequence or an image.

    Attributes:
        sizes: of all positions along each axis. window: of those of one window, which divide them.
        spread: whether positions of a window stand at equal distances over the whole axis, or side by side.
        rolled: positions by which all have been moved to the front along each axis.
    """

    sizes: Shape
    window: Shape
    spread: bool = False
    rolled: Shape = ()

    @property
    def count(self) -> int:
        """Their number."""
        return prod(self.sizes) // prod(self.window)

    @property
    def _factors(self) -> list[tuple[int, int]]:
        """The sizes that each axis is divided into: windows and positions of one, or the other way round."""
        pairs = [(size // part, part) for size, part in zip(self.sizes, self.window, strict=True)]
        return [pair[::-1] for pair in pairs] if self.spread else pairs

    def parted(self, x: Any) -> Any:
        """(n, channels, *sizes) as (n · windows, channels, positions of a window)."""
        axes = len(self.sizes)
        for axis in reversed(range(axes)):
            x = x.unflatten(2 + axis, self._factors[axis])
        outer, inner = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
        by_window, by_place = (inner, outer) if self.spread else (outer, inner)
        x = x.permute(0, *by_window, 1, *by_place)
        return x.flatten(0, axes).flatten(2)

    def whole(self, x: Any) -> Any:
        """What `parted` gives as (n, channels, *sizes) again."""
        axes = len(self.sizes)
        numbers = [size // part for size, part in zip(self.sizes, self.window, strict=True)]
        x = x.unflatten(0, (-1, *numbers)).unflatten(axes + 2, self.window)
        order = [0, axes + 1]
        for axis in range(axes):
            pair = (1 + axis, axes + 2 + axis)
            order += pair[::-1] if self.spread else pair
        x = x.permute(order)
        for axis in range(axes):
            x = x.flatten(2 + axis, 3 + axis)
        return x

    @property
    def has_mask(self) -> bool:
        """True if some positions of a window do not see each other."""
        return any(self.rolled)

    def mask(self) -> Tensor:
        """(windows, i, j): −∞ for positions of a window between which an edge was before the roll, else 0."""
        sides = torch.zeros(self.sizes, dtype=torch.long)
        for axis, (size, shift) in enumerate(zip(self.sizes, self.rolled, strict=True)):
            came_around = (torch.arange(size) >= size - shift).long()
            sides = 2 * sides + came_around.reshape(
                [-1 if each == axis else 1 for each in range(len(self.sizes))]
            )
        side = self.parted(sides[None, None])[:, 0]
        return torch.zeros(()).masked_fill(side[:, :, None] != side[:, None, :], float("-inf"))
