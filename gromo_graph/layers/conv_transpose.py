"""`conv_transpose1d`, `conv_transpose2d`: a convolution of stride 1 over the input with zeros between its positions.

torch keeps the weight of a transposed convolution as (in, out, ...). Here it is (out, in, ...) as that of every other
layer, so that whatever grows, prunes or cuts layers finds inputs and outputs where it expects them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph.layers.base import like
from gromo_graph.layers.conv import FLAT, SlidingAdapter, sliding_fields
from gromo_graph.layers.skip_init import skip_init
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.layers.weighted import bare
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch, as_function
from gromo_graph.plain_torch.torch_call import TorchCall, sizes_of, weights_of
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.window import Axis, TransposedAxis


class TransposedConvolution(torch.nn.Module):
    """A transposed convolution of one group whose weight is (out, in, *kernel), the taps in the order of torch's.

    Args:
        in_channels, out_channels: of the layer.
        kernel_size, stride, padding, output_padding, dilation: as of torch.nn.ConvTranspose2d; for each axis, or one
            number for all.
        bias: whether there is one. device: of the weights, which are not initialised.
    """

    plain: type[torch.nn.Module]
    """The layer of torch that computes the same."""
    axes: int
    _function: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        bias: bool = True,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = self._along(kernel_size), self._along(stride)
        self.padding, self.output_padding = self._along(padding), self._along(output_padding)
        self.dilation = self._along(dilation)
        shape = (out_channels, in_channels, *self.kernel_size)
        self.weight = torch.nn.Parameter(torch.empty(shape, device=device))
        self.bias = torch.nn.Parameter(torch.empty(out_channels, device=device)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, out, ...) from (n, in, ...)."""
        options = (self.stride, self.padding, self.output_padding, 1, self.dilation)
        return type(self)._function(x, self.weight.transpose(0, 1), self.bias, *options)

    def as_torch(self) -> torch.nn.Module:
        """The same as a layer of torch, with copies of the weights."""
        new: Any = skip_init(
            self.plain, self.in_channels, self.out_channels, bias=self.bias is not None, **self.options
        )
        new.weight = like(self.weight, self.weight.transpose(0, 1).contiguous())
        if self.bias is not None:
            new.bias = like(self.bias, self.bias.clone())
        layer: torch.nn.Module = new.train(self.training)
        return layer

    @property
    def options(self) -> dict[str, tuple[int, ...]]:
        """All that is no width, by the names of torch."""
        names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """Widths and options, as torch's layers show them."""
        told = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.in_channels}, {self.out_channels}, {told}" + (
            "" if self.bias is not None else ", bias=False"
        )

    def _along(self, value: int | Sequence[int]) -> tuple[int, ...]:
        return (value,) * self.axes if isinstance(value, int) else tuple(value)


class TransposedConv1d(TransposedConvolution):
    """Over sequences.

    >>> layer = TransposedConv1d(2, 3, 4, stride=2, padding=1)
    >>> tuple(layer.weight.shape), tuple(layer(torch.zeros(1, 2, 5)).shape)
    ((3, 2, 4), (1, 3, 10))
    """

    plain = torch.nn.ConvTranspose1d
    axes = 1
    _function = staticmethod(functional.conv_transpose1d)


class TransposedConv2d(TransposedConvolution):
    """Over images.

    >>> TransposedConv2d(2, 3, 2, stride=2).as_torch()
    ConvTranspose2d(2, 3, kernel_size=(2, 2), stride=(2, 2))
    """

    plain = torch.nn.ConvTranspose2d
    axes = 2
    _function = staticmethod(functional.conv_transpose2d)


def build(node: kinds.ConvTranspose, inputs: Sequence[kinds.Shape]) -> TransposedConvolution:
    """The layer of a transposed convolution; its weights are drawn by the compiler, from a generator."""
    return (TransposedConv1d, TransposedConv2d)[node.dimensions - 1](
        inputs[0][0],
        node.features,
        node.kernel,
        stride=node.stride,
        padding=node.padding,
        output_padding=node.output_padding,
        dilation=node.dilation,
        bias=node.bias,
    )


class TransposedAdapter(SlidingAdapter[TransposedConvolution]):
    """Implements `LayerAdapter`: a convolution over an input whose positions are spread out."""

    _too_small = "does not reach an output behind the padding"

    def axes(self, layer: TransposedConvolution) -> tuple[Axis, Axis]:
        options = (layer.kernel_size, layer.stride, layer.padding, layer.output_padding, layer.dilation)
        axes = [TransposedAxis.of(*along) for along in zip(*options, strict=True)]
        return (axes[0], axes[1]) if self.dimensions == 2 else (FLAT, axes[0])

    def empty_like(self, layer: TransposedConvolution, weight: Tensor, bias: bool) -> TransposedConvolution:
        new = bare(self.layer_type, bias=bias, **layer.options)
        new.out_channels, new.in_channels = weight.shape[:2]
        return new


def transposed_convolution(
    call: TorchCall,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> ModelValue:
    """Read a transposed convolution of one group; torch keeps its weight as (in, out, ...)."""
    weights = weights_of(call, weight=weight, bias=bias)
    channels, own, *kernel = sizes_of(weights["weight"])
    if groups != 1:
        raise Unmapped(
            f"it has {groups} groups of {channels // groups} channels that give {own * groups}: expected one group"
        )
    options = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
    fields = sliding_fields(call, input, weights, kernel=kernel, **options)
    if weights["weight"] is not None:
        weights["weight"] = weights["weight"].converted(lambda given: given.transpose(0, 1))
    kind = (kinds.ConvTranspose1d, kinds.ConvTranspose2d)[len(kernel) - 1]
    return call.add(kind, weights, features=own, **fields)


_ATTRIBUTES = ("weight", "bias", "stride", "padding", "groups", "dilation")
_MODULE = as_function(transposed_convolution, *_ATTRIBUTES, "output_padding")
_SIZED_MODULE = as_function(transposed_convolution, *_ATTRIBUTES)


def transposed_module(call: TorchCall, module: Any, input: Any, output_size: Any = None) -> Any:
    """The module, which may be asked for a size of its output."""
    if output_size is None:
        return _MODULE(call, module, input)
    return _SIZED_MODULE(call, module, input, output_padding=_output_padding(call, module, input))


def _output_padding(call: TorchCall, module: Any, x: Any) -> tuple[int, ...]:
    """The output padding that leads to the size a module was asked for, which shows in the shapes."""
    sizes = zip(call.blueprint.shapes[call.exact(x)][1:], call.shape[1:], strict=True)
    options = zip(module.kernel_size, module.stride, module.padding, module.dilation, strict=True)
    return tuple(
        made - TransposedAxis.of(kernel, stride, padding, 0, dilation).outputs(size)
        for (size, made), (kernel, stride, padding, dilation) in zip(sizes, options, strict=True)
    )


def _plain(part: TransposedConvolution) -> PlainTorch:
    return PlainTorch({"": part.as_torch()})


TORCH = TorchHalf(
    build,
    [TransposedAdapter(TransposedConv1d, 1), TransposedAdapter(TransposedConv2d, 2)],
    import_functions=dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), transposed_convolution),
    import_modules=dict.fromkeys((torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d), transposed_module),
    export={TransposedConv1d: _plain, TransposedConv2d: _plain},
)
