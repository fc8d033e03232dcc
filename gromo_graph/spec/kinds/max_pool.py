"""`max_pool1d`, `max_pool2d`: the largest value of each window, channel by channel."""

from __future__ import annotations

from typing import ClassVar, Literal

from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.pool import Pool


class MaxPool1d(Pool):
    """The largest value of each window of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["max_pool1d"] = "max_pool1d"


class MaxPool2d(Pool):
    """The largest value of each window of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["max_pool2d"] = "max_pool2d"


register_kind(MaxPool1d, "gromo_graph.layers.max_pool:TORCH")
register_kind(MaxPool2d, "gromo_graph.layers.max_pool:TORCH")
