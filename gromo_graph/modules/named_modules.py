"""Thin constructors for people who know growing modules by these names; nothing in the library calls them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from gromo_graph.errors import GrowthError
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.modules.merge_module import MergeGrowingModule

Size = int | tuple[int, ...]


class ConvGrowingModule(GrowingModule):
    """A GrowingModule around a new convolution of the kind that a subclass names.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, use_bias: of the layer.
        input_size: the sizes beside the channels, if they are known.
        device, dtype: where and how to make it.
        options: any other argument of `GrowingModule`.
    """

    layer_type: ClassVar[Any]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        input_size: Size | None = None,
        use_bias: bool = True,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        layer = self.layer_type(
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
            sizes = (input_size,) if isinstance(input_size, int) else input_size
            self.update_input_size((in_channels, *sizes))


class Conv2dGrowingModule(ConvGrowingModule):
    """Around a torch.nn.Conv2d; `input_size` is (height, width). See `ConvGrowingModule` for the arguments.

    >>> Conv2dGrowingModule(3, 8, 3, padding=1, name="stem").number_of_parameters()
    224
    """

    layer_type = torch.nn.Conv2d


class Conv1dGrowingModule(ConvGrowingModule):
    """Around a torch.nn.Conv1d; `input_size` is the length. See `ConvGrowingModule` for the arguments.

    >>> Conv1dGrowingModule(3, 8, 5, name="stem").number_of_parameters()
    128
    """

    layer_type = torch.nn.Conv1d


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
