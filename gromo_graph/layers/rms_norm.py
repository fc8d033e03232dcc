"""`rms_norm`: the values of each sample, or of each of its positions, are divided by their root mean square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph.layers.joint_norm import FeaturesFirst, JointNormAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import PlainTorch, as_function
from gromo_graph.plain_torch.torch_call import TorchCall, weights_of
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.rms_norm import RMSNorm


class FeatureRMSNorm(FeaturesFirst, torch.nn.RMSNorm):
    """An RMS norm of (n, features, ...) over the features of each position."""


def build(node: RMSNorm, inputs: Sequence[Shape]) -> torch.nn.RMSNorm:
    """The torch module of the node: all values of a sample together, or those of each position."""
    if node.over == "features" and len(inputs[0]) > 1:
        return FeatureRMSNorm(inputs[0][0], eps=node.eps, elementwise_affine=node.elementwise_affine)
    return torch.nn.RMSNorm(list(inputs[0]), eps=node.eps, elementwise_affine=node.elementwise_affine)


class RMSNormAdapter(JointNormAdapter[torch.nn.RMSNorm]):
    """Implements `OperationAdapter`, with and without weight."""

    operation_type = torch.nn.RMSNorm

    def scaled(self, operation: torch.nn.RMSNorm, x: Tensor, shape: Sequence[int]) -> Tensor:
        return functional.rms_norm(x, list(shape), eps=operation.eps)


def rms_norm(
    call: TorchCall, input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> ModelValue:
    """Over all values of a sample, or over the last dimension."""
    fields = {"eps": None if eps is None else float(eps), "elementwise_affine": weight is not None}
    weights = weights_of(call, weight=weight)
    return call.add_norm(RMSNorm, weights, input, tuple(normalized_shape), **fields)


def _plain(part: FeatureRMSNorm) -> PlainTorch:
    affine = part.elementwise_affine
    norm = torch.nn.RMSNorm(part.normalized_shape, eps=part.eps, elementwise_affine=affine, device="meta")
    norm.weight = part.weight
    norm.train(part.training)
    return PlainTorch({"": norm}, lambda call, x: call("", x.movedim(1, -1)).movedim(-1, 1))


TORCH = TorchHalf(
    build,
    [RMSNormAdapter()],
    import_functions={"rms_norm": rms_norm},
    import_modules={torch.nn.RMSNorm: as_function(rms_norm, "normalized_shape", "weight", "eps")},
    export={FeatureRMSNorm: _plain},
)
