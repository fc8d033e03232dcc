"""The delta of a layer's own weights: solved for from its statistics, and kept on it."""

from __future__ import annotations

import torch
from torch import Tensor

from gromo_graph.algebra import accumulation_dtype, optimal_delta
from gromo_graph.modules.layer_module import LayerModule
from gromo_graph.modules.update_statistics import naming


@torch.no_grad()
def compute_delta(
    module: LayerModule, *, update: bool, dtype: torch.dtype, force_pseudo_inverse: bool, ridge: float
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Solve for the module's own weights; the solution is kept for N, and as pending if asked for."""
    with naming(module):
        result = optimal_delta(
            module.tensor_s().to(dtype),
            module.tensor_m().to(dtype),
            ridge=ridge,
            force_pseudo_inverse=force_pseudo_inverse,
        )
    return keep_delta(module, result.delta, result.decrease, result.solver, update=update)


def keep_delta(
    module: LayerModule, delta: Tensor, decrease: Tensor, solver: str, *, update: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Keep a solution (out, columns) on its module; its weight, its bias and the decrease it promises."""
    # It soon passes the range of half precision.
    decrease = decrease.to(accumulation_dtype(module.weight.dtype))
    weight, bias = module.adapter.weight_and_bias(module.layer, delta.to(module.weight.dtype))
    module.delta_raw = delta
    module.delta_solver = solver
    if update:
        module.optimal_delta_layer = module.adapter.layer_of(module.layer, weight, bias)
        module.parameter_update_decrease = decrease
    return weight, bias, decrease
