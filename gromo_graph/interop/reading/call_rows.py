"""The row that reads a call: of its operation, its module, or the pattern that its arguments are part of."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from gromo_graph.interop.call_patterns.attention import ATTENTION
from gromo_graph.interop.call_patterns.rms_norm import MeanSquare, row_of_squares
from gromo_graph.interop.call_patterns.scores import Scores, module_of_scores, row_of_scores
from gromo_graph.interop.fixed_call import kept_call
from gromo_graph.interop.module_rows import module_row
from gromo_graph.interop.operators import HINTS, function_row
from gromo_graph.interop.reading.weights import module_at
from gromo_graph.interop.traces.trace import ITSELF, Trace
from gromo_graph.layers.reparametrized import plain_weights, reparametrized
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.kept_modules import keep
from gromo_graph.plain_torch.torch_call import TorchCall

Row = Callable[..., Any]
"""(call, arguments of the call) -> the value, with nodes of the blueprint for it."""


class CallRows:
    """Finds the rows of the calls of a model.

    Args:
        trace: of a copy of the model. model: the one that has the weights and the modes. batch: samples in the trace.
        fixed: paths of modules that are kept as they are.
    """

    def __init__(self, trace: Trace, model: nn.Module, batch: int, fixed: Collection[str]) -> None:
        self._trace, self._model, self._batch, self._fixed = trace, model, batch, fixed
        self._called: set[str] = set()

    def row(self, node: fx.Node, name: str, arguments: Any, named: Any) -> Row:
        """The row of a call.

        Raises:
            Unmapped: there is none.
        """
        path = str(node.target)
        module = self._trace.root.get_submodule(path) if node.op == "call_module" else None
        if any(isinstance(leaf, Scores) for leaf in pytree.tree_leaves((arguments, named))):
            if module is not None:
                return module_of_scores(module, self._model.training)
            return ATTENTION.get(name) or row_of_scores(name)
        if any(isinstance(leaf, MeanSquare) for leaf in (*arguments, *named.values())):
            return row_of_squares(name)
        if module is not None:
            return self._of_module(path, module)
        row = function_row(name)
        if row is None or not _is_of_torch(node):
            hint = HINTS.get(ITSELF.get(name, name))
            raise Unmapped(f"a spec has nothing like it{f': {hint}' if hint else ''}")
        return row

    def _of_module(self, path: str, module: nn.Module) -> Row:
        row = module_row(module)
        known = module_at(self._model, path)
        original = plain_weights(module if known is None else known)
        if path in self._fixed:
            return self.module_as_it_is(path)
        if row is None:
            raise Unmapped("the language has no such kind")
        computed = reparametrized(original)
        if computed is not None:
            raise Unmapped(computed)
        self._called.add(path)
        return lambda call, *arguments, **named: row(call, original, *arguments, **named)

    def module_as_it_is(self, path: str) -> Row:
        """The row that keeps a module of the model as it is.

        Raises:
            Unmapped: the model calls it more than once.
        """
        if path in self._called:
            raise Unmapped("it is called more than once")
        self._called.add(path)
        module = self._model.get_submodule(path)

        def kept(call: TorchCall, *arguments: Any, **named: Any) -> ModelValue:
            if not named and all(isinstance(each, ModelValue) for each in arguments):
                return keep(call, module, arguments)
            called = type(module).__name__
            return keep(call, *kept_call(called, module, arguments, named, batch=self._batch))

        return kept


def _is_of_torch(node: fx.Node) -> bool:
    """True if a function is torch's or Python's own, and not one of the user's with such a name."""
    target: Any = node.target
    if isinstance(target, str | torch._ops.OpOverload):
        return True
    home = getattr(target, "__module__", None) or ""
    return (
        home.split(".")[0] in ("torch", "_operator", "operator", "builtins")
        or target in vars(operator).values()
        or not home
    )
