"""What a layer kind must be able to do to take part in growth.

A kind is one file beside this one: a class with these members, registered by `register`. Adapters hold
no state; the layer is an argument. Widths, shapes and the number of columns have this one source.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from gromo_graph.algebra import Patches
from gromo_graph.errors import GrowthError
from gromo_graph.layers.replaced import Replaced
from gromo_graph.spec.kinds.window import Axis

Kernel = Literal["full", "centre"]
"""The kernels that new inputs of a convolution get: all taps, or the one in the middle."""


class LayerAdapter(Protocol):
    """The torch half of a layer kind.

    Attributes:
        layer_type: the torch layer it serves, subclasses included.
        feature_dim: the dimension of an activation that grows (-1: last, 1: channels).
        dimensions: axes that its kernel slides over.
    """

    @property
    def layer_type(self) -> type[torch.nn.Module]: ...

    @property
    def feature_dim(self) -> int: ...

    @property
    def dimensions(self) -> int: ...

    def check(self, layer: Any) -> None:
        """Raise GrowthError where the layer has an option that growth does not know."""

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

    def axes(self, layer: Any) -> tuple[Axis, Axis] | None:
        """How its kernel slides along height and width; None where it reads whole rows of features."""

    def patches(self, layer: Any, x: Tensor) -> Patches:
        """The rows b of the layer's input, with the constant where there is a bias."""

    def output_image(self, layer: Any, a: Tensor) -> Tensor:
        """A tensor shaped like the layer's output as an image whose positions are those of `patches`."""

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """[weight | bias] as matrix, (out, columns)."""

    def weight_and_bias(self, layer: Any, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """The inverse of `matrix` for a layer like this one, any number of outputs."""

    def fan_out_weight(self, layer: Any, omega: Tensor, kernel: Kernel) -> Tensor:
        """The weight that reads k new inputs, from ω (out, values read of one input, k)."""

    def layer_of(self, layer: Any, weight: Tensor, bias: Tensor | None) -> torch.nn.Module:
        """A new layer like this one but with copies of these parameters."""

    def in_extension_shape(self, layer: Any, size: int) -> tuple[int, ...]:
        """Shape of the weight that reads `size` further inputs."""

    def out_extension_shape(self, layer: Any, size: int) -> tuple[int, ...]:
        """Shape of the weight that gives `size` further outputs."""

    def extend_in(self, layer: Any, weight: Tensor, at: int) -> list[Replaced]:
        """Insert inputs before place `at`, in place; the old weights keep their bits."""

    def extend_out(self, layer: Any, weight: Tensor, bias: Tensor | None) -> list[Replaced]:
        """Append outputs to the layer, in place; the old weights keep their bits."""

    def with_constant(self, layer: Any, x: Tensor) -> Tensor:
        """The input with ones as a last feature."""

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
        GrowthError: the kind is not known (the message lists those that are), or an option of the layer is not.
    """
    for kind in type(layer).__mro__:
        if kind in ADAPTERS:
            ADAPTERS[kind].check(layer)
            return ADAPTERS[kind]
    known = ", ".join(sorted(kind.__name__ for kind in ADAPTERS))
    raise GrowthError(f"a layer of type {type(layer).__name__} cannot grow: expected one of {known}")


def like(parameter: Tensor, values: Tensor) -> torch.nn.Parameter:
    """A parameter with these values that is trained exactly where the old one was."""
    return torch.nn.Parameter(values.detach(), requires_grad=parameter.requires_grad)
