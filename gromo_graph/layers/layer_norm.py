"""`layer_norm`: the values of each sample, or of each of its positions, are normalised together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph.layers.joint_norm import FeaturesFirst, JointNormAdapter
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch, as_function
from gromo_graph.plain_torch.torch_call import TorchCall, weights_of
from gromo_graph.spec.kinds import LayerNorm, Shape


class FeatureNorm(FeaturesFirst, torch.nn.LayerNorm):
    """A layer norm of (n, features, ...) over the features of each position."""


def build(node: LayerNorm, inputs: Sequence[Shape]) -> torch.nn.LayerNorm:
    """The torch module of the node: all values of a sample together, or those of each position."""
    if node.over == "features" and len(inputs[0]) > 1:
        return FeatureNorm(inputs[0][0], node.eps, node.elementwise_affine, node.bias)
    return torch.nn.LayerNorm(list(inputs[0]), node.eps, node.elementwise_affine, node.bias)


class LayerNormAdapter(JointNormAdapter[torch.nn.LayerNorm]):
    """Implements `OperationAdapter`, with and without weight and bias."""

    operation_type = torch.nn.LayerNorm

    def scaled(self, operation: torch.nn.LayerNorm, x: Tensor, shape: Sequence[int]) -> Tensor:
        return functional.layer_norm(x, list(shape), eps=operation.eps)


def layer_norm(
    call: TorchCall,
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn: bool = False,
) -> ModelValue:
    """Over all values of a sample, or over the last dimension."""
    if weight is None and bias is not None:
        raise Unmapped("it has a bias and no weight: expected a weight too, or neither")
    weights = weights_of(call, weight=weight, bias=bias)
    fields = {
        "eps": float(eps),
        "elementwise_affine": weight is not None,
        "bias": bias is not None or weight is None,
    }
    return call.add_norm(LayerNorm, weights, input, tuple(normalized_shape), **fields)


def _plain(part: FeatureNorm) -> PlainTorch:
    affine = part.elementwise_affine
    norm = torch.nn.LayerNorm(part.normalized_shape, part.eps, affine, part.bias is not None, device="meta")
    norm.weight, norm.bias = part.weight, part.bias
    norm.train(part.training)
    return PlainTorch({"": norm}, lambda call, x: call("", x.movedim(1, -1)).movedim(-1, 1))


TORCH = TorchHalf(
    build,
    [LayerNormAdapter()],
    import_functions={"layer_norm": layer_norm},
    import_modules={torch.nn.LayerNorm: as_function(layer_norm, "normalized_shape", "weight", "bias", "eps")},
    export={FeatureNorm: _plain},
)
