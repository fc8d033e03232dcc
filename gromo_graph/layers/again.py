"""`again` and `tied_linear`: torch modules with the weights of another node. Nothing grows through them.

The module of a node alone knows no other; `bound` gives that which a network runs. It does not register the other
module, whose weights would else be listed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter, functional

from gromo_graph.errors import CompileError
from gromo_graph.layers.embedding import TokenVectors
from gromo_graph.layers.torch_half import TorchHalf
from gromo_graph.plain_torch.rows import PlainTorch
from gromo_graph.spec.kinds import Shape
from gromo_graph.spec.kinds.again import Again, TiedLinear


class AppliedAgain(torch.nn.Module):
    """(input, value of the other node) -> the other module, applied to the input.

    Args:
        other: the module. behind: operations that belong to it (`TorchHalf.behind`).
    """

    def __init__(self, other: torch.nn.Module | None = None, behind: Sequence[torch.nn.Module] = ()) -> None:
        super().__init__()
        self._other, self._behind = (other,), tuple(behind)

    def bound(self, other: torch.nn.Module, behind: Sequence[torch.nn.Module]) -> AppliedAgain:
        """The same with the module of the other node."""
        return AppliedAgain(other, behind)

    @property
    def other(self) -> torch.nn.Module:
        """The module of the other node."""
        (other,) = self._other
        assert other is not None
        return other

    def forward(self, x: Tensor, value: Tensor) -> Tensor:
        """The value of the other node says only where the weights are."""
        found: Tensor = self.other(x)
        for operation in self._behind:
            found = operation(found)
        return found


class TokenProducts(torch.nn.Module):
    """(input (n, features, ...), value of the embedding) -> products with the vectors of all tokens, (n, tokens, ...).

    Args:
        bias: of each token, (tokens,), or None. table: the module of the embedding.
    """

    def __init__(self, bias: Parameter | None, table: TokenVectors | None = None) -> None:
        super().__init__()
        self.bias = bias
        self._table = (table,)

    def bound(self, other: torch.nn.Module) -> TokenProducts:
        """The same with the module of the embedding.

        Raises:
            CompileError: it is none, or of another vocabulary.
        """
        if not isinstance(other, TokenVectors):
            raise CompileError(f"a tied_linear node reads the weights of an embedding, not of {other}")
        if self.bias is not None and self.bias.shape[0] != other.weight.shape[1]:
            raise CompileError(
                f"a tied_linear node has {self.bias.shape[0]} features: expected those of {other}"
            )
        return TokenProducts(self.bias, other).train(self.training)

    @property
    def weight(self) -> Parameter:
        """(features, tokens), of the embedding."""
        (table,) = self._table
        assert table is not None
        return table.weight

    def forward(self, x: Tensor, value: Tensor) -> Tensor:
        """The value of the embedding says only where the weights are."""
        return functional.linear(x.movedim(1, -1), self.weight.T, self.bias).movedim(-1, 1)


def _again(node: Again, inputs: Sequence[Shape]) -> AppliedAgain:
    return AppliedAgain()


def _tied(node: TiedLinear, inputs: Sequence[Shape]) -> TokenProducts:
    return TokenProducts(Parameter(torch.zeros(node.features)) if node.bias else None)


def _plain(part: TokenProducts) -> PlainTorch:
    held = {} if part.bias is None else {"_bias": part.bias}

    def compute(call: Any, x: Any) -> Any:
        # The table is that of the embedding, (tokens, features).
        return functional.linear(x.movedim(1, -1), call(".weight"), *map(call, held)).movedim(-1, 1)

    return PlainTorch(held, compute)


AGAIN = TorchHalf(_again)
TIED = TorchHalf(_tied, export={TokenProducts: _plain})
