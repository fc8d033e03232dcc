"""The statistics of a pair of layers, row by row, with torch's own unfold: slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import Linear, functional

from gromo_graph.layers.conv_transpose import TransposedConv1d, TransposedConv2d
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from tests import reference
from tests.modules.pairs import Pair

AVERAGES = (
    *(torch.nn.AvgPool1d, torch.nn.AvgPool2d),
    *(torch.nn.AdaptiveAvgPool1d, torch.nn.AdaptiveAvgPool2d, torch.nn.Upsample),
)


def as_image(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x[:, :, None, :]


TRANSPOSED = (TransposedConv1d, TransposedConv2d)


def geometry(layer: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """Kernel, stride and dilation along two axes."""
    two = {name: tuple(getattr(layer, name)) for name in ("kernel_size", "stride", "dilation")}
    return {name: value if len(value) == 2 else (1, *value) for name, value in two.items()}


def padded(layer: torch.nn.Module, image: Tensor) -> Tensor:
    sizes = geometry(layer)
    if layer.padding == "same":
        margins = [d * (k - 1) for k, d in zip(sizes["kernel_size"], sizes["dilation"], strict=True)]
        (top, left) = (margin // 2 for margin in margins)
        (bottom, right) = (margins[0] - top, margins[1] - left)
    else:
        pad = (0, 0) if layer.padding == "valid" else tuple(layer.padding)
        (top, left) = pad if len(pad) == 2 else (0, *pad)
        (bottom, right) = (top, left)
    return functional.pad(image, (left, right, top, bottom))


def unfolded(layer: torch.nn.Module, image: Tensor) -> Tensor:
    """(n, positions, values of a row)."""
    if isinstance(layer, TRANSPOSED):
        return unfolded_backwards(layer, image)
    return functional.unfold(padded(layer, image), **geometry(layer)).transpose(1, 2)


def unfolded_backwards(layer: torch.nn.Module, image: Tensor) -> Tensor:
    """The output that each position and tap of a transposed convolution writes to."""
    stride, padding, dilation, kernel, further = (
        value if len(value) == 2 else (missing, *value)
        for value, missing in (
            (layer.stride, 1),
            (layer.padding, 0),
            (layer.dilation, 1),
            (layer.kernel_size, 1),
            (layer.output_padding, 0),
        )
    )
    sizes = [
        (image.shape[2 + axis] - 1) * stride[axis]
        - 2 * padding[axis]
        + dilation[axis] * (kernel[axis] - 1)
        + further[axis]
        + 1
        for axis in (0, 1)
    ]
    rows = image.new_zeros(*image.shape[:2], *kernel, *sizes)
    for p, q, i, j in product(*map(range, (*image.shape[2:], *kernel))):
        r, s = (at * stride[a] + t * dilation[a] - padding[a] for a, (at, t) in enumerate(((p, i), (q, j))))
        if 0 <= r < sizes[0] and 0 <= s < sizes[1]:
            rows[:, :, i, j, r, s] = image[:, :, p, q]
    return rows.flatten(4).flatten(1, 3).transpose(1, 2)


def rows_of(module: GrowingModule, x: Tensor) -> Tensor:
    """(n, positions, columns), with the trailing 1 where there is a bias."""
    if isinstance(module.layer, Linear):
        rows = x.reshape(x.shape[0], -1, x.shape[-1])
    else:
        rows = unfolded(module.layer, as_image(x))
    ones = torch.ones(*rows.shape[:2], 1, dtype=rows.dtype)
    return torch.cat((rows, ones), dim=2) if module.use_bias else rows


def pulls_of(module: GrowingModule, g: Tensor) -> Tensor:
    """(n, positions, out)."""
    if isinstance(module.layer, Linear):
        return g.reshape(g.shape[0], -1, g.shape[-1])
    return as_image(g).flatten(2).transpose(1, 2)


def stood_in(operation: torch.nn.Module, maps: Tensor) -> Tensor:
    """The linear operation that stands in for one between the layers, on maps (m, 1, height, width).

    What treats each value alone has no part in it, for statistics are those of slope 1.
    """
    given = maps[:, :, 0] if is_flat(operation) else maps
    if isinstance(operation, torch.nn.MaxPool1d | torch.nn.MaxPool2d):
        return window_means(operation, maps, as_image(operation(given)).shape[2:])
    if isinstance(operation, AVERAGES):
        return as_image(operation(given))
    if isinstance(operation, torch.nn.Conv1d | torch.nn.Conv2d):
        # Depthwise: a new channel has a 1 in the middle and a bias of 0.
        middle = maps.new_zeros(1, 1, *operation.kernel_size)
        middle[(0, 0, *(size // 2 for size in operation.kernel_size))] = 1.0
        convolve = functional.conv1d if is_flat(operation) else functional.conv2d
        options = (operation.stride, operation.padding, operation.dilation)
        return as_image(convolve(given, middle, None, *options))
    return maps


def is_flat(operation: torch.nn.Module) -> bool:
    """True if it slides along one axis only."""
    return type(operation).__name__.endswith("1d")


def window_means(pool: torch.nn.Module, maps: Tensor, sizes: Sequence[int]) -> Tensor:
    """Of each window of a pool the mean of the positions inside the image."""
    kernel, stride, padding, dilation = (
        along_two(pool, name, missing)
        for name, missing in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
    )
    means = maps.new_zeros(*maps.shape[:2], *sizes)
    for place in product(range(sizes[0]), range(sizes[1])):
        rows, columns = (
            [
                at
                for tap in range(kernel[axis])
                if 0 <= (at := place[axis] * stride[axis] - padding[axis] + tap * dilation[axis]) < size
            ]
            for axis, size in enumerate(maps.shape[2:])
        )
        means[:, :, place[0], place[1]] = maps[:, :, rows][:, :, :, columns].mean(dim=(2, 3))
    return means


def along_two(pool: torch.nn.Module, name: str, missing: int) -> tuple[int, ...]:
    """An option of a pool along height and width; one that slides along one axis lacks the height."""
    option = getattr(pool, name)
    if is_flat(pool):
        return (missing, *(option if isinstance(option, tuple) else (option,)))
    return option if isinstance(option, tuple) else (option, option)


def reads_of(pair: Pair) -> Tensor:
    """The second layer's inputs from channels that carry the columns of the first.

    Returns:
        (n, positions, readings, columns).
    """
    first, second = pair.first, pair.second
    rows = rows_of(first, first.input)
    if isinstance(first.layer, Linear):
        return rows[:, :, None, :]
    with torch.no_grad():
        sizes = as_image(first.layer(first.input)).shape[2:]
    n, _, columns = rows.shape
    maps = rows.transpose(1, 2).reshape(n * columns, 1, *sizes)
    functions = [m.post_merge_function for m in pair.net if isinstance(m, MergeGrowingModule)]
    for function in (first.post_layer_function, *functions):
        for operation in function if isinstance(function, torch.nn.Sequential) else [function]:
            maps = stood_in(operation, maps)
    if isinstance(second.layer, Linear):
        return maps.reshape(n, columns, 1, -1).permute(0, 2, 3, 1)
    read = unfolded(second.layer, maps)  # (n · columns, positions, taps)
    if second.growth_kernel == "centre":
        height, width = geometry(second.layer)["kernel_size"]
        middle = ((height - 1) // 2) * width + (width - 1) // 2
        read = read[:, :, middle : middle + 1]
    return read.reshape(n, columns, *read.shape[1:]).permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Dense:
    """S, M of the second layer; S, M_prev, N of the growth between the two; as means over samples."""

    s: Tensor
    m: Tensor
    s_growth: Tensor
    m_prev: Tensor
    cross: Tensor
    n: Tensor


def dense(pair: Pair, g: Tensor) -> Dense:
    """All statistics, with g the gradient of the summed loss at the second layer."""
    b, pulls, u = rows_of(pair.second, pair.second.input), pulls_of(pair.second, g), reads_of(pair)
    samples = b.shape[0]
    s = torch.einsum("nri,nrj->ij", b, b) / samples
    m = torch.einsum("nri,nro->io", b, pulls) / samples
    delta = reference.delta(s, m)
    projected = pulls - b @ delta.T
    if isinstance(pair.second.layer, Linear):
        raw = pair.first.input.flatten(1) if not isinstance(pair.first.layer, Linear) else None
        left = u[:, :, 0] if raw is None else raw[:, None, :]
        if raw is not None and pair.first.use_bias:
            left = torch.cat((left, torch.ones_like(left[..., :1])), dim=2)
        cross = torch.einsum("nri,nrj->ij", left, b) / samples
    else:
        cross = torch.einsum("nrti,nrj->itj", u, b) / samples
    return Dense(
        s=s,
        m=m,
        s_growth=torch.einsum("nrti,nrtj->ij", u, u) / samples,
        m_prev=torch.einsum("nrti,nro->iot", u, pulls).flatten(1) / samples,
        cross=cross,
        n=-torch.einsum("nrti,nro->iot", u, projected).flatten(1) / samples,
    )


def omega_matrix(pair: Pair, weight: Tensor) -> Tensor:
    """ω as (out · readings, k) from the weight of the layer that reads the new channels."""
    out = weight.shape[0]
    if isinstance(pair.second.layer, Linear):
        readings = pair.second.in_neurons // pair.first.out_neurons
        return weight.reshape(out, -1, readings).transpose(1, 2).reshape(out * readings, -1)
    if pair.second.growth_kernel == "centre":
        middle = tuple((size - 1) // 2 for size in weight.shape[2:])
        return weight[(slice(None), slice(None), *middle)]
    return weight.flatten(2).transpose(1, 2).reshape(out * weight.shape[2:].numel(), -1)
