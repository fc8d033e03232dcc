"""R² and RMSE of a regression, with the target's own units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gromo_graph.network.forward import evaluation_mode
from gromo_graph.run.trainer import Batches, single_output


def r2_and_rmse(
    network: torch.nn.Module, loader: Batches, scale: Sequence[float] = ()
) -> tuple[float, float]:
    """R² = 1 − Σ(y − f(x))² / Σ(y − ȳ)² and RMSE = scale · √(Σ(y − f(x))² / n) of all samples, in evaluation mode.

    Of several outputs they are means, as scikit-learn's `r2_score` and `root_mean_squared_error` are. R² of a target
    that never changes is 1 if it is met, else 0.

    Args:
        network: that gives f(x). loader: batches of x and y, standardised.
        scale: units of the target for each standardised one, by output; empty if targets are not standardised.
    """
    errors, targets = [], []
    with torch.no_grad(), evaluation_mode(network):
        for x, y in loader:
            prediction = single_output(network(x))
            targets.append(_rows(y))
            errors.append(_rows(prediction) - targets[-1])
    error, target = torch.cat(errors).square().mean(dim=0), torch.cat(targets)
    variance = target.var(dim=0, correction=0)
    constant = variance == 0.0
    explained = 1.0 - error / torch.where(constant, 1.0, variance)
    r2 = torch.where(constant, (error == 0.0).to(explained), explained)
    units = torch.tensor(scale or (1.0,), dtype=torch.float64)
    return float(r2.mean()), float((error.sqrt() * units).mean())


def _rows(values: Tensor) -> Tensor:
    """(samples, outputs) in double precision on the CPU."""
    return values.detach().reshape(len(values), -1).cpu().double()
