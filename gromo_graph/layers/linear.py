"""`linear`: torch.nn.Linear. Its rows are all leading positions of the input, its columns the features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear

from gromo_graph.algebra import Patches, as_rows, rows_of_matrix, with_constant
from gromo_graph.errors import GrowthError
from gromo_graph.layers.base import Kernel
from gromo_graph.layers.skip_init import skip_init
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.layers.weighted import Weighted, bare
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import as_function
from gromo_graph.plain_torch.torch_call import TorchCall, Weight, sizes_of, weights_of
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.again import TiedLinear
from gromo_graph.spec.kinds.window import Axis


def build(node: kinds.Linear, inputs: Sequence[kinds.Shape]) -> Linear:
    """The torch layer of a `linear` node; its weights are drawn by the compiler, from a generator."""
    return skip_init(Linear, inputs[0][0], node.features, bias=node.bias)


class LinearAdapter(Weighted[Linear]):
    """Implements `LayerAdapter` for linear layers with any leading dimensions."""

    layer_type: type[torch.nn.Module] = Linear
    feature_dim: int = -1
    dimensions: int = 0

    def moment_key(self, layer: Linear) -> Hashable:
        return ("linear", self.has_bias(layer))

    def axes(self, layer: Linear) -> tuple[Axis, Axis] | None:
        return None

    def patches(self, layer: Linear, x: Tensor) -> Patches:
        return rows_of_matrix(_rows(x, self.in_neurons(layer), "an input"), constant=self.has_bias(layer))

    def output_image(self, layer: Linear, a: Tensor) -> Tensor:
        return _rows(a, self.out_neurons(layer), "a gradient")[:, :, None, None]

    def fan_out_weight(self, layer: Linear, omega: Tensor, kernel: Kernel) -> Tensor:
        return omega.transpose(1, 2).flatten(1)

    def empty_like(self, layer: Linear, weight: Tensor, bias: bool) -> Linear:
        new = bare(Linear, bias=bias)
        new.out_features, new.in_features = weight.shape
        return new

    def write_sizes(self, layer: Linear) -> None:
        layer.out_features, layer.in_features = layer.weight.shape

    def with_constant(self, layer: Linear, x: Tensor) -> Tensor:
        rows = with_constant(_rows(x, self.in_neurons(layer), "an input"))
        return rows.reshape(*x.shape[:-1], rows.shape[-1])

    def check_input_size(self, layer: Linear, size: tuple[int, ...]) -> None:
        if not size or size[-1] != self.in_neurons(layer):
            raise GrowthError(
                f"an input size of {size} does not fit the layer: expected {self.in_neurons(layer)} features "
                "in the last dimension (the size of one sample, without the batch)"
            )


def _rows(tensor: Tensor, features: int, what: str) -> Tensor:
    if tensor.shape[-1] != features:
        raise GrowthError(
            f"{what} of shape {tuple(tensor.shape)} does not fit the layer: expected {features} features in the "
            "last dimension"
        )
    return as_rows(tensor)


def make_identity(layer: Linear) -> bool:
    """[I; W] and a bias [0; b]: features beyond those that pass keep their first weights."""
    out, read = layer.weight.shape
    if out < read:
        return False
    with torch.no_grad():
        layer.weight[:read].zero_().fill_diagonal_(1.0)
        if layer.bias is not None:
            layer.bias[:read] = 0.0
    return True


def linear(call: TorchCall, input: Any, weight: Any, bias: Any = None) -> ModelValue:
    """Along the last of several dimensions it is a convolution with a kernel of 1."""
    owner = call.owner_of(weight) if isinstance(weight, Weight) else None
    if owner is not None and isinstance(call.blueprint.nodes.get(owner), kinds.Embedding):
        return _tied(call, input, bias, owner)
    view, weights = call.in_any_order(input), weights_of(call, weight=weight, bias=bias)
    fields = {"features": sizes_of(weights["weight"])[0], "bias": weights["bias"] is not None}
    if len(view.shape) == 1 and call.sizes[0] == call.batch:
        return call.add(kinds.Linear, weights, sources=(call.exact(view),), **fields)
    source = call.by_features(view)
    axes = len(source.own) - 1
    if axes == 0:
        return call.behind_positions(
            call.add(kinds.Linear, weights, sources=(source.node,), **fields), source
        )
    if weights["weight"] is not None:
        weights["weight"] = weights["weight"].converted(lambda matrix: matrix[(..., *[None] * axes)])
    kind = (kinds.Conv1d, kinds.Conv2d)[axes - 1]
    return call.behind_positions(call.add(kind, weights, sources=(source.node,), kernel=1, **fields), source)


def _tied(call: TorchCall, input: Any, bias: Any, table: str) -> ModelValue:
    """With the weights of an embedding."""
    source, weights = call.by_features(input), weights_of(call, bias=bias)
    features, has_bias = call.sizes[-1], weights["bias"] is not None
    sources = (source.node, table)
    node = call.add(TiedLinear, weights, sources=sources, features=features, bias=has_bias)
    return call.behind_positions(node, source)


TORCH = TorchHalf(
    build,
    [LinearAdapter()],
    identity=make_identity,
    import_functions={"linear": linear},
    import_modules={Linear: as_function(linear, "weight", "bias")},
)
