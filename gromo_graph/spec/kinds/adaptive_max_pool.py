"""`adaptive_max_pool1d`, `adaptive_max_pool2d`: the largest value of a given number of windows, channel by channel."""

from __future__ import annotations

from typing import ClassVar, Literal

from gromo_graph.spec.kinds.adaptive_pool import AdaptivePool
from gromo_graph.spec.kinds.kind_registry import register_kind


class AdaptiveMaxPool1d(AdaptivePool):
    """Adaptive max pooling of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["adaptive_max_pool1d"] = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(AdaptivePool):
    """Adaptive max pooling of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["adaptive_max_pool2d"] = "adaptive_max_pool2d"


register_kind(AdaptiveMaxPool1d, "gromo_graph.layers.adaptive_max_pool:TORCH")
register_kind(AdaptiveMaxPool2d, "gromo_graph.layers.adaptive_max_pool:TORCH")
