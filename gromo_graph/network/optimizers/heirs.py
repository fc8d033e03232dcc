"""All that hangs on a parameter goes to the one that takes its place: hooks, gradient and attributes."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.nn import Parameter

from gromo_graph.layers import ParameterChange


def inherit(change: ParameterChange) -> None:
    """Give the new parameter what the old one had; new entries of a gradient are 0.

    The two share their hooks, so that a handle which somebody holds removes the hook of the new one too.
    """
    share_hooks(change.old, change.new)
    vars(change.new).update({name: _widened(value, change) for name, value in vars(change.old).items()})
    gradient = change.old.grad
    if gradient is not None and not gradient.is_sparse:
        change.new.grad = change.of(gradient)


def inherit_unchanged(old: Parameter, new: Parameter) -> None:
    """The same for a copy of a parameter."""
    share_hooks(old, new)
    vars(new).update(vars(old))
    new.grad = None if old.grad is None else old.grad.clone()


def share_hooks(old: Any, new: Any) -> None:
    """Hooks on the gradient, and those that run once it has been accumulated."""
    for hooks in ("_backward_hooks", "_post_accumulate_grad_hooks"):
        if getattr(old, hooks) is not None:
            setattr(new, hooks, getattr(old, hooks))


def has_node_hooks(parameter: Parameter) -> bool:
    """True if somebody hooked the node of the autograd graph that accumulates its gradient (AccumulateGrad)."""
    if not parameter.requires_grad:
        return False
    node = get_gradient_edge(parameter).node
    for register in (node.register_hook, node.register_prehook):
        # Torch lists the hooks of a node in the handle of one more hook alone.
        handle = register(lambda *gradients: None)
        hooks = handle.hooks_dict_ref()
        handle.remove()
        if hooks:
            return True
    return False


def _widened(value: Any, change: ParameterChange) -> Any:
    """An attribute that has an entry for each of the parameter, such as a mask, is widened as a gradient is."""
    entries = isinstance(value, Tensor) and value.dim() > 0 and value.shape == change.old.shape
    return change.of(value) if entries else value
