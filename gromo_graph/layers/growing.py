"""The modules of a width group as the code below `modules` sees them: a layer with its function, or a merge."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.layers.base import Kernel, LayerAdapter
from gromo_graph.layers.channel_propagation import Segments


class FeatureModule(Protocol):
    """A module in whose output features of a group stand.

    Attributes:
        name: for messages.
        passed: the pending channels on their way through the function, by segment of the output.
        changes: how often its links, its function or its width have changed.
    """

    name: str
    passed: Segments
    changes: int

    @property
    def is_merge(self) -> bool:
        """True if it adds up, multiplies or puts side by side what other modules give; else it is a layer."""

    @property
    def multiplies(self) -> bool:
        """True if it is a merge that multiplies."""

    @property
    def function(self) -> torch.nn.Module:
        """The function that the output passes behind the layer or the merge."""

    @property
    def extension_function(self) -> torch.nn.Module:
        """The function that new channels pass there."""

    @property
    def own_width(self) -> int:
        """Features before the function."""

    @property
    def positions(self) -> int:
        """Features of the output that each channel becomes: 1 if the function does not flatten."""


class GrowingLayer(FeatureModule, Protocol):
    """A layer whose input and output can be widened.

    Attributes:
        layer: the torch layer. adapter: what its kind must be able to do.
        growth_kernel: the kernels that new inputs of a convolution get.
    """

    layer: torch.nn.Module
    adapter: LayerAdapter[Any]
    growth_kernel: Kernel

    @property
    def weight(self) -> Parameter:
        """Weight of the layer."""

    @property
    def bias(self) -> Parameter | None:
        """Bias of the layer, None without one."""

    @property
    def use_bias(self) -> bool:
        """True if the layer has a bias."""

    @property
    def in_neurons(self) -> int:
        """Width of the input."""

    @property
    def out_neurons(self) -> int:
        """Width of the output."""

    @property
    def pre_activations(self) -> int:
        """Values of the layer's output at one position (see `LayerAdapter`)."""

    @property
    def device(self) -> torch.device:
        """The device of the weight."""

    @property
    def input(self) -> Tensor:
        """Input of the last forward pass, detached."""
