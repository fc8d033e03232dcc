"""Conv1dGrowingModule and Conv2dGrowingModule, for people who know them by those names."""

from __future__ import annotations

from typing import Any

import torch

from gromo_graph.modules.growing import GrowingModule

Size = int | tuple[int, int]


class Conv2dGrowingModule(GrowingModule):
    """A GrowingModule around a new torch.nn.Conv2d.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, use_bias: of the layer.
        input_size: (height, width), where it is known.
        device, dtype: where and how to make it.
        options: any other argument of `GrowingModule`.

    >>> Conv2dGrowingModule(3, 8, 3, padding=1, name="stem").number_of_parameters()
    224
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        input_size: tuple[int, int] | None = None,
        use_bias: bool = True,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        layer = torch.nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            bias=use_bias,
            device=device,
            dtype=dtype,
        )
        super().__init__(layer, device=device, **options)
        if input_size is not None:
            self.update_input_size((in_channels, *input_size))


class Conv1dGrowingModule(GrowingModule):
    """A GrowingModule around a new torch.nn.Conv1d; arguments as for `Conv2dGrowingModule`, along one axis.

    >>> Conv1dGrowingModule(3, 8, 5, name="stem").number_of_parameters()
    128
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        input_size: int | None = None,
        use_bias: bool = True,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        layer = torch.nn.Conv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            bias=use_bias,
            device=device,
            dtype=dtype,
        )
        super().__init__(layer, device=device, **options)
        if input_size is not None:
            self.update_input_size((in_channels, input_size))
