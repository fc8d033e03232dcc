"""The statistics of a growing module: what one batch adds to them, and adding it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gromo_graph.algebra import (
    Moment,
    ParameterGradient,
    Patches,
    patch_second_moment,
    summed_cross_moment,
    value_of,
)
from gromo_graph.errors import GrowthError
from gromo_graph.modules.group_links import growable_links, growing_link
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.statistics.capture import stored_gradient, stored_input, stored_rows
from gromo_graph.statistics.cross_moments import cross_of_batch, m_prev_of_batch


@contextmanager
def naming(module: LayerModule) -> Iterator[None]:
    """Errors of the algebra, which knows no names, get the name of the module."""
    try:
        yield
    except GrowthError as error:
        if module.name in str(error):
            raise
        raise error.of(module.name) from error


def s_update(module: LayerModule) -> tuple[Tensor, int]:
    """Σ b bᵀ of the stored input and its number of samples."""
    x = stored_input(module)
    with naming(module):
        return patch_second_moment(stored_rows(module)), x.shape[0]


def m_update(module: LayerModule, desired_activation: Tensor | None) -> tuple[Tensor, int]:
    """Σ b gᵀ, (columns, out)."""
    x, g = stored_input(module), stored_gradient(module, desired_activation)
    with naming(module):
        return value_of(_m_product(module, g)), x.shape[0]


def _m_product(module: LayerModule, gradient: Tensor) -> Moment:
    rows = stored_rows(module)
    return summed_cross_moment(
        rows, Patches(module.adapter.output_image(module.layer, gradient), grid=rows.grid)
    )


def m_prev_update(module: LayerModule, desired_activation: Tensor | None) -> tuple[Tensor, int]:
    """Σ b₋₂ gᵀ, (columns₋₂, out · readings)."""
    link = growing_link(module)
    g = stored_gradient(module, desired_activation)
    with naming(module):
        return value_of(m_prev_of_batch(module, link.group, g)), g.shape[0]


def cross_covariance_update(module: LayerModule) -> tuple[Tensor, int]:
    """Σ b₋₂ bᵀ (see statistics/cross_moments.py)."""
    link = growing_link(module)
    with naming(module):
        return value_of(cross_of_batch(module, link.group, module.partners)), stored_input(module).shape[0]


def n_update(module: LayerModule) -> Tensor:
    """−Σ b₋₂ (g − δ b)ᵀ over the stored batch, shaped like M_prev."""
    link = growing_link(module)
    projected = projected_gradient(module, stored_input(module))
    with naming(module):
        return -value_of(m_prev_of_batch(module, link.group, projected))


@torch.no_grad()
def projected_gradient(module: LayerModule, input_vector: Tensor) -> Tensor:
    """g − δ b, shaped like the pre-activity."""
    if module.optimal_delta_layer is None:
        raise GrowthError(f"{module.name} has no optimal delta: call compute_optimal_delta() first")
    change: Tensor = module.optimal_delta_layer(input_vector)
    return stored_gradient(module, None) - change


def start_alone(module: LayerModule, dtype: torch.dtype | None = None) -> None:
    """As `start`, for a module whose links to groups are given to it: none are looked for."""
    module.store_input = module.store_pre_activity = True
    module.capture.clear()
    clear(module)
    module.tensor_s.dtype = module.tensor_m.dtype = dtype


def start(module: LayerModule, dtype: torch.dtype | None = None) -> None:
    """Empty the statistics and keep what the next forward passes show; dtype: in which sums are kept."""
    start_alone(module, dtype)
    for link in growable_links(module):
        link.reset()
        for statistic in (link.m_prev, link.cross, link.s_growth.statistic):
            statistic.dtype = dtype
        for producer in link.group.producers:
            producer.needed_by_next = True


def stop(module: LayerModule) -> None:
    """Empty the statistics and keep nothing any more."""
    module.store_input = module.store_pre_activity = False
    module.capture.clear()
    for link in growable_links(module):
        for producer in link.group.producers:
            producer.needed_by_next = False
            if not producer.store_input:
                producer.capture.clear()
                producer.input_moment.reset()
        link.group.together = None
        link.reset()
    clear(module)


def clear(module: LayerModule) -> None:
    """Empty the module's own statistics; its neighbours are looked at anew."""
    module.input_moment.reset()
    module.tensor_m.reset()
    module.growth_links = None


@torch.no_grad()
def update(
    module: LayerModule,
    desired_activation: Tensor | None,
    weight_gradient: Tensor | None,
    bias_gradient: Tensor | None,
) -> None:
    """Count the stored batch in every statistic of the module."""
    with naming(module):
        module.update_input_moment()
        module.tensor_m.update(*_m_of_batch(module, desired_activation, weight_gradient, bias_gradient))
        links = growable_links(module)
        if links:
            gradient = stored_gradient(module, desired_activation)
            for link in links:
                link.update(module, gradient, module.partners)
    if desired_activation is not None:
        module.capture.gradient = desired_activation.detach()


@torch.no_grad()
def update_links(module: LayerModule, gradient: Tensor) -> None:
    """Count the stored batch for the groups that the module reads, and nothing for its own delta."""
    with naming(module):
        for link in module.growth_links or ():
            link.update(module, gradient.detach(), ())
            link.count_activity(module)


def _m_of_batch(
    module: LayerModule,
    desired_activation: Tensor | None,
    weight_gradient: Tensor | None,
    bias_gradient: Tensor | None,
) -> tuple[Moment, int]:
    """Mᵀ·n is the gradient of [weight | bias]: if that is at hand there is nothing to multiply."""
    samples = stored_input(module).shape[0]
    if weight_gradient is None:
        return _m_product(module, stored_gradient(module, desired_activation)), samples
    if not module.use_bias:
        bias_gradient = None
    elif bias_gradient is None:
        g = stored_gradient(module, desired_activation)
        bias_gradient = module.adapter.output_image(module.layer, g).sum(dim=(0, 2, 3))
    expected = tuple(module.weight.shape)
    if tuple(weight_gradient.shape) != expected:
        raise GrowthError(
            f"the gradient of the weight has shape {tuple(weight_gradient.shape)}: expected {expected}"
        )
    matrix = module.adapter.matrix(weight_gradient, None)
    return ParameterGradient(matrix, None if bias_gradient is None else bias_gradient.flatten()), samples
