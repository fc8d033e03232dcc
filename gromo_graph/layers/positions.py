"""`positions`: a learned number for each feature at each position; new features pass unchanged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph.layers.operation import Features, Passed, Unchanging, with_entries
from gromo_graph.layers.replaced import Replaced, grown
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.plain_torch.torch_call import TorchCall, Weight
from gromo_graph.spec import kinds


class AddedPositions(torch.nn.Module):
    """x + weight.

    Args:
        shape: of one sample, (features, length) or (features, height, width). The weight begins with zeros.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.weight = Parameter(torch.zeros(*shape))

    def forward(self, x: Tensor) -> Tensor:
        """(n, features, ...), shaped like the input."""
        return x + self.weight

    def extra_repr(self) -> str:
        """Its shape."""
        return str(tuple(self.weight.shape))


def build(node: kinds.Positions, inputs: Sequence[kinds.Shape]) -> AddedPositions:
    """The torch module of the node; its weights are drawn by the compiler, from a generator."""
    return AddedPositions(inputs[0])


class PositionsAdapter(Unchanging[AddedPositions]):
    """A new feature gets a number of 0 at every position."""

    operation_type = AddedPositions

    def obstacle(self, operation: AddedPositions, entering: Features) -> str | None:
        if operation.weight.shape[0] != entering.width:
            return f"it has numbers for {operation.weight.shape[0]} features, not for {entering.width}"
        return None

    def grow(self, operation: AddedPositions, at: int, size: int, passed: Passed) -> list[Replaced]:
        old = operation.weight
        return [grown(operation, "weight", old.new_zeros(size, *old.shape[1:]), dim=0, at=at)]

    def left(self, operation: AddedPositions, places: Tensor) -> torch.nn.Module:
        return with_entries(operation, places)


def make_identity(positions: AddedPositions) -> bool:
    """All numbers 0."""
    with torch.no_grad():
        positions.weight.zero_()
    return True


def add_parameter(call: TorchCall, value: ModelValue, weight: Weight) -> ModelValue:
    """`x + parameter` in a model, a parameter with a number for each value of a sample, alone or as a batch of one.

    Raises:
        Unmapped: the parameter has another shape.
    """
    given = tuple(weight.tensor.shape)
    if len(value.shape) < 2 or given not in (tuple(value.shape), (1, *value.shape)):
        raise Unmapped(
            f"it adds the parameter `{weight.path}` of shape {list(given)} to {list(value.shape)}: expected a number "
            "for each value of a sample"
        )
    if not value.features_last:
        own = weight.converted(lambda given: given.reshape(value.shape))
        return call.add(kinds.Positions, {"weight": own}, sources=(call.exact(value),))
    source = call.blueprint.by_features(value)
    shape = call.blueprint.shapes[source]
    own = weight.converted(lambda given: given.reshape(value.shape).movedim(-1, 0).reshape(shape))
    return call.behind_positions(call.add(kinds.Positions, {"weight": own}, sources=(source,)))


TORCH = TorchHalf(
    build,
    [PositionsAdapter()],
    identity=make_identity,
    export={AddedPositions: lambda part: PlainTorch({"": part.weight}, lambda call, x: x + call(""))},
)
"""A model that adds a parameter is read by `add_parameter`, from `interop/operators.py`."""
