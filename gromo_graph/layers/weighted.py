"""The base of adapters for layers with a weight (out, in, ...), and a bias or none."""

from __future__ import annotations

from functools import cache
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from gromo_graph.layers.base import like
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.layers.skip_init import skip_init

M = TypeVar("M", bound=torch.nn.Module)


def weight_of(layer: torch.nn.Module) -> Tensor:
    """The weight, (out, in, ...)."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def bias_of(layer: torch.nn.Module) -> Tensor | None:
    """The bias, (out,), or None if the layer has none."""
    bias = layer.bias
    return bias if isinstance(bias, Tensor) else None


class Weighted(Generic[M]):
    """The members of `LayerAdapter` that follow from the weight alone."""

    def check(self, layer: M) -> None:
        """Nothing to refuse."""

    def has_bias(self, layer: M) -> bool:
        return bias_of(layer) is not None

    def in_neurons(self, layer: M) -> int:
        return weight_of(layer).shape[1]

    def out_neurons(self, layer: M) -> int:
        return weight_of(layer).shape[0]

    def pre_activations(self, layer: M) -> int:
        return self.out_neurons(layer)

    def outputs(self, layer: M, x: Tensor) -> Tensor:
        found: Tensor = layer(x)
        return found

    def fan_in(self, layer: M) -> int:
        return weight_of(layer).shape[1:].numel()

    def columns(self, layer: M) -> int:
        return self.fan_in(layer) + self.has_bias(layer)

    def input_size(self, layer: M, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape[1:])

    def with_channels(self, layer: M, size: tuple[int, ...]) -> tuple[int, ...]:
        return size

    def parameter_count(self, layer: M) -> int:
        return self.out_neurons(layer) * self.columns(layer)

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        flat = weight.flatten(1)
        return flat if bias is None else torch.cat((flat, bias[:, None]), dim=1)

    def weight_and_bias(self, layer: M, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        weight, bias = (matrix[:, :-1], matrix[:, -1]) if self.has_bias(layer) else (matrix, None)
        return weight.reshape(matrix.shape[0], *weight_of(layer).shape[1:]), bias

    def fan_in_weight(self, layer: M, alpha: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.weight_and_bias(layer, alpha)

    def alpha(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.matrix(weight, bias)

    def layer_of(self, layer: M, weight: Tensor, bias: Tensor | None) -> torch.nn.Module:
        new = self.empty_like(layer, weight, bias is not None)
        new.weight = like(weight_of(layer), weight.clone())
        if bias is not None:
            own = bias_of(layer)
            new.bias = like(weight_of(layer) if own is None else own, bias.clone())
        return new.train(layer.training)

    def empty_like(self, layer: M, weight: Tensor, bias: bool) -> torch.nn.Module:
        """A layer with the options of this one and the sizes of the weight, without storage (see `bare`)."""
        raise NotImplementedError

    def in_extension_shape(self, layer: M, size: int) -> tuple[int, ...]:
        return (self.out_neurons(layer), size, *weight_of(layer).shape[2:])

    def out_extension_shape(self, layer: M, size: int) -> tuple[int, ...]:
        return (size, *weight_of(layer).shape[1:])

    def bias_extension_shape(self, layer: M, size: int) -> tuple[int, ...]:
        return (size,)

    def extend_in(self, layer: M, weight: Tensor, at: int) -> list[Replaced]:
        replaced = [grown(layer, "weight", weight, dim=1, at=at)]
        self.write_sizes(layer)
        return replaced

    def extend_out(self, layer: M, weight: Tensor, bias: Tensor | None) -> list[Replaced]:
        at = self.out_neurons(layer)
        replaced = [grown(layer, "weight", weight, dim=0, at=at)]
        if bias is not None:
            replaced.append(grown(layer, "bias", bias, dim=0, at=at))
        self.write_sizes(layer)
        return replaced

    def write_sizes(self, layer: M) -> None:
        """The sizes that the layer itself notes down."""
        raise NotImplementedError


def bare(kind: type[M], **options: Any) -> M:
    """A layer of size 1 without storage, of a class whose first two arguments are sizes.

    A constructor would draw random numbers only to have them replaced, so it is called once for each set of options.
    """
    key: Any = kind  # a class is hashable, which mypy does not see
    prototype = _prototype(key, **options)
    new = kind.__new__(kind)
    new.__dict__.update(
        {
            name: value.copy() if isinstance(value, dict | set) else value
            for name, value in vars(prototype).items()
        }
    )
    return new


@cache
def _prototype(kind: Any, **options: Any) -> torch.nn.Module:
    layer: torch.nn.Module = skip_init(kind, 1, 1, device="meta", **options)
    return layer
