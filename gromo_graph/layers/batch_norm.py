"""`batch_norm`: new channels start as the identity on the values that were measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from gromo_graph.errors import GrowthError
from gromo_graph.layers.operation import (
    NO_WEIGHTS,
    Features,
    Passed,
    Unchanging,
    with_entries,
)
from gromo_graph.layers.replaced import Replaced, grown, inserted
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import as_function
from gromo_graph.plain_torch.torch_call import TorchCall, weights_of
from gromo_graph.spec.kinds import BatchNorm, Shape


def build(node: BatchNorm, inputs: Sequence[Shape]) -> _BatchNorm:
    """The torch module of the node, by the number of axes it reads."""
    kind = torch.nn.BatchNorm2d if len(inputs[0]) == 3 else torch.nn.BatchNorm1d
    return kind(inputs[0][0], eps=node.eps, momentum=node.momentum)


class BatchNormAdapter(Unchanging[_BatchNorm]):
    """Growth through batch norm (docs/maths.md, "Norms").

    A new channel gets its measured mean and variance as running statistics, the root of the variance as weight and the
    mean as bias: in evaluation mode it passes unchanged, in training mode on the measured batch likewise.
    """

    operation_type = _BatchNorm
    needs_moments = True

    def obstacle(self, operation: _BatchNorm, entering: Features) -> str | None:
        if operation.num_features != entering.width:
            return (
                f"it normalises {operation.num_features} of something else than the {entering.width} features"
            )
        return None if operation.affine else NO_WEIGHTS

    def check(self, operation: _BatchNorm, size: int, passed: Passed) -> None:
        if passed.mean is None or passed.variance is None:
            raise GrowthError(
                f"{operation} must know the mean and variance of the {size} new channels: run extended_forward on "
                "data with the scaling factor set, or keep the stored inputs of the last forward pass"
            )

    def grow(self, operation: _BatchNorm, at: int, size: int, passed: Passed) -> list[Replaced]:
        """Insert channels with the measured statistics."""
        assert passed.mean is not None  # it was checked
        assert passed.variance is not None
        operation.num_features += size
        if operation.running_mean is not None and operation.running_var is not None:
            operation.running_mean = inserted(operation.running_mean, passed.mean, dim=0, at=at)
            operation.running_var = inserted(operation.running_var, passed.variance, dim=0, at=at)
        weight = (passed.variance + operation.eps).sqrt()
        return [
            grown(operation, "weight", weight, dim=0, at=at),
            grown(operation, "bias", passed.mean, dim=0, at=at),
        ]

    def left(self, operation: _BatchNorm, places: Tensor) -> torch.nn.Module:
        new = with_entries(operation, places)
        new.num_features = len(places)
        return new


def make_identity(norm: _BatchNorm) -> bool:
    """√(1 + ε) undoes the running variance, which begins at 1."""
    with torch.no_grad():
        norm.weight.fill_((1.0 + norm.eps) ** 0.5)
    return True


def batch_norm(
    call: TorchCall,
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: Any = None,
) -> ModelValue:
    """Running statistics become buffers of the node."""
    if running_mean is None or running_var is None:
        raise Unmapped("it keeps no running mean and variance: expected track_running_stats=True")
    if weight is None or bias is None:
        raise Unmapped("it has no weight and bias: expected affine=True")
    if momentum is None:
        raise Unmapped("its running mean is that of all batches (momentum=None): expected a number")
    weights = weights_of(
        call,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_var=running_var,
        num_batches_tracked=num_batches_tracked,
    )
    fields = {"eps": float(eps), "momentum": float(momentum)}
    return call.add(BatchNorm, weights, sources=(call.exact(input),), **fields)


def exported_batch_norm(
    call: TorchCall,
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool = False,
) -> ModelValue:
    """The operator of torch.export, which has another order of arguments than the function."""
    return batch_norm(call, input, running_mean, running_var, weight, bias, training, momentum, eps)


_MODULE = as_function(
    batch_norm,
    *("running_mean", "running_var", "weight", "bias", "momentum", "eps", "num_batches_tracked"),
)

TORCH = TorchHalf(
    build,
    [BatchNormAdapter()],
    identity=make_identity,
    import_functions={"batch_norm": batch_norm, "aten::batch_norm": exported_batch_norm},
    import_modules={torch.nn.BatchNorm1d: _MODULE, torch.nn.BatchNorm2d: _MODULE},
)
