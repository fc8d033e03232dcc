"""Random changes of training images that leave their classes as they are.

They are drawn from a generator that is given, so that the images of an epoch follow from its seed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.spec.data_sections import Augment

_SMALLEST, _LARGEST = 0.02, 0.2  # shares of an image that are erased


def augmented(x: Tensor, how: Augment, drawn: torch.Generator) -> Tensor:
    """Standardised images, (samples, channels, height, width), each changed in its own way.

    Args:
        x: stays as it is. how: the changes. drawn: where chance comes from, on the CPU.
    """
    if how.flip:
        x = _flipped(x, drawn)
    if how.crop:
        x = _cropped(x, how.crop, drawn)
    if how.erase:
        x = _erased(x, how.erase, drawn)
    return x


def _flipped(x: Tensor, drawn: torch.Generator) -> Tensor:
    """Half of them mirrored, left for right."""
    mirrored = torch.rand(len(x), generator=drawn).to(x.device) < 0.5
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def _cropped(x: Tensor, margin: int, drawn: torch.Generator) -> Tensor:
    """Moved by up to `margin` pixels in each direction; what comes in is 0, the mean of the channel."""
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(x, (margin,) * 4)
    tops, lefts = torch.randint(0, 2 * margin + 1, (2, len(x)), generator=drawn).to(x.device)
    rows = (tops[:, None] + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (lefts[:, None] + torch.arange(width, device=x.device))[:, None, None, :]
    samples = torch.arange(len(x), device=x.device)[:, None, None, None]
    channels = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return padded[samples, channels, rows, columns]


def _erased(x: Tensor, share: float, drawn: torch.Generator) -> Tensor:
    """A rectangle of a `share` of the images set to 0: 2 to 20 % of the image, with sides of at most 1 to 3."""
    height, width = x.shape[-2:]
    area, ratio, top, left, chosen = torch.rand(5, len(x), generator=drawn)
    area = _SMALLEST + (_LARGEST - _SMALLEST) * area
    ratio = 3.0 ** (2.0 * ratio - 1.0)
    tall = ((area * ratio).sqrt() * height).round().clamp(1, height)
    wide = ((area / ratio).sqrt() * width).round().clamp(1, width)
    top, left = (top * (height - tall + 1)).floor(), (left * (width - wide + 1)).floor()
    rows, columns = torch.arange(height)[None], torch.arange(width)[None]
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    erased = in_rows[:, :, None] & in_columns[:, None, :] & (chosen < share)[:, None, None]
    return x.masked_fill(erased[:, None].to(x.device), 0.0)
