"""Random changes of training images: other ones in each epoch.

They are drawn from a generator that is given, so that the images of an epoch follow from its seed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gromo_graph.spec.data_sections import Augment

_SMALLEST, _LARGEST = 0.02, 0.2  # shares of an image that are erased


def augmented(x: Tensor, y: Tensor, how: Augment, drawn: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch of standardised images with their targets, each changed in its own way.

    Args:
        x: (samples, channels, height, width). y: (samples, ...). Both stay as they are.
        how: the changes. drawn: where chance comes from, on the CPU.
    """
    if how.flip:
        x = _flipped(x, drawn)
    if how.crop:
        x = _cropped(x, how.crop, drawn)
    if how.erase:
        x = _erased(x, how.erase, drawn)
    return _mixed(x, y, how.mixup, drawn) if how.mixup else (x, y)


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


def _mixed(x: Tensor, y: Tensor, alpha: float, drawn: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mixup: λ x_i + (1 − λ) x_j with λ from Beta(α, α), and the target y_i with probability λ, else y_j.

    So the expected loss is λ ℓ(y_i) + (1 − λ) ℓ(y_j), that of mixed targets, and targets stay what they are.
    """
    seed = int(torch.randint(0, 2**31, (1,), generator=drawn))
    weights = np.random.RandomState(seed).beta(alpha, alpha, len(x))
    share = torch.from_numpy(weights).to(x)
    others = torch.randperm(len(x), generator=drawn).to(x.device)
    own = (torch.rand(len(x), generator=drawn).to(x) < share).reshape(-1, *[1] * (y.dim() - 1))
    share = share[:, None, None, None]
    return share * x + (1.0 - share) * x[others], torch.where(own, y, y[others])
