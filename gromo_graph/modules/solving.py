"""From statistics to pending growth: the algebra called with a module's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gromo_graph.algebra import optimal_delta, optimal_extension
from gromo_graph.errors import GrowthError
from gromo_graph.modules.checks import expect_shape
from gromo_graph.modules.links import source_of
from gromo_graph.modules.measuring import naming

if TYPE_CHECKING:
    from gromo_graph.modules.layer import LayerModule


@torch.no_grad()
def compute_delta(
    module: LayerModule, *, update: bool, dtype: torch.dtype, force_pseudo_inverse: bool, ridge: float
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Solve for the module's own weights; the solution is kept for N, and as pending where asked."""
    with naming(module):
        result = optimal_delta(
            module.tensor_s().to(dtype),
            module.tensor_m().to(dtype),
            ridge=ridge,
            force_pseudo_inverse=force_pseudo_inverse,
        )
    delta = result.delta.to(module.weight.dtype)
    decrease = result.decrease.to(module.weight.dtype)
    weight, bias = module.adapter.weight_and_bias(module.layer, delta)
    weight = weight.reshape(module.weight.shape)
    module.delta_raw = result.delta
    module.delta_solver = result.solver
    if update:
        module.optimal_delta_layer = module.adapter.layer_of(module.layer, weight, bias)
        module.parameter_update_decrease = decrease
    return weight, bias, decrease


@torch.no_grad()
def tensor_n(module: LayerModule) -> Tensor:
    """N = −M_prev + C δᵀ with the delta solved for last, whatever has been done to the pending one."""
    source_of(module)
    if module.delta_raw is None:
        raise GrowthError(f"{module.name} has no optimal delta for N: call compute_optimal_delta() first")
    cross = module.cross_covariance()
    return -module.tensor_m_prev() + cross @ module.delta_raw.T.to(cross.dtype)


@torch.no_grad()
def compute_extension(
    module: LayerModule,
    *,
    numerical_threshold: float,
    statistical_threshold: float,
    maximum_added_neurons: int | None,
    update_previous: bool,
    dtype: torch.dtype,
    use_projected_gradient: bool,
    ridge: float,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Solve for new neurons and keep them as pending growth."""
    source = source_of(module)
    n = tensor_n(module) if use_projected_gradient else -module.tensor_m_prev()
    with naming(module):
        result = optimal_extension(
            source.tensor_s().to(dtype),
            n.to(dtype),
            ridge=ridge,
            numerical_threshold=numerical_threshold,
            statistical_threshold=statistical_threshold,
            maximum_neurons=maximum_added_neurons,
        )
    kind = module.weight.dtype
    alpha_weight, alpha_bias = source.adapter.weight_and_bias(source.layer, result.alpha.to(kind))
    omega, values = result.omega.to(kind), result.singular_values.to(kind)
    size = values.shape[0]
    alpha_weight = alpha_weight.reshape(source.adapter.out_extension_shape(source.layer, size))
    omega = omega.reshape(module.adapter.in_extension_shape(module.layer, size))
    put_extension(module, alpha_weight, alpha_bias, omega, values, update_previous=update_previous)
    module.extension_solver = result.solver
    return alpha_weight, alpha_bias, omega, values


@torch.no_grad()
def put_extension(
    module: LayerModule,
    alpha_weight: Tensor,
    alpha_bias: Tensor | None,
    omega: Tensor,
    eigenvalues: Tensor | None,
    *,
    update_previous: bool = True,
) -> None:
    """Keep neurons as pending growth, after everything about them has been checked."""
    source = source_of(module)
    size = alpha_weight.shape[0]
    expect_shape(module, "alpha", alpha_weight, source.adapter.out_extension_shape(source.layer, size))
    expect_shape(module, "omega", omega, module.adapter.in_extension_shape(module.layer, size))
    if source.use_bias != (alpha_bias is not None):
        found = "none" if alpha_bias is None else "one"
        raise GrowthError(
            f"{module.name}: the new neurons of {source.name} come with {found} for a bias: expected "
            f"{'one of shape ' + str((size,)) if source.use_bias else 'none'}, as the layer has"
        )
    if alpha_bias is not None:
        expect_shape(module, "the bias of alpha", alpha_bias, (size,))
    if eigenvalues is not None:
        expect_shape(module, "eigenvalues", eigenvalues, (size,))
    module.extended_input_layer = module.adapter.layer_of(module.layer, omega.to(module.weight), None)
    module.eigenvalues_extension = None if eigenvalues is None else eigenvalues.detach().clone()
    if update_previous:
        bias = None if alpha_bias is None else alpha_bias.to(source.weight)
        weight = alpha_weight.to(source.weight)
        source.extended_output_layer = source.adapter.layer_of(source.layer, weight, bias)
