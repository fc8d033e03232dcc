"""`LayerAdapter`: what growth must know of a layer that makes features.

A kind names its adapter in its `TorchHalf`. Adapters hold no state: the layer is an argument, of the torch class that
the adapter serves. Widths, shapes and the number of columns of S have this one source.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor

from gromo_graph.algebra import Patches
from gromo_graph.layers.replaced import Replaced
from gromo_graph.spec.kinds.window import Axis

Kernel = Literal["full", "centre"]
"""The kernels that new inputs of a convolution get: all taps, or the one in the middle."""

M_contra = TypeVar("M_contra", bound=torch.nn.Module, contravariant=True)


class LayerAdapter(Protocol[M_contra]):
    """The growth of layers of one torch class. `Weighted` has the members that follow from the weight alone.

    The rows b of a layer's input and the matrix [weight | bias] are those of docs/maths.md, "Notation".

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

    def check(self, layer: M_contra) -> None:
        """Raise GrowthError if the layer has an option that growth does not know."""

    def has_bias(self, layer: M_contra) -> bool: ...

    def in_neurons(self, layer: M_contra) -> int: ...

    def out_neurons(self, layer: M_contra) -> int: ...

    def pre_activations(self, layer: M_contra) -> int:
        """Values of its output at one position: one for each output, or for each gate of one."""

    def fan_in(self, layer: M_contra) -> int:
        """Number of weights into one output, without the bias."""

    def columns(self, layer: M_contra) -> int:
        """Size of S: fan-in, and one for the constant if there is a bias."""

    def parameter_count(self, layer: M_contra) -> int: ...

    def moment_key(self, layer: M_contra) -> Hashable:
        """Layers with equal keys that read the same tensor have the same S."""

    def axes(self, layer: M_contra) -> tuple[Axis, Axis] | None:
        """The slide of its kernel along height and width; None if it reads whole rows of features."""

    def patches(self, layer: M_contra, x: Tensor) -> Patches:
        """The rows b of the layer's input, with the constant if there is a bias."""

    def output_image(self, layer: M_contra, a: Tensor) -> Tensor:
        """A tensor shaped like the layer's output as an image whose positions are those of `patches`."""

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """[weight | bias] as matrix, (pre-activations, columns)."""

    def weight_and_bias(self, layer: M_contra, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """The inverse of `matrix` for a layer like this one, any number of outputs."""

    def fan_in_weight(self, layer: M_contra, alpha: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weight and bias that give k new outputs, from α (k, columns)."""

    def alpha(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The inverse of `fan_in_weight`: α of outputs with these weights."""

    def fan_out_weight(self, layer: M_contra, omega: Tensor, kernel: Kernel) -> Tensor:
        """The weight that reads k new inputs, from ω (pre-activations, values read of one input, k)."""

    def layer_of(self, layer: M_contra, weight: Tensor, bias: Tensor | None) -> torch.nn.Module:
        """A new layer like this one but with copies of these parameters."""

    def in_extension_shape(self, layer: M_contra, size: int) -> tuple[int, ...]:
        """Shape of the weight that reads `size` further inputs."""

    def out_extension_shape(self, layer: M_contra, size: int) -> tuple[int, ...]:
        """Shape of the weight that gives `size` further outputs."""

    def bias_extension_shape(self, layer: M_contra, size: int) -> tuple[int, ...]:
        """Shape of the bias of `size` further outputs, if the layer has one."""

    def extend_in(self, layer: M_contra, weight: Tensor, at: int) -> list[Replaced]:
        """Insert inputs before place `at`, in place; the old weights keep their bits."""

    def extend_out(self, layer: M_contra, weight: Tensor, bias: Tensor | None) -> list[Replaced]:
        """Append outputs to the layer, in place; the old weights keep their bits."""

    def outputs(self, layer: M_contra, x: Tensor) -> Tensor:
        """The layer's outputs, also of a layer without channels, which torch may refuse."""

    def with_constant(self, layer: M_contra, x: Tensor) -> Tensor:
        """The input with ones as a last feature."""

    def input_size(self, layer: M_contra, x: Tensor) -> tuple[int, ...]:
        """Size of one sample of the input as the layer sees it."""

    def with_channels(self, layer: M_contra, size: tuple[int, ...]) -> tuple[int, ...]:
        """A size of one sample, with the channels in front if they are left out."""

    def check_input_size(self, layer: M_contra, size: tuple[int, ...]) -> None:
        """Raise GrowthError if samples of this size cannot enter the layer."""


def like(parameter: Tensor, values: Tensor) -> torch.nn.Parameter:
    """A parameter with these values that is trained if the old one was."""
    return torch.nn.Parameter(values.detach(), requires_grad=parameter.requires_grad)
