"""Checks of the arguments of a scheduler."""

from __future__ import annotations

from numbers import Real

import torch

from gromo_graph.errors import GraphError, GrowthError
from gromo_graph.graph import Graph, growth_goals
from gromo_graph.growth.stopping import can_grow
from gromo_graph.network.optimizers import Optimizers
from gromo_graph.spec.settings import Growth, Stop

LITTLE_BEHIND = (
    "growth that goes beyond its budget ends so late that less than a tenth of the training is left behind the last "
    "pruning: train for longer, or write a smaller `growth.when.until`"
)
"""Said of a policy with `beyond` in which neurons are taken out near the end."""

UNFOLLOWED = (
    "the network has grown, and an optimizer that the scheduler does not know goes on training tensors that are no "
    "longer part of it: give GrowthScheduler(..., optimizer=...), or make the optimizer anew from network.parameters()"
)
"""Said if what trains the network was not given."""


def has_gradients(network: torch.nn.Module) -> bool:
    """True if somebody trains the network."""
    return any(parameter.grad is not None for parameter in network.parameters())


def check_lengths(epochs: float | None, training_steps: int | None) -> None:
    """
    Raises:
        GrowthError: a training without length.
    """
    if epochs is not None and not (isinstance(epochs, Real) and epochs > 0):
        raise GrowthError(f"epochs={epochs!r}: expected the length of the training, 1 or more")
    if training_steps is not None and not training_steps > 0:
        raise GrowthError(
            f"training_steps={training_steps!r}: expected the steps of the optimizer in the whole training, 1 or "
            "more"
        )


def check_stop(stop: Stop) -> None:
    """
    Raises:
        GrowthError: a budget that follows the number of training samples, which nobody has told.
    """
    if isinstance(stop.parameters_per_sample, float) and stop.parameters is None:
        raise GrowthError(
            "policy: `stop.parameters_per_sample` is a budget of `grow`; a scheduler does not know how many training "
            "samples there are: write `stop.parameters`, such as 10 times their number"
        )


def check_goals(graph: Graph, policy: Growth) -> None:
    """
    Raises:
        GrowthError: target widths that cannot be reached.
    """
    try:
        growth_goals.check_goals(graph, policy)
    except GraphError as error:
        raise GrowthError(str(error)) from error


def check_trains_something(graph: Graph, policy: Growth, optimizers: Optimizers, reason: str | None) -> None:
    """Refuse old weights that stay as they are if nothing new is there or may come.

    Args:
        reason: why nothing can grow, if it is known.

    Raises:
        GrowthError: says what to do.
    """
    if policy.freeze is None:
        return
    if not optimizers:
        raise GrowthError(
            "`growth.freeze: old` keeps the optimizer off old weights: expected optimizer=... to keep off"
        )
    marks = optimizers.marks
    trained = any(p.requires_grad and any(marks.get(p, [[1]])) for p in optimizers.parameters())
    grows = reason is None and policy.stop.steps != 0 and can_grow(graph, policy)
    if not (trained or grows):
        raise GrowthError(
            "nothing would be trained: `growth.freeze: old` keeps all weights, and nothing can grow: "
            f"{reason or 'no layer may be widened and no path added'}. Let something grow, give the network "
            "new outputs, or leave `freeze` out"
        )
