"""`adaptive_avg_pool1d`, `adaptive_avg_pool2d`: the means of a given number of windows, channel by channel."""

from __future__ import annotations

from typing import ClassVar, Literal

from gromo_graph.spec.kinds.adaptive_pool import AdaptivePool
from gromo_graph.spec.kinds.kind_registry import register_kind


class AdaptiveAvgPool1d(AdaptivePool):
    """Adaptive average pooling of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["adaptive_avg_pool1d"] = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(AdaptivePool):
    """Adaptive average pooling of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["adaptive_avg_pool2d"] = "adaptive_avg_pool2d"


register_kind(AdaptiveAvgPool1d, "gromo_graph.layers.adaptive_avg_pool:TORCH")
register_kind(AdaptiveAvgPool2d, "gromo_graph.layers.adaptive_avg_pool:TORCH")
