"""torch.nn.Linear: rows are all leading positions of the input, columns its features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torch.nn import Linear

from gromo_graph.algebra import as_rows, second_moment
from gromo_graph.errors import GrowthError
from gromo_graph.modules.adapters.base import like, register
from gromo_graph.spec import kinds


def build(node: kinds.Linear, inputs: Sequence[kinds.Shape]) -> Linear:
    """The torch layer of a `linear` node; its weights are drawn by the compiler, from a generator."""
    layer: Linear = torch.nn.utils.skip_init(Linear, inputs[0][0], node.features, bias=node.bias)
    return layer


class LinearAdapter:
    """Implements `LayerAdapter` for linear layers with any leading dimensions."""

    layer_type: type[torch.nn.Module] = Linear
    feature_dim: int = -1

    def has_bias(self, layer: Linear) -> bool:
        # torch types the bias as always there, but `bias=False` makes it None.
        bias: Tensor | None = layer.bias
        return bias is not None

    def in_neurons(self, layer: Linear) -> int:
        return int(layer.weight.shape[1])

    def out_neurons(self, layer: Linear) -> int:
        return int(layer.weight.shape[0])

    def fan_in(self, layer: Linear) -> int:
        return self.in_neurons(layer)

    def columns(self, layer: Linear) -> int:
        return self.in_neurons(layer) + self.has_bias(layer)

    def parameter_count(self, layer: Linear) -> int:
        return self.out_neurons(layer) * self.columns(layer)

    def moment_key(self, layer: Linear) -> Hashable:
        return ("linear", self.has_bias(layer))

    def input_rows(self, layer: Linear, x: Tensor) -> Tensor:
        if x.shape[-1] != self.in_neurons(layer):
            raise GrowthError(
                f"an input of shape {tuple(x.shape)} does not fit the layer: expected "
                f"{self.in_neurons(layer)} features in the last dimension"
            )
        return as_rows(x)

    def output_rows(self, layer: Linear, a: Tensor) -> Tensor:
        if a.shape[-1] != self.out_neurons(layer):
            raise GrowthError(
                f"a gradient of shape {tuple(a.shape)} does not fit the layer: expected "
                f"{self.out_neurons(layer)} features in the last dimension"
            )
        return as_rows(a)

    def second_moment(self, layer: Linear, x: Tensor) -> Tensor:
        return second_moment(self.input_rows(layer, x), constant=self.has_bias(layer))

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        return weight if bias is None else torch.cat((weight, bias[:, None]), dim=1)

    def weight_and_bias(self, layer: Linear, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.has_bias(layer):
            return matrix, None
        return matrix[:, :-1], matrix[:, -1]

    def layer_of(self, layer: Linear, weight: Tensor, bias: Tensor | None) -> Linear:
        # Made without storage: the constructor would draw random numbers only to have them replaced.
        new = Linear(1, 1, bias=bias is not None, device="meta")
        new.out_features, new.in_features = weight.shape
        new.weight = like(layer.weight, weight.clone())
        if bias is not None:
            new.bias = like(layer.bias if self.has_bias(layer) else layer.weight, bias.clone())
        return new.train(layer.training)

    def in_extension_shape(self, layer: Linear, size: int) -> tuple[int, ...]:
        return (self.out_neurons(layer), size)

    def out_extension_shape(self, layer: Linear, size: int) -> tuple[int, ...]:
        return (size, self.in_neurons(layer))

    def extend_in(self, layer: Linear, weight: Tensor) -> None:
        layer.weight = like(layer.weight, torch.cat((layer.weight, weight), dim=1))
        layer.in_features = self.in_neurons(layer)

    def extend_out(self, layer: Linear, weight: Tensor, bias: Tensor | None) -> None:
        layer.weight = like(layer.weight, torch.cat((layer.weight, weight), dim=0))
        if bias is not None:
            layer.bias = like(layer.bias, torch.cat((layer.bias, bias), dim=0))
        layer.out_features = self.out_neurons(layer)

    def input_size(self, layer: Linear, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape[1:])

    def check_input_size(self, layer: Linear, size: tuple[int, ...]) -> None:
        if not size or size[-1] != self.in_neurons(layer):
            raise GrowthError(
                f"an input size of {size} does not fit the layer: expected {self.in_neurons(layer)} features "
                "in the last dimension (the size of one sample, without the batch)"
            )


register(LinearAdapter())
