"""`prelu`: a relu with trained slopes below 0; a new feature begins with torch's slope of 0.25."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gromo_graph.algebra import Tangent, tangent_of
from gromo_graph.layers.operation import Channels, Elementwise, Features, NewChannels, Passed, with_entries
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue
from gromo_graph.plain_torch.rows import PlainTorch, as_function
from gromo_graph.plain_torch.torch_call import TorchCall, sizes_of, weights_of
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.prelu import PReLU

_SLOPE = 0.25


class FeaturePReLU(torch.nn.PReLU):
    """With a slope for each feature, of a single one too."""


def build(node: PReLU, inputs: Sequence[Shape]) -> torch.nn.PReLU:
    """The torch module of the node."""
    return torch.nn.PReLU(init=_SLOPE) if node.shared else FeaturePReLU(inputs[0][0], _SLOPE)


class PReLUAdapter(Elementwise):
    """New channels pass the shared slope, or a slope of their own (docs/maths.md, "Exact slopes")."""

    operation_type = torch.nn.PReLU

    def obstacle(self, operation: torch.nn.Module, entering: Features) -> str | None:
        slopes = operation.get_parameter("weight").numel()
        if _is_shared(operation) or slopes == entering.width:
            return None
        return f"it has slopes for {slopes} features, not for {entering.width}"

    def new_alone(self, operation: torch.nn.Module, new: NewChannels) -> Tensor:
        result: Tensor = _of_new(operation)(new.values)
        return result

    def tangent(self, operation: torch.nn.Module, channels: Channels) -> Channels:
        return super().tangent(_of_new(operation), channels)

    def gain(self, operation: torch.nn.Module, resting: float) -> Tangent:
        return tangent_of(_of_new(operation), resting)

    def grow(self, operation: torch.nn.Module, at: int, size: int, passed: Passed) -> list[Replaced]:
        if _is_shared(operation):
            return []
        slopes = operation.get_parameter("weight").new_full((size,), _SLOPE)
        change = grown(operation, "weight", slopes, dim=0, at=at)
        vars(operation)["num_parameters"] = change.new.numel()
        return [change]

    def left(self, operation: torch.nn.Module, places: Tensor) -> torch.nn.Module:
        if _is_shared(operation):
            return operation
        new = with_entries(operation, places)
        vars(new)["num_parameters"] = len(places)
        return new


def _is_shared(operation: torch.nn.Module) -> bool:
    return not isinstance(operation, FeaturePReLU) and operation.get_parameter("weight").numel() == 1


def _of_new(operation: torch.nn.Module) -> torch.nn.Module:
    """The function that new channels pass."""
    return (
        operation
        if _is_shared(operation)
        else torch.nn.PReLU(init=_SLOPE).to(operation.get_parameter("weight"))
    )


def make_identity(prelu: torch.nn.PReLU) -> bool:
    """Slopes of 1."""
    with torch.no_grad():
        prelu.weight.fill_(1.0)
    return True


def prelu(call: TorchCall, input: Any, weight: Any) -> ModelValue:
    """One slope, so that it does not matter as which shape the value is read; or one for each feature."""
    weights = weights_of(call, weight=weight)
    if sizes_of(weights["weight"]) == (1,):
        view = call.in_any_order(input)
        return replace(view, node=call.add(PReLU, weights, sources=(view.node,)).node)
    return call.add(PReLU, weights, sources=(call.exact(input),), shared=False)


def _plain(part: FeaturePReLU) -> PlainTorch:
    module = torch.nn.PReLU(part.num_parameters, device="meta")
    module.weight = part.weight
    return PlainTorch({"": module.train(part.training)}, lambda call, x: call("", x))


TORCH = TorchHalf(
    build,
    [PReLUAdapter()],
    identity=make_identity,
    import_functions={"prelu": prelu},
    import_modules={torch.nn.PReLU: as_function(prelu, "weight")},
    export={FeaturePReLU: _plain},
)
