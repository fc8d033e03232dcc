"""torch.nn.Conv1d and Conv2d: rows are the positions of the output, columns what the kernel reads there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Conv1d, Conv2d, functional

from gromo_graph.algebra import Patches, measured_image, spread_out
from gromo_graph.errors import GrowthError
from gromo_graph.layers.base import Kernel, register
from gromo_graph.layers.weighted import Weighted, bare
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.convolution import Convolution
from gromo_graph.spec.kinds.window import Axis, same_padding

_KINDS: dict[str, Callable[..., torch.nn.Module]] = {"conv1d": Conv1d, "conv2d": Conv2d}
_FLAT = Axis(1)


class PointConv1d(Conv1d):
    """A convolution with a kernel of 1 that moves nothing: a linear layer at each position, and computed as one.

    On a CPU that takes a fraction of the time, above all between other such layers: what one gives lies in memory as
    the next one reads it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(n, channels, length) -> (n, features, length), a view with the features last."""
        return functional.linear(input.transpose(1, 2), self.weight[:, :, 0], self.bias).transpose(1, 2)


def build(node: Convolution, inputs: Sequence[kinds.Shape]) -> torch.nn.Module:
    """The torch layer of a convolution; its weights are drawn by the compiler, from a generator."""
    at_each = node.kind == "conv1d" and (node.kernel, node.stride) == (1, 1) and not node.axis().before
    layer: torch.nn.Module = torch.nn.utils.skip_init(
        PointConv1d if at_each else _KINDS[node.kind],
        inputs[0][0],
        node.features,
        node.kernel,
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        bias=node.bias,
    )
    return layer


class ConvolutionAdapter(Weighted):
    """Implements `LayerAdapter` for convolutions of one group over zeros as padding.

    Args:
        layer_type: the torch class. dimensions: axes it slides over; one is taken for the width of an image of
            height 1.
    """

    feature_dim: int = 1
    _too_small = "is smaller than the kernel"

    def __init__(self, layer_type: type[torch.nn.Module], dimensions: int) -> None:
        self.layer_type = layer_type
        self.dimensions = dimensions

    def check(self, layer: Any) -> None:
        if layer.groups != 1:
            raise GrowthError(
                f"{layer} has {layer.groups} groups: expected groups=1; a depthwise convolution has no width of its "
                "own, let it follow a layer as part of its post_layer_function"
            )
        if layer.padding_mode != "zeros":
            raise GrowthError(f"{layer} pads with {layer.padding_mode!r}: expected padding_mode='zeros'")

    def moment_key(self, layer: Any) -> Hashable:
        return ("convolution", self.axes(layer), self.has_bias(layer))

    def axes(self, layer: Any) -> tuple[Axis, Axis]:
        axes = [
            Axis(kernel, stride, *_padding(layer, axis), dilation)
            for axis, (kernel, stride, dilation) in enumerate(
                zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
            )
        ]
        return (axes[0], axes[1]) if self.dimensions == 2 else (_FLAT, axes[0])

    def patches(self, layer: Any, x: Tensor) -> Patches:
        image = self._image(x, self.in_neurons(layer), "an input")
        height, width = self.axes(layer)
        grid = (height.outputs(image.shape[2]), width.outputs(image.shape[3]))
        if min(grid) < 1:
            raise GrowthError(f"an input of shape {tuple(x.shape)} {self._too_small} of {layer}")
        spread = (height.spread, width.spread)
        return Patches(
            spread_out(image, spread),
            (height.offsets, width.offsets),
            (height.stride, width.stride),
            grid,
            self.has_bias(layer),
            spread,
        )

    def output_image(self, layer: Any, a: Tensor) -> Tensor:
        return self._image(a, self.out_neurons(layer), "a gradient")

    def fan_out_weight(self, layer: Any, omega: Tensor, kernel: Kernel) -> Tensor:
        out, _, neurons = omega.shape
        sizes = tuple(layer.kernel_size)
        if kernel == "full":
            return omega.transpose(1, 2).reshape(out, neurons, *sizes)
        weight = omega.new_zeros(out, neurons, *sizes)
        middle = tuple((size - 1) // 2 for size in sizes)
        weight[(slice(None), slice(None), *middle)] = omega[:, 0]
        return weight

    def empty_like(self, layer: Any, weight: Tensor, bias: bool) -> torch.nn.Module:
        new = bare(
            PointConv1d if isinstance(layer, PointConv1d) else self.layer_type,
            kernel_size=layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            bias=bias,
        )
        new.out_channels, new.in_channels = weight.shape[:2]  # type: ignore[assignment]
        return new

    def write_sizes(self, layer: Any) -> None:
        layer.out_channels, layer.in_channels = layer.weight.shape[:2]

    def with_constant(self, layer: Any, x: Tensor) -> Tensor:
        return torch.cat((x, x.new_ones(x.shape[0], 1, *x.shape[2:])), dim=1)

    def input_size(self, layer: Any, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape[1:])

    def check_input_size(self, layer: Any, size: tuple[int, ...]) -> None:
        if len(size) != 1 + self.dimensions or size[0] != self.in_neurons(layer):
            raise GrowthError(
                f"an input size of {size} does not fit the layer: expected {self.in_neurons(layer)} channels and "
                f"{self.dimensions} further sizes (of one sample, without the batch)"
            )

    def _image(self, tensor: Tensor, channels: int, what: str) -> Tensor:
        if tensor.dim() != 2 + self.dimensions or tensor.shape[1] != channels:
            raise GrowthError(
                f"{what} of shape {tuple(tensor.shape)} does not fit the layer: expected (n, {channels}, "
                + ("height, width)" if self.dimensions == 2 else "length)")
            )
        return measured_image(tensor if self.dimensions == 2 else tensor[:, :, None, :])


def _padding(layer: Any, axis: int) -> tuple[int, int]:
    if layer.padding == "same":
        return same_padding(layer.kernel_size[axis], layer.dilation[axis])
    if layer.padding == "valid":
        return (0, 0)
    return (layer.padding[axis], layer.padding[axis])


register(ConvolutionAdapter(Conv1d, 1))
register(ConvolutionAdapter(Conv2d, 2))
