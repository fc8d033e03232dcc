"""`padding_mask`: 0 at the positions of a text that are filled up, 1 elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.blueprint import Unmapped
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Input, Shape
from gromo_graph.spec.kinds.padding_mask import PaddingMask


class NotPadding(torch.nn.Module):
    """1 for each id but that of the padding, for which it is 0."""

    like: Tensor

    def __init__(self, padding_idx: int) -> None:
        super().__init__()
        self.padding_idx = padding_idx
        self.register_buffer("like", torch.zeros(()), persistent=False)  # it goes where the network goes

    def forward(self, ids: Tensor) -> Tensor:
        """(n, length) of ids, (n, 1, length) in the precision of the network."""
        mask: Tensor = self.of(ids)
        return mask

    def of(self, ids: Any) -> Any:
        """The same."""
        return ids.ne(self.padding_idx).unsqueeze(1).to(self.like.dtype)

    def extra_repr(self) -> str:
        """The id of the padding."""
        return f"padding_idx={self.padding_idx}"


def build(node: PaddingMask, inputs: Sequence[Shape]) -> NotPadding:
    """The torch module of the node."""
    return NotPadding(node.padding_idx)


@dataclass(frozen=True, repr=False)
class Padding:
    """Truth values of a model: whether the positions of a text are padding, or whether they are not.

    Attributes:
        node: the `padding_mask`. shape: in the model. inverted: true for padding, for which the node gives 0.
    """

    node: str
    shape: Shape
    inverted: bool

    def __repr__(self) -> str:
        return "a mask of padding, which attention alone reads"


def equal(call: TorchCall, input: Any, other: Any) -> Padding:
    """`ids == padding`.

    Raises:
        Unmapped: it compares something else than the ids of an input with a number.
    """
    view = call.in_any_order(input)
    if (
        not isinstance(other, int)
        or not isinstance(call.blueprint.nodes[view.node], Input)
        or len(view.own) != 1
    ):
        raise Unmapped(
            "a spec compares no values: expected the token ids of an input and the id of their padding"
        )
    return Padding(
        call.add(PaddingMask, sources=(view.node,), padding_idx=other).node, call.shape, inverted=True
    )


def unequal(call: TorchCall, input: Any, other: Any) -> Padding:
    """`ids != padding`."""
    return replace(equal(call, input, other), inverted=False)


def mask_of_keys(call: TorchCall, given: Any) -> tuple[str, ...]:
    """The node of a mask that is true for padding, as torch's `key_padding_mask`; none if there is no mask.

    Raises:
        Unmapped: it is no comparison of token ids with that of the padding.
    """
    if given is None:
        return ()
    if isinstance(given, Padding) and given.inverted:
        return (given.node,)
    raise Unmapped("its mask of padding is computed: expected a comparison `ids == padding` with an input")


TORCH = TorchHalf(
    build,
    import_functions={"eq": equal, "ne": unequal},  # type: ignore[dict-item]
    export={NotPadding: lambda part: PlainTorch({}, lambda call, ids: part.of(ids))},
)
