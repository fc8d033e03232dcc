"""LinearGrowingModule, for people who know it by that name."""

from __future__ import annotations

from typing import Any

import torch

from gromo_graph.modules.growing import GrowingModule


class LinearGrowingModule(GrowingModule):
    """A GrowingModule around a new torch.nn.Linear.

    Args:
        in_features, out_features, use_bias: of the layer. device, dtype: where and how to make it.
        options: any other argument of `GrowingModule`.

    >>> LinearGrowingModule(3, 2, name="stem").number_of_parameters()
    8
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        use_bias: bool = True,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        layer = torch.nn.Linear(in_features, out_features, bias=use_bias, device=device, dtype=dtype)
        super().__init__(layer, device=device, **options)
