"""LinearMergeGrowingModule and Conv2dMergeGrowingModule, for people who know them by those names."""

from __future__ import annotations

from typing import Any

from gromo_graph.errors import GrowthError
from gromo_graph.modules.merge import MergeGrowingModule


class LinearMergeGrowingModule(MergeGrowingModule):
    """A sum of rows of features.

    Args:
        in_features: their number, checked against the modules around it; never needed.
        options: the arguments of `MergeGrowingModule`.

    Raises:
        GrowthError: modules around it have another width.

    >>> LinearMergeGrowingModule(4, name="join").merge
    'sum'
    """

    def __init__(self, in_features: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        _check_width(self, in_features, "features")


class Conv2dMergeGrowingModule(MergeGrowingModule):
    """A sum of images.

    Args:
        in_channels: their number, checked against the modules around it; never needed.
        options: the arguments of `MergeGrowingModule`.

    Raises:
        GrowthError: modules around it have another width.

    >>> Conv2dMergeGrowingModule(4, name="join").merge
    'sum'
    """

    def __init__(self, in_channels: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        _check_width(self, in_channels, "channels")


def _check_width(merge: MergeGrowingModule, width: int | None, what: str) -> None:
    known = merge.previous_modules or merge.next_modules
    if width is not None and known and merge.own_width != width:
        raise GrowthError(
            f"{merge.name} is made for {width} {what} and those around it have {merge.own_width}: expected as many"
        )
