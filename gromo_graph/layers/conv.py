"""`conv1d`, `conv2d`: rows are the positions of the output, columns the values that the kernel reads there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Conv1d, Conv2d, functional

from gromo_graph.algebra import Patches, measured_image, spread_out
from gromo_graph.errors import GrowthError
from gromo_graph.layers.base import Kernel, like
from gromo_graph.layers.pad import pad
from gromo_graph.layers.skip_init import skip_init
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.layers.weighted import Weighted, bare, bias_of, weight_of
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import PlainTorch, as_function
from gromo_graph.plain_torch.torch_call import TorchCall, Weight, per_axis, sizes_of, weights_of
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.grouped_conv import GroupedConv1d, GroupedConv2d
from gromo_graph.spec.kinds.per_axis import along
from gromo_graph.spec.kinds.window import Axis, same_padding

_GROUPED = (GroupedConv1d, GroupedConv2d)
FLAT = Axis(1)
"""A sequence is an image of height 1."""


class PointConv1d(Conv1d):
    """A convolution with a kernel of 1 that moves nothing: a linear layer at each position, and computed as one.

    On a CPU that takes a fraction of the time, above all between other such layers: the output of one lies in memory
    as the next one reads it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(n, channels, length) -> (n, features, length), a view with the features last."""
        return functional.linear(input.transpose(1, 2), self.weight[:, :, 0], self.bias).transpose(1, 2)


def build(node: kinds.Convolution, inputs: Sequence[kinds.Shape]) -> torch.nn.Module:
    """The torch layer of a convolution; its weights are drawn by the compiler, from a generator."""
    at_each = node.dimensions == 1 and (node.kernel, node.stride) == (1, 1) and not node.axis(0).before
    return skip_init(
        PointConv1d if at_each else (Conv1d, Conv2d)[node.dimensions - 1],
        inputs[0][0],
        node.features,
        node.kernel,
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        bias=node.bias,
    )


M = TypeVar("M", bound=torch.nn.Module)


class SlidingAdapter(Weighted[M]):
    """The members of `LayerAdapter` for a kernel that slides over one or two axes, from `axes`.

    Args:
        layer_type: the torch class. dimensions: axes it slides over; one is taken for the width of an image of
            height 1.
    """

    feature_dim: int = 1
    _too_small: str

    def __init__(self, layer_type: type[M], dimensions: int) -> None:
        self.layer_type = layer_type
        self.dimensions = dimensions

    def axes(self, layer: M) -> tuple[Axis, Axis]:
        raise NotImplementedError

    def moment_key(self, layer: M) -> Hashable:
        return ("convolution", self.axes(layer), self.has_bias(layer))

    def patches(self, layer: M, x: Tensor) -> Patches:
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

    def output_image(self, layer: M, a: Tensor) -> Tensor:
        return self._image(a, self.pre_activations(layer), "a gradient")

    def fan_out_weight(self, layer: M, omega: Tensor, kernel: Kernel) -> Tensor:
        out, _, neurons = omega.shape
        sizes = weight_of(layer).shape[2:]
        if kernel == "full":
            return omega.transpose(1, 2).reshape(out, neurons, *sizes)
        weight = omega.new_zeros(out, neurons, *sizes)
        middle: tuple[int | slice, ...] = tuple((size - 1) // 2 for size in sizes)
        weight[(slice(None), slice(None), *middle)] = omega[:, 0]
        return weight

    def outputs(self, layer: M, x: Tensor) -> Tensor:
        """Of a layer without channels on a side zeros and the bias, which torch's convolutions refuse to give."""
        weight, bias = weight_of(layer), bias_of(layer)
        if weight.numel():
            return super().outputs(layer, x)
        height, width = self.axes(layer)
        sizes = (height.outputs(x.shape[2]), width.outputs(x.shape[-1]))
        found = (
            x.new_zeros(x.shape[0], weight.shape[0], *sizes[2 - self.dimensions :])
            + weight.sum()
            + x[:, :0].sum()
        )
        return found if bias is None else found + bias.reshape(-1, *[1] * self.dimensions)

    def write_sizes(self, layer: Any) -> None:
        layer.out_channels, layer.in_channels = layer.weight.shape[:2]

    def with_constant(self, layer: M, x: Tensor) -> Tensor:
        return torch.cat((x, x.new_ones(x.shape[0], 1, *x.shape[2:])), dim=1)

    def with_channels(self, layer: M, size: tuple[int, ...]) -> tuple[int, ...]:
        return (self.in_neurons(layer), *size) if len(size) == self.dimensions else size

    def check_input_size(self, layer: M, size: tuple[int, ...]) -> None:
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


C = TypeVar("C", Conv1d, Conv2d)


class ConvolutionAdapter(SlidingAdapter[C]):
    """Implements `LayerAdapter` for convolutions of one group over zeros as padding."""

    _too_small = "is smaller than the kernel"

    def check(self, layer: C) -> None:
        if layer.groups != 1:
            raise GrowthError(
                f"{layer} has {layer.groups} groups: expected groups=1; a depthwise convolution has no width of its "
                "own, let it follow a layer as part of its post_layer_function"
            )
        if layer.padding_mode != "zeros":
            raise GrowthError(f"{layer} pads with {layer.padding_mode!r}: expected padding_mode='zeros'")

    def axes(self, layer: C) -> tuple[Axis, Axis]:
        axes = [
            Axis(kernel, stride, *_padding(layer, axis), dilation)
            for axis, (kernel, stride, dilation) in enumerate(
                zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
            )
        ]
        return (axes[0], axes[1]) if self.dimensions == 2 else (FLAT, axes[0])

    def empty_like(self, layer: C, weight: Tensor, bias: bool) -> torch.nn.Module:
        new = bare(
            PointConv1d if isinstance(layer, PointConv1d) else self.layer_type,
            kernel_size=layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            bias=bias,
        )
        new.out_channels, new.in_channels = weight.shape[:2]
        return new


def _padding(layer: Conv1d | Conv2d, axis: int) -> tuple[int, int]:
    if layer.padding == "same":
        return same_padding(layer.kernel_size[axis], layer.dilation[axis])
    if isinstance(layer.padding, str):  # "valid"
        return (0, 0)
    return (layer.padding[axis], layer.padding[axis])


def keeps_positions(layer: Conv1d | Conv2d) -> bool:
    """True if the middle tap of the kernel reads the position that it writes, at stride 1."""
    centred = (
        size % 2 == 1 and _padding(layer, axis) == same_padding(size, layer.dilation[axis])
        for axis, size in enumerate(layer.kernel_size)
    )
    return all(centred) and set(layer.stride) == {1}


def make_identity(layer: Conv1d | Conv2d) -> bool:
    """A 1 in the middle of each kernel; features beyond those that pass keep their first weights."""
    out, read = layer.weight.shape[:2]
    if out < read or not keeps_positions(layer):
        return False
    with torch.no_grad():
        torch.nn.init.dirac_(layer.weight[:read])
        if layer.bias is not None:
            layer.bias[:read] = 0.0
    return True


def sliding_fields(
    call: TorchCall, input: Any, weights: Mapping[str, Weight | None], *, kernel: Any, **options: Any
) -> dict[str, Any]:
    """The fields that all kinds of convolutions have."""
    return {
        "sources": (call.exact(input),),
        "kernel": per_axis(kernel),
        "bias": weights["bias"] is not None,
        **{name: per_axis(value) for name, value in options.items()},
    }


def convolution(
    call: TorchCall,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
) -> ModelValue:
    """Read a convolution: of one group, of groups that keep their width, or of other, fixed groups."""
    weights = weights_of(call, weight=weight, bias=bias)
    out, own, *kernel = sizes_of(weights["weight"])
    padding = 0 if padding == "valid" else padding
    if padding_mode != "zeros":
        input, padding = _padded(call, input, padding, padding_mode, kernel, dilation), 0
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    fields = sliding_fields(call, input, weights, kernel=kernel, **options)
    axes = len(kernel)
    if groups == 1:
        return call.add((kinds.Conv1d, kinds.Conv2d)[axes - 1], weights, features=out, **fields)
    if out == own * groups:
        kind = (kinds.DepthwiseConv1d, kinds.DepthwiseConv2d)[axes - 1]
        return call.add(kind, weights, group_width=own, **fields)
    return call.add(_GROUPED[axes - 1], weights, features=out, groups=groups, **fields)


def _padded(
    call: TorchCall, input: Any, padding: Any, mode: str, kernel: Sequence[int], dilation: Any
) -> ModelValue:
    """The padding node of a convolution that does not pad with zeros."""
    axes = len(kernel)
    if padding == "same":
        sides = [
            same_padding(size, step)
            for size, step in zip(kernel, along(per_axis(dilation), axes), strict=True)
        ]
    else:
        sides = [(size, size) for size in along(per_axis(padding), axes)]
    source = call.exact(input)
    flat = [side for pair in reversed(sides) for side in pair]
    sizes = call.blueprint.shapes[source]
    shape = (sizes[0], *(size + sum(pair) for size, pair in zip(sizes[1:], sides, strict=True)))
    return pad(call.inside("pad", shape), ModelValue(source, sizes, sizes), flat, mode)


def _plain_point(part: PointConv1d) -> PlainTorch:
    layer = skip_init(
        torch.nn.Linear, part.in_channels, part.out_channels, bias=part.bias is not None, device="meta"
    )
    layer.weight = like(part.weight, part.weight[:, :, 0])
    if part.bias is not None:
        layer.bias = like(part.bias, part.bias)
    layer.train(part.training)
    return PlainTorch({"": layer}, lambda call, x: call("", x.transpose(1, 2)).transpose(1, 2))


_MODULE = as_function(
    convolution, "weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode"
)

TORCH = TorchHalf(
    build,
    [ConvolutionAdapter(Conv1d, 1), ConvolutionAdapter(Conv2d, 2)],
    identity=make_identity,
    import_functions={"conv1d": convolution, "conv2d": convolution},
    import_modules={Conv1d: _MODULE, Conv2d: _MODULE},
    export={PointConv1d: _plain_point},
)
