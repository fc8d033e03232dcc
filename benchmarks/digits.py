"""The digits of scikit-learn, in one order for all."""

from __future__ import annotations

import sklearn.datasets
import torch
from torch import Tensor


def shuffled_digits() -> tuple[Tensor, Tensor]:
    """The pixels of all images, (1797, 64) between 0 and 1, and their classes, (1797,)."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return torch.tensor(x / 16.0, dtype=torch.float32)[order], torch.tensor(y)[order]
