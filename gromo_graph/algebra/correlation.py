"""Σ u vᵀ over the rows of two images, by whichever way costs least: the sums that growth of convolutions needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from gromo_graph.algebra.chosen_positions import View, at_weighted_positions
from gromo_graph.algebra.deferred_product import Moment, Product
from gromo_graph.algebra.distances import by_distance, distances_pay
from gromo_graph.algebra.moments import cross_moment
from gromo_graph.algebra.patches import AxisWeights, Offsets, Patches
from gromo_graph.errors import GrowthError


def view_of(patches: Patches, weights: AxisWeights | None = None) -> View:
    """The reading of some patches; weights None counts each position of their grid once."""
    return View(
        patches.offsets, patches.everywhere if weights is None else weights, patches.stride, patches.constant
    )


def patch_second_moment(patches: Patches, weights: AxisWeights | None = None) -> Tensor:
    """Σ_q w(q) b_q b_qᵀ over samples and positions, (columns, columns).

    >>> image = torch.tensor([[[[1.0, 2.0]]]])
    >>> patch_second_moment(Patches(image, ((0,), (0, 1)), grid=(1, 2), constant=True))
    tensor([[5., 2., 3.],
            [2., 4., 2.],
            [3., 2., 2.]])
    """
    (moment,) = patch_cross_moments(patches, patches.image, [view_of(patches, weights)])
    return moment


def patch_cross_moment(left: Patches, right: Patches, weights: AxisWeights | None = None) -> Tensor:
    """Σ_q w(q) u_q v_qᵀ of two images read at the same positions, (columns of left, columns of right)."""
    (moment,) = patch_cross_moments(left, right.image, [view_of(right, weights)])
    return moment


def summed_second_moment(patches: Patches) -> Moment:
    """`patch_second_moment` over the whole grid, to be added to a sum."""
    return summed_cross_moment(patches, patches)


def summed_cross_moment(left: Patches, right: Patches) -> Moment:
    """`patch_cross_moment` over the whole grid, to be added to a sum: of matrices not multiplied out."""
    if left.is_matrix and right.is_matrix:
        _check(left, right.image, [view_of(right)])
        return Product(left.rows, right.rows)
    return patch_cross_moment(left, right)


def patch_cross_moments(left: Patches, image: Tensor, views: Sequence[View]) -> list[Tensor]:
    """Σ_q w(q) u_q v_qᵀ over samples and positions, for several readings v of one image.

    Args:
        left: u, read at the positions of its grid.
        image: (n, channels, height, width), the same samples.
        views: readings of that image and the weights of the positions of the grid.

    Returns:
        For each view (columns of left, columns of the view), in the dtype of the images.

    Raises:
        GrowthError: other samples, or weights for another grid.
    """
    _check(left, image, views)
    if left.is_matrix and tuple(image.shape[2:]) == (1, 1) and all(_is_plain(view) for view in views):
        u, v = left.image[:, :, 0, 0], image[:, :, 0, 0]
        return [
            cross_moment(u, v, left_constant=left.constant, right_constant=view.constant) for view in views
        ]
    with _full_precision(image):
        if distances_pay(left, image, views):
            blocks = by_distance(left, image, views)
        else:
            blocks = [at_weighted_positions(left, image, view) for view in views]
    return [
        _with_constants(
            block.reshape(left.image.shape[1] * left.taps, image.shape[1] * view.taps), left, image, view
        )
        for block, view in zip(blocks, views, strict=True)
    ]


def _check(left: Patches, image: Tensor, views: Sequence[View]) -> None:
    if left.image.shape[0] != image.shape[0]:
        raise GrowthError(
            f"images of {left.image.shape[0]} and {image.shape[0]} samples: expected the same number of rows"
        )
    for view in views:
        grid = tuple(len(axis) for axis in view.weights)
        if grid != left.grid:
            raise GrowthError(f"weights for a grid of {grid}: expected {left.grid}")


def _is_plain(view: View) -> bool:
    return view.offsets == ((0,), (0,)) and view.weights == ((1.0,), (1.0,))


def _full_precision(image: Tensor) -> AbstractContextManager[None]:
    """GPUs round the inputs of convolutions to ten bits unless told not to."""
    if image.device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled, allow_tf32=False
    )
    return flags


def _with_constants(block: Tensor, left: Patches, image: Tensor, view: View) -> Tensor:
    if not (view.constant or left.constant):
        return block
    rows, columns = block.shape
    found = block.new_empty(rows + left.constant, columns + view.constant)
    found[:rows, :columns] = block
    if view.constant:
        found[:rows, -1] = _weighted_sum(left.image, left.offsets, left.stride, view.weights)
    if left.constant:
        found[-1, :columns] = _weighted_sum(image, view.offsets, view.stride, view.weights)
    if view.constant and left.constant:
        found[-1, -1] = image.shape[0] * sum(view.weights[0]) * sum(view.weights[1])
    return found


def _weighted_sum(image: Tensor, offsets: Offsets, stride: tuple[int, int], weights: AxisWeights) -> Tensor:
    """Σ_q w(q) of each column, over samples and positions."""
    total = image.sum(dim=0)
    masks = []
    for axis in (0, 1):
        size = image.shape[2 + axis]
        mask = [[0.0] * size for _ in offsets[axis]]
        for place, offset in enumerate(offsets[axis]):
            for q, weight in enumerate(weights[axis]):
                if 0 <= stride[axis] * q + offset < size:
                    mask[place][stride[axis] * q + offset] += weight
        masks.append(total.new_tensor(mask).reshape(len(offsets[axis]), size))
    return torch.einsum("chw,ih,jw->cij", total, *masks).flatten()
