"""The joint optimal delta of the layers that enter a sum: one least squares problem over all they read.

What such layers add up to has one gradient, so their changes compete for the same decrease: solving for each alone
would count it several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from gromo_graph.algebra import optimal_delta, patch_cross_moment
from gromo_graph.errors import GrowthError
from gromo_graph.layers import operations_of
from gromo_graph.modules.links import Linkable
from gromo_graph.modules.measured import MeasuredModule
from gromo_graph.modules.own_delta import keep_delta
from gromo_graph.statistics.capture import stored_rows
from gromo_graph.statistics.running_mean import TensorStatistic


class JointSum(Protocol):
    """A merge whose layers are solved for together.

    Attributes:
        name: for messages. merge: "sum" or another kind.
        joint_blocks: S between two of the layers, by their indices.
    """

    name: str
    merge: str
    joint_blocks: dict[tuple[int, int], TensorStatistic]

    @property
    def previous_modules(self) -> Sequence[Linkable]:
        """The modules whose output comes in."""


def modules_of(merge: JointSum) -> tuple[MeasuredModule, ...]:
    """The growing modules that enter a sum without a function of their own, or none for another merge.

    One whose output leaves the network too has a gradient of its own.
    """
    if merge.merge != "sum":
        return ()
    return tuple(
        module  # type: ignore[misc]  # what is no merge is a layer
        for module in merge.previous_modules
        if not module.is_merge and not module.is_output and not list(operations_of(module.function))
    )


def start(merge: JointSum) -> None:
    """Start the statistics of the layers that enter a sum."""
    modules = modules_of(merge)
    merge.joint_blocks.clear()
    for module in modules:
        module.joint_partners = modules
        module.init_computation()


def update(merge: JointSum) -> None:
    """Count the stored batch, in the layers and between them."""
    for module in modules_of(merge):
        module.update_computation()
    count(merge)


@torch.no_grad()
def count(merge: JointSum) -> None:
    """Count the stored batch between the layers; each counts itself."""
    modules = modules_of(merge)
    rows = [stored_rows(module) for module in modules]
    for i, left in enumerate(rows):
        for j in range(i + 1, len(rows)):
            name = f"S between {modules[i].name} and {modules[j].name}"
            block = merge.joint_blocks.setdefault((i, j), TensorStatistic(name))
            block.update(patch_cross_moment(left, rows[j]), modules[i].input.shape[0])


def stop(merge: JointSum) -> None:
    """Empty the statistics."""
    merge.joint_blocks.clear()
    for module in modules_of(merge):
        module.joint_partners = ()
        module.reset_computation()


def joint_s(merge: JointSum) -> Tensor:
    """S of all that the layers read, side by side."""
    modules = _checked(merge)
    blocks = [[module.tensor_s() for module in modules] for _ in modules]
    for i in range(len(modules)):
        blocks[i][i] = modules[i].tensor_s()
        for j in range(i + 1, len(modules)):
            if (i, j) not in merge.joint_blocks:
                raise GrowthError(
                    f"{merge.name} has no statistics between {modules[i].name} and {modules[j].name}: call its "
                    "init_computation(), and update_computation() for each batch"
                )
            blocks[i][j] = merge.joint_blocks[i, j]()
            blocks[j][i] = blocks[i][j].T
    return torch.cat([torch.cat(row, dim=1) for row in blocks])


def joint_m(merge: JointSum) -> Tensor:
    """M of the same against the gradient of the sum."""
    return torch.cat([module.tensor_m() for module in _checked(merge)])


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
        module.delta_partners = modules
        weight, bias, _ = keep_delta(module, delta, decrease, result.solver, update=update)
        found.append((weight, bias))
    return found


def _checked(merge: JointSum) -> tuple[MeasuredModule, ...]:
    modules = modules_of(merge)
    if not modules:
        raise GrowthError(
            f"no growing module enters {merge.name} without a function of its own: expected a sum of at least one, as "
            "their deltas are solved for together"
        )
    return modules
