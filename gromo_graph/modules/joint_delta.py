"""The joint optimal delta of the layers that enter a sum: one least squares problem over all they read.

What such layers add up to has one gradient, so their changes compete for the same decrease: solving for each alone
would count it several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from gromo_graph.algebra import optimal_delta
from gromo_graph.errors import GrowthError
from gromo_graph.layers import operations_of
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.modules.linkable import Linkable
from gromo_graph.modules.own_delta import keep_delta
from gromo_graph.statistics import joint_moments
from gromo_graph.statistics.joint_moments import JointMoments


class JointSum(Protocol):
    """A merge whose layers are solved for together.

    Attributes:
        name: for messages. merge: "sum" or another kind.
        joint_moments: S between the layers.
    """

    name: str
    merge: str
    joint_moments: JointMoments

    @property
    def previous_modules(self) -> Sequence[Linkable]:
        """The modules whose output comes in."""


def modules_of(merge: JointSum) -> tuple[GrowingModule, ...]:
    """The growing modules that enter a sum without a function of their own, or none for another merge.

    One whose output leaves the network too has a gradient of its own, and frozen ones have no delta.
    """
    if merge.merge != "sum":
        return ()
    alone = [
        module
        for module in merge.previous_modules
        if not module.is_merge and not module.is_output and not list(operations_of(module.function))
    ]
    return tuple(module for module in alone if module.layer.weight.requires_grad)  # type: ignore


def start(merge: JointSum) -> None:
    """Start the statistics of the layers that enter a sum."""
    modules = modules_of(merge)
    merge.joint_moments.clear()
    for module in modules:
        module.joint_partners = modules
        module.init_computation()


def update(merge: JointSum) -> None:
    """Count the stored batch, in the layers and between them."""
    for module in modules_of(merge):
        module.update_computation()
    count(merge)


def count(merge: JointSum) -> None:
    """Count the stored batch between the layers; each counts itself."""
    merge.joint_moments.count(modules_of(merge))


def stop(merge: JointSum) -> None:
    """Empty the statistics."""
    merge.joint_moments.clear()
    for module in modules_of(merge):
        module.joint_partners = ()
        module.reset_computation()


def joint_s(merge: JointSum) -> Tensor:
    """S of all that the layers read, side by side."""
    return merge.joint_moments.s(_checked(merge), merge.name)


def joint_m(merge: JointSum) -> Tensor:
    """M of the same against the gradient of the sum."""
    return joint_moments.joint_m(_checked(merge))


@torch.no_grad()
def compute_delta(
    merge: JointSum, *, update: bool, dtype: torch.dtype, force_pseudo_inverse: bool, ridge: float
) -> list[tuple[Tensor, Tensor | None]]:
    """Solve once, and give each layer its part with the part of the decrease that it makes."""
    modules = _checked(merge)
    try:
        m = joint_m(merge).to(dtype)
        s = joint_s(merge).to(dtype)
        result = optimal_delta(s, m, ridge=ridge, force_pseudo_inverse=force_pseudo_inverse)
    except GrowthError as error:
        raise error.of(merge.name) from error
    found = []
    start = 0
    for module in modules:
        columns = slice(start, start + module.adapter.columns(module.layer))
        start = columns.stop
        delta = result.delta[:, columns]
        decrease = (m[columns] * delta.T).sum()
        weight, bias, _ = keep_delta(module, delta, decrease, result.solver, update=update)
        found.append((weight, bias))
    return found


def _checked(merge: JointSum) -> tuple[GrowingModule, ...]:
    modules = modules_of(merge)
    if not modules:
        raise GrowthError(
            f"no growing module enters {merge.name} without a function of its own: expected a sum of at least one, as "
            "their deltas are solved for together"
        )
    return modules
