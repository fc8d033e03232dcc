"""Tensors that a forward pass leaves for the statistics."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from gromo_graph.algebra import Patches
from gromo_graph.errors import GrowthError
from gromo_graph.layers.growing import GrowingLayer
from gromo_graph.statistics.running_mean import SharedMoment


class Capture:
    """The tensors of the last forward pass; copies of a module start with an empty one.

    Attributes:
        input: the layer's input, (n, ..., features).
        pre_activity: the layer's output, still part of the autograd graph.
        gradient: the g handed to the last update, if it was not `pre_activity.grad`.
        forward_pass: identity of the pass, the same for all who read the same tensor.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.input: Tensor | None = None
        self.pre_activity: Tensor | None = None
        self.gradient: Tensor | None = None
        self.forward_pass: object = None
        self._rows: Patches | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Capture:
        # Tensors inside an autograd graph cannot be copied, and would mean nothing in the copy.
        return Capture()


class ObservedModule(Protocol):
    """A module that keeps the tensor that enters its function.

    Attributes:
        name: for messages. capture: of its last forward pass. store_pre_activity: whether it is kept.
    """

    name: str
    capture: Capture
    store_pre_activity: bool

    @property
    def function(self) -> torch.nn.Module:
        """The function that the output passes."""


class ObservedLayer(GrowingLayer, ObservedModule, Protocol):
    """A layer whose inputs and gradients are counted.

    Attributes:
        store_input: whether its input is kept. needed_by_next: whether it is kept for the layers that read its output.
    """

    store_input: bool
    needed_by_next: bool

    def forward_pass_of_input(self, x: Tensor) -> object:
        """An identity of the forward pass, shared with others behind the same merge."""

    @property
    def input_moment(self) -> SharedMoment:
        """S of the input."""

    def update_input_moment(self) -> None:
        """Count the stored batch in S of the input, once for each forward pass."""


def observed_forward(module: ObservedLayer, x: Tensor) -> Tensor:
    """The layer's output, with input and output kept as far as they are asked for."""
    capture = module.capture
    a = module.adapter.outputs(module.layer, x)
    if module.store_input or module.needed_by_next:
        capture.input, capture._rows = x, None
        capture.forward_pass = module.forward_pass_of_input(x)
    if module.store_pre_activity:
        capture.gradient = None
        return kept(module, capture, a)
    return a


def kept(module: ObservedModule, capture: Capture, a: Tensor) -> Tensor:
    """Keep what enters the function of a module; returns what to hand on to it."""
    if torch.is_grad_enabled():
        if a.requires_grad:
            a.retain_grad()
        else:  # frozen layers have a gradient at their output too
            a.requires_grad_(True)
    capture.pre_activity = a
    if any(getattr(part, "inplace", False) for part in module.function.modules()):
        return a.clone()  # the function that follows would overwrite what was kept
    return a


def stored_input(module: ObservedLayer) -> Tensor:
    """The input of the last forward pass, detached."""
    if module.capture.input is None:
        raise GrowthError(
            f"{module.name} has stored no input: {_what_first(module.store_input, 'store_input')}"
        )
    return module.capture.input.detach()


def _what_first(storing: bool, switch: str) -> str:
    """The step that is missing before something is stored."""
    if storing:
        return "run the network on a batch first, there was no forward pass since init_computation()"
    return f"call init_computation() (or set {switch} = True) before the forward pass"


def stored_rows(module: ObservedLayer) -> Patches:
    """The rows of the input of the last forward pass, described once for all products that need them."""
    x = stored_input(module)
    if module.capture._rows is None:
        module.capture._rows = module.adapter.patches(module.layer, x)
    return module.capture._rows


def stored_pre_activity(module: ObservedModule) -> Tensor:
    """The pre-activity of the last forward pass, part of the autograd graph."""
    if module.capture.pre_activity is None:
        wanted = _what_first(module.store_pre_activity, "store_pre_activity")
        raise GrowthError(f"{module.name} has stored no pre-activity: {wanted}")
    return module.capture.pre_activity


def stored_gradient(module: ObservedLayer, desired_activation: Tensor | None) -> Tensor:
    """g: the argument, else what the last update was given, else the gradient backward() left."""
    gradient = desired_activation
    if gradient is None:
        gradient = module.capture.gradient
    if gradient is None:
        gradient = stored_pre_activity(module).grad
    if gradient is None:
        raise GrowthError(
            f"{module.name} has no gradient of its pre-activity: call backward() on a sum-reduced loss after "
            "a forward pass with gradients enabled, or pass desired_activation"
        )
    return gradient.detach()
