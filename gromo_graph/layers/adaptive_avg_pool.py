"""`adaptive_avg_pool1d`, `adaptive_avg_pool2d`: the means of a given number of windows, channel by channel."""

from __future__ import annotations

from torch.nn import AdaptiveAvgPool1d, AdaptiveAvgPool2d

from gromo_graph.layers.adaptive_pool import adaptive_half
from gromo_graph.layers.pool import Resampling
from gromo_graph.spec import kinds

TORCH = adaptive_half(
    (kinds.AdaptiveAvgPool1d, kinds.AdaptiveAvgPool2d),
    (AdaptiveAvgPool1d, AdaptiveAvgPool2d),
    Resampling,
    whole="mean",
    taken="mean",
)
