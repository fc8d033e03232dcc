"""What linear layers and convolutions share: a weight (out, in, ...), and a bias or none."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from gromo_graph.layers.base import like
from gromo_graph.layers.replaced import Replaced, grown


class Weighted:
    """The members of `LayerAdapter` that follow from the weight alone."""

    def check(self, layer: Any) -> None:
        """Nothing to refuse."""

    def has_bias(self, layer: Any) -> bool:
        # torch types the bias as always there, but `bias=False` makes it None.
        bias: Tensor | None = layer.bias
        return bias is not None

    def in_neurons(self, layer: Any) -> int:
        return int(layer.weight.shape[1])

    def out_neurons(self, layer: Any) -> int:
        return int(layer.weight.shape[0])

    def fan_in(self, layer: Any) -> int:
        return int(layer.weight.shape[1:].numel())

    def columns(self, layer: Any) -> int:
        return self.fan_in(layer) + self.has_bias(layer)

    def parameter_count(self, layer: Any) -> int:
        return self.out_neurons(layer) * self.columns(layer)

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        flat = weight.flatten(1)
        return flat if bias is None else torch.cat((flat, bias[:, None]), dim=1)

    def weight_and_bias(self, layer: Any, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        weight, bias = (matrix[:, :-1], matrix[:, -1]) if self.has_bias(layer) else (matrix, None)
        return weight.reshape(matrix.shape[0], *layer.weight.shape[1:]), bias

    def layer_of(self, layer: Any, weight: Tensor, bias: Tensor | None) -> torch.nn.Module:
        new = self.empty_like(layer, weight, bias is not None)
        new.weight = like(layer.weight, weight.clone())
        if bias is not None:
            new.bias = like(layer.bias if self.has_bias(layer) else layer.weight, bias.clone())
        return new.train(layer.training)

    def empty_like(self, layer: Any, weight: Tensor, bias: bool) -> torch.nn.Module:
        """A layer with the options of this one and the sizes of the weight, without storage (see `bare`)."""
        raise NotImplementedError

    def in_extension_shape(self, layer: Any, size: int) -> tuple[int, ...]:
        return (self.out_neurons(layer), size, *layer.weight.shape[2:])

    def out_extension_shape(self, layer: Any, size: int) -> tuple[int, ...]:
        return (size, *layer.weight.shape[1:])

    def extend_in(self, layer: Any, weight: Tensor, at: int) -> list[Replaced]:
        replaced = [grown(layer, "weight", weight, dim=1, at=at)]
        self.write_sizes(layer)
        return replaced

    def extend_out(self, layer: Any, weight: Tensor, bias: Tensor | None) -> list[Replaced]:
        at = self.out_neurons(layer)
        replaced = [grown(layer, "weight", weight, dim=0, at=at)]
        if bias is not None:
            replaced.append(grown(layer, "bias", bias, dim=0, at=at))
        self.write_sizes(layer)
        return replaced

    def write_sizes(self, layer: Any) -> None:
        """The sizes that the layer itself notes down."""
        raise NotImplementedError


def bare(kind: Any, **options: Any) -> torch.nn.Module:
    """A layer of size 1 without storage.

    A constructor would draw random numbers only to have them replaced, so it is called once for each set of options.
    """
    prototype: torch.nn.Module = _prototype(kind, **options)
    new: torch.nn.Module = kind.__new__(kind)
    new.__dict__.update(
        {
            name: value.copy() if isinstance(value, dict | set) else value
            for name, value in vars(prototype).items()
        }
    )
    return new


@cache
def _prototype(kind: Any, **options: Any) -> torch.nn.Module:
    layer: torch.nn.Module = kind(1, 1, device="meta", **options)
    return layer
