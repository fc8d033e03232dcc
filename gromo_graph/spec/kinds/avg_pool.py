"""`avg_pool1d`, `avg_pool2d`: the mean of each window, channel by channel."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.pool import Pool


class AvgPool(Pool):
    """A pool that takes means."""

    count_include_pad: bool = Field(True, description="Count the zeros of the padding in the mean.")


class AvgPool1d(AvgPool):
    """The mean of each window of a sequence."""

    dimensions: ClassVar[int] = 1
    kind: Literal["avg_pool1d"] = "avg_pool1d"


class AvgPool2d(AvgPool):
    """The mean of each window of an image."""

    dimensions: ClassVar[int] = 2
    kind: Literal["avg_pool2d"] = "avg_pool2d"


register_kind(AvgPool1d, "gromo_graph.layers.avg_pool:TORCH")
register_kind(AvgPool2d, "gromo_graph.layers.avg_pool:TORCH")
