"""AttentionModule: the values of one sequence, mixed by the match of their keys with the queries of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gromo_graph.errors import GrowthError
from gromo_graph.layers import operations_of
from gromo_graph.layers.attention import Attend, Mixing
from gromo_graph.layers.channel_propagation import pass_both
from gromo_graph.modules.linkable import Linkable
from gromo_graph.modules.merge_module import MergeGrowingModule


class AttentionModule(MergeGrowingModule):
    """A merge of query, key and value, in this order, and of a mask if there is one.

    To growth it is an operation that the value passes: new features of the value are mixed as the old ones are. What
    query and key grow by changes the mixing itself; that is not pending growth of modules.

    Args:
        attend: what it computes. post_merge_function: what follows. name: for messages.
    """

    unregistered: ClassVar[frozenset[str]] = MergeGrowingModule.unregistered | {"mixing", "_chain"}

    def __init__(
        self, attend: Attend, post_merge_function: torch.nn.Module | None = None, name: str | None = None
    ) -> None:
        super().__init__(post_merge_function, name="an attention" if name is None else name)
        self.merge = "attention"
        self.attend = attend
        self.mixing = Mixing(attend)
        self._chain: torch.nn.Sequential | None = None

    def _merged(self, tensors: tuple[Tensor, ...]) -> Tensor:
        if not torch.compiler.is_compiling():
            self.mixing.see(*tensors)
        mixed: Tensor = self.attend(*tensors)
        return mixed

    def extended_forward(self, *pairs: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        """The forward pass as it would be after the growth of the value; nothing is stored.

        Raises:
            GrowthError: another number of tensors, or further channels of query or key.
        """
        self._check_count(len(pairs))
        (query, new_query), (key, new_key), (value, new), *masked = pairs
        mask = [each for each, _ in masked]
        if new_query is not None or new_key is not None:
            raise GrowthError(
                f"{self.name} got further channels of its query or key: expected of the value alone"
            )
        if new is None:
            return self.post_merge_function(self.attend.mixed(query, key, value, *mask)), None
        with self.mixing.seeing(query, key, value, *mask):
            return pass_both(self.function, self.function, value, new, self.passed)

    @property
    def function(self) -> torch.nn.Module:
        """The function that the value passes: the mixing, and what follows."""
        behind = list(operations_of(self.post_merge_function))
        if self._chain is None or list(self._chain)[1:] != behind:
            self._chain = torch.nn.Sequential(self.mixing, *behind)
        return self._chain

    # To growth the value alone comes in

    def inputs(self) -> Sequence[Linkable | int]:
        """The value."""
        return self._inputs[2:3]

    def _width_of(self, inputs: Sequence[Linkable | int]) -> int | None:
        return super()._width_of(inputs[2:3])

    def extra_repr(self) -> str:
        """The name, for `repr`."""
        return f"name={self.name!r}"
