"""torch.nn.Linear: rows are all leading positions of the input, columns its features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear

from gromo_graph.algebra import Patches, as_rows, rows_of_matrix, with_constant
from gromo_graph.errors import GrowthError
from gromo_graph.layers.base import Kernel, register
from gromo_graph.layers.weighted import Weighted, bare
from gromo_graph.spec import kinds
from gromo_graph.spec.kinds.window import Axis


def build(node: kinds.Linear, inputs: Sequence[kinds.Shape]) -> Linear:
    """The torch layer of a `linear` node; its weights are drawn by the compiler, from a generator."""
    layer: Linear = torch.nn.utils.skip_init(Linear, inputs[0][0], node.features, bias=node.bias)
    return layer


class LinearAdapter(Weighted):
    """Implements `LayerAdapter` for linear layers with any leading dimensions."""

    layer_type: type[torch.nn.Module] = Linear
    feature_dim: int = -1
    dimensions: int = 0

    def moment_key(self, layer: Any) -> Hashable:
        return ("linear", self.has_bias(layer))

    def axes(self, layer: Any) -> tuple[Axis, Axis] | None:
        return None

    def patches(self, layer: Any, x: Tensor) -> Patches:
        return rows_of_matrix(_rows(x, self.in_neurons(layer), "an input"), constant=self.has_bias(layer))

    def output_image(self, layer: Any, a: Tensor) -> Tensor:
        return _rows(a, self.out_neurons(layer), "a gradient")[:, :, None, None]

    def fan_out_weight(self, layer: Any, omega: Tensor, kernel: Kernel) -> Tensor:
        return omega.transpose(1, 2).flatten(1)

    def empty_like(self, layer: Any, weight: Tensor, bias: bool) -> torch.nn.Module:
        new = bare(Linear, bias=bias)
        new.out_features, new.in_features = weight.shape  # type: ignore[assignment]
        return new

    def write_sizes(self, layer: Any) -> None:
        layer.out_features, layer.in_features = layer.weight.shape

    def with_constant(self, layer: Any, x: Tensor) -> Tensor:
        rows = with_constant(_rows(x, self.in_neurons(layer), "an input"))
        return rows.reshape(*x.shape[:-1], rows.shape[-1])

    def input_size(self, layer: Any, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape[1:])

    def check_input_size(self, layer: Any, size: tuple[int, ...]) -> None:
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


register(LinearAdapter())
