"""`avg_pool1d`, `avg_pool2d`: the mean of each window, channel by channel."""

from __future__ import annotations

from typing import ClassVar, Literal

from gromo_graph.spec.kinds.pool import Pool
from gromo_graph.spec.kinds.registry import register_kind


class AvgPool1d(Pool):
    """The mean of each window of a sequence, zeros of the padding included."""

    dimensions: ClassVar[int] = 1
    kind: Literal["avg_pool1d"] = "avg_pool1d"


class AvgPool2d(Pool):
    """The mean of each window of an image, zeros of the padding included."""

    dimensions: ClassVar[int] = 2
    kind: Literal["avg_pool2d"] = "avg_pool2d"


register_kind(AvgPool1d, "gromo_graph.layers.avg_pool:TORCH")
register_kind(AvgPool2d, "gromo_graph.layers.avg_pool:TORCH")
