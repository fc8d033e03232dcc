"""Operations in place: every tensor that a call reads must be what it was when it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from gromo_graph.interop.operators import VIEWS
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped

# They give back what they read, or a view of it: dropout does in evaluation.
_VIEW_MODULES = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout)


@dataclass
class _Memory:
    """A tensor that several values of the model may stand for."""

    version: int = 0
    changed_by: str = ""


class Memories:
    """The tensors that the values of a model stand for, and their versions.

    Args:
        root: the traced model. values: those that have been read so far, by node.
    """

    def __init__(self, root: nn.Module, values: Mapping[fx.Node, Any]) -> None:
        self._root, self._values = root, values
        self._found: dict[fx.Node, tuple[_Memory, int]] = {}

    def changed_by(self, node: fx.Node) -> str | None:
        """The operation that has changed the value of a node in place since it was made; None if none has."""
        if node not in self._found:
            return None
        memory, version = self._found[node]
        return None if memory.version == version else memory.changed_by

    def check_inputs(self, node: fx.Node) -> None:
        """
        Raises:
            Unmapped: the call reads a value that has been changed in place.
        """
        for read in node.all_input_nodes:
            changed_by = self.changed_by(read)
            if changed_by is not None:
                raise Unmapped(
                    f"it reads `{read.name}`, which {changed_by} has changed in place: expected a new "
                    "tensor there (inplace=False, a + b)"
                )

    def add(self, node: fx.Node, name: str, *, in_place: bool) -> None:
        """Remember the result of a call: a new tensor, a view of one that it reads, or the next version of that one.

        Args:
            name: of the operation. in_place: whether it says that it writes into its input; a module says it itself.
        """
        module = self._root.get_submodule(str(node.target)) if node.op == "call_module" else None
        if module is not None:
            in_place = bool(getattr(module, "inplace", False))
        is_view = name in VIEWS or name == "dropout" or isinstance(module, _VIEW_MODULES)
        first = next((each for each in node.all_input_nodes if self._is_known(each)), None)
        if first is not None:
            self._found.setdefault(first, (_Memory(), 0))
        if first is None or not (in_place or is_view):
            self._found[node] = (_Memory(), 0)
            return
        memory, _ = self._found[first]
        if in_place:
            memory.version += 1
            memory.changed_by = f"`{node.target if module is not None else name}`"
        self._found[node] = (memory, memory.version)

    def _is_known(self, node: fx.Node) -> bool:
        return node in self._found or isinstance(self._values.get(node), ModelValue)
