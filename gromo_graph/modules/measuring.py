"""The statistics of a growing module: what one batch adds to them, and adding it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gromo_graph.algebra import cross_moment
from gromo_graph.errors import GrowthError
from gromo_graph.modules.capture import stored_gradient, stored_input
from gromo_graph.modules.links import Linkable, source_of

if TYPE_CHECKING:
    from gromo_graph.modules.layer import LayerModule


@contextmanager
def naming(module: LayerModule) -> Iterator[None]:
    """Errors of the algebra, which knows no names, get the name of the module."""
    try:
        yield
    except GrowthError as error:
        message = str(error)
        if module.name in message:
            raise
        raise GrowthError(f"{module.name}: {message}") from error


def s_update(module: LayerModule) -> tuple[Tensor, int]:
    """Σ b bᵀ of the stored input and its number of samples."""
    x = stored_input(module)
    with naming(module):
        return module.adapter.second_moment(module.layer, x), x.shape[0]


def m_update(module: LayerModule, desired_activation: Tensor | None) -> tuple[Tensor, int]:
    """Σ b gᵀ, (columns, out)."""
    x, g = stored_input(module), stored_gradient(module, desired_activation)
    with naming(module):
        rows = module.adapter.input_rows(module.layer, x)
        pulls = module.adapter.output_rows(module.layer, g)
        return cross_moment(rows, pulls, left_constant=module.use_bias), x.shape[0]


def m_prev_update(module: LayerModule, desired_activation: Tensor | None) -> tuple[Tensor, int]:
    """Σ b₋₂ gᵀ, (columns₋₂, out)."""
    source = source_of(module)
    x, g = stored_input(source), stored_gradient(module, desired_activation)
    with naming(module):
        rows = source.adapter.input_rows(source.layer, x)
        pulls = module.adapter.output_rows(module.layer, g)
        return cross_moment(rows, pulls, left_constant=source.use_bias), x.shape[0]


def cross_covariance_update(module: LayerModule) -> tuple[Tensor, int]:
    """Σ b₋₂ bᵀ, (columns₋₂, columns)."""
    source = source_of(module)
    x_prev, x = stored_input(source), stored_input(module)
    with naming(module):
        before = source.adapter.input_rows(source.layer, x_prev)
        rows = module.adapter.input_rows(module.layer, x)
        moment = cross_moment(before, rows, left_constant=source.use_bias, right_constant=module.use_bias)
        return moment, x.shape[0]


def n_update(module: LayerModule) -> Tensor:
    """−Σ b₋₂ (g − δ b)ᵀ over the stored batch, (columns₋₂, out)."""
    source = source_of(module)
    projected = projected_gradient(module, stored_input(module))
    with naming(module):
        rows = source.adapter.input_rows(source.layer, stored_input(source))
        pulls = module.adapter.output_rows(module.layer, projected)
        return -cross_moment(rows, pulls, left_constant=source.use_bias)


@torch.no_grad()
def projected_gradient(module: LayerModule, input_vector: Tensor) -> Tensor:
    """g − δ b, shaped like the pre-activity."""
    if module.optimal_delta_layer is None:
        raise GrowthError(f"{module.name} has no optimal delta: call compute_optimal_delta() first")
    change: Tensor = module.optimal_delta_layer(input_vector)
    return stored_gradient(module, None) - change


def start(module: LayerModule) -> None:
    """Empty the statistics and keep what the next forward passes show."""
    module.store_input = module.store_pre_activity = True
    module.capture.clear()
    clear(module)
    source = _source(module)
    if source is not None:
        source.needed_by_next = True
        source.input_moment.reset()


def stop(module: LayerModule) -> None:
    """Empty the statistics and keep nothing any more."""
    module.store_input = module.store_pre_activity = False
    module.capture.clear()
    clear(module)
    source = _source(module)
    if source is not None:
        source.needed_by_next = False
        if not source.store_input:
            source.capture.clear()
            source.input_moment.reset()


def clear(module: LayerModule) -> None:
    """Empty the module's own statistics."""
    module.input_moment.reset()
    for statistic in (module.tensor_m, module.tensor_m_prev, module.cross_covariance):
        statistic.reset()


@torch.no_grad()
def update(
    module: LayerModule,
    desired_activation: Tensor | None,
    weight_gradient: Tensor | None,
    bias_gradient: Tensor | None,
) -> None:
    """Count the stored batch in every statistic of the module."""
    forward_pass = module.capture.forward_pass
    module.input_moment.update_once(forward_pass, lambda: s_update(module))
    module.tensor_m.update(*_m_of_batch(module, desired_activation, weight_gradient, bias_gradient))
    source = _source(module)
    if source is not None:
        source.input_moment.update_once(source.capture.forward_pass, lambda: s_update(source))
        module.tensor_m_prev.update(*m_prev_update(module, desired_activation))
        module.cross_covariance.update(*cross_covariance_update(module))
    if desired_activation is not None:
        module.capture.gradient = desired_activation.detach()


def _m_of_batch(
    module: LayerModule,
    desired_activation: Tensor | None,
    weight_gradient: Tensor | None,
    bias_gradient: Tensor | None,
) -> tuple[Tensor, int]:
    """Mᵀ·n is the gradient of [weight | bias]: where that is at hand there is nothing to multiply."""
    if weight_gradient is None:
        return m_update(module, desired_activation)
    if module.use_bias and bias_gradient is None:
        g = stored_gradient(module, desired_activation)
        bias_gradient = module.adapter.output_rows(module.layer, g).sum(dim=0)
    with naming(module):
        expected = tuple(module.weight.shape)
        if tuple(weight_gradient.shape) != expected:
            raise GrowthError(
                f"the gradient of the weight has shape {tuple(weight_gradient.shape)}: expected {expected}"
            )
        matrix = module.adapter.matrix(weight_gradient, bias_gradient if module.use_bias else None)
    return matrix.T, stored_input(module).shape[0]


def _source(module: LayerModule) -> LayerModule | None:
    """Where growth statistics come from; None for modules that cannot grow (yet), which have none."""
    previous = module.previous_module
    if not module.allow_growing or not isinstance(previous, Linkable):
        return None
    return previous.direct_source()
