"""What a layer kind must be able to do to take part in growth.

A kind is one file beside this one: a class with these members, registered by `register`. Adapters hold
no state; the layer is an argument. Widths, shapes and the number of columns have this one source.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError


class LayerAdapter(Protocol):
    """The torch half of a layer kind.

    Attributes:
        layer_type: the torch layer it serves, subclasses included.
        feature_dim: the dimension of an activation that grows (-1: last, 1: channels).
    """

    @property
    def layer_type(self) -> type[torch.nn.Module]: ...

    @property
    def feature_dim(self) -> int: ...

    def has_bias(self, layer: Any) -> bool: ...

    def in_neurons(self, layer: Any) -> int: ...

    def out_neurons(self, layer: Any) -> int: ...

    def fan_in(self, layer: Any) -> int:
        """Number of weights into one output, without the bias."""

    def columns(self, layer: Any) -> int:
        """Size of S: fan-in, and one for the constant where there is a bias."""

    def parameter_count(self, layer: Any) -> int: ...

    def moment_key(self, layer: Any) -> Hashable:
        """Layers with equal keys that read the same tensor have the same S."""

    def input_rows(self, layer: Any, x: Tensor) -> Tensor:
        """The layer's input as matrix, (rows, fan_in), without the constant column."""

    def output_rows(self, layer: Any, a: Tensor) -> Tensor:
        """A tensor shaped like the layer's output as matrix, (rows, out), rows as in `input_rows`."""

    def second_moment(self, layer: Any, x: Tensor) -> Tensor:
        """Σ b bᵀ over the rows, (columns, columns)."""

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """[weight | bias] as matrix, (out, columns)."""

    def weight_and_bias(self, layer: Any, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """The inverse of `matrix` for a layer like this one, any number of outputs."""

    def layer_of(self, layer: Any, weight: Tensor, bias: Tensor | None) -> torch.nn.Module:
        """A new layer like this one but with copies of these parameters."""

    def in_extension_shape(self, layer: Any, size: int) -> tuple[int, ...]:
        """Shape of the weight that reads `size` further inputs."""

    def out_extension_shape(self, layer: Any, size: int) -> tuple[int, ...]:
        """Shape of the weight that gives `size` further outputs."""

    def extend_in(self, layer: Any, weight: Tensor) -> None:
        """Append inputs to the layer, in place; the old weights keep their bits."""

    def extend_out(self, layer: Any, weight: Tensor, bias: Tensor | None) -> None:
        """Append outputs to the layer, in place; the old weights keep their bits."""

    def input_size(self, layer: Any, x: Tensor) -> tuple[int, ...]:
        """Size of one sample of the input as the layer sees it."""

    def check_input_size(self, layer: Any, size: tuple[int, ...]) -> None:
        """Raise GrowthError where samples of this size cannot enter the layer."""


ADAPTERS: dict[type[torch.nn.Module], LayerAdapter] = {}


def register(adapter: LayerAdapter) -> None:
    """Make a layer kind known."""
    ADAPTERS[adapter.layer_type] = adapter


def adapter_for(layer: torch.nn.Module) -> LayerAdapter:
    """The adapter of a layer, by its class or the nearest class it descends from.

    Raises:
        GrowthError: the kind is not known; the message lists those that are.
    """
    for kind in type(layer).__mro__:
        if kind in ADAPTERS:
            return ADAPTERS[kind]
    known = ", ".join(sorted(kind.__name__ for kind in ADAPTERS))
    raise GrowthError(f"a layer of type {type(layer).__name__} cannot grow: expected one of {known}")


def like(parameter: Tensor, values: Tensor) -> torch.nn.Parameter:
    """A parameter with these values that is trained exactly where the old one was."""
    return torch.nn.Parameter(values.detach(), requires_grad=parameter.requires_grad)
