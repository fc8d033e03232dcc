"""Values of a model that no input changes: its weights, and what it computes from them alone."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from gromo_graph.interop.operators import FORMS
from gromo_graph.interop.traces.trace import Trace
from gromo_graph.plain_torch.torch_call import Constant, Weight, trained_like


class ModelWeights:
    """Works out the values of a model that depend on weights alone.

    Args:
        trace: of a copy of the model. model: the one that has the weights. batch: samples in the trace.

    Attributes:
        folded: whether a parameter was computed from others: the spec may round it otherwise than the model.
    """

    def __init__(self, trace: Trace, model: nn.Module, batch: int) -> None:
        self._trace, self._model, self._batch = trace, model, batch
        self.folded = False

    def attribute(self, node: fx.Node) -> Any:
        """The value of an attribute of the model; a tensor as a `Weight`."""
        path = str(node.target)
        value = _at(self._model, path)
        if value is None:
            value = self._trace.constants.get(node, _at(self._trace.root, path))
        return Weight(path, value) if isinstance(value, Tensor) else value

    def computed(
        self, node: fx.Node, name: str, leaves: list[Any], arguments: Any, named: Any
    ) -> Weight | Constant:
        """A tensor made of weights alone is worked out; if it has parameters in it, it becomes one of its own.

        So a standardised weight, or the product of a norm and a direction, is the weight that a layer has from now on.
        """
        rows = self._looked_up(node, name, arguments)
        if rows is not None:
            return rows
        weights = [leaf for leaf in leaves if isinstance(leaf, Weight)]
        is_known = not any(isinstance(leaf, Constant) for leaf in leaves)
        if not is_known or not weights or node.op == "call_module":
            return Constant()

        def compute(*tensors: Tensor) -> Tensor:
            found: Tensor = _called(node, arguments, named, tensors)
            # A parameter that is repeated for each sample is the same for all.
            repeated = name in ("expand", "repeat", "expand_as") and found.shape[0] == self._batch
            return found[:1] if repeated and tensors[0].shape[:1] != found.shape[:1] else found

        with torch.no_grad():
            if name in FORMS and len(weights) == 1:
                return weights[0].converted(compute)
            table, *ids = weights
            if name in ("getitem", "index_select") and not any(
                each.tensor.is_floating_point() for each in ids
            ):
                return table.looked_up(lambda rows: compute(rows, *[each.tensor for each in ids]))
            found = compute(*[weight.tensor for weight in weights])
        return self._of_weights(found, weights)

    def _of_weights(self, found: Any, weights: list[Weight]) -> Weight | Constant:
        """The result of a computation on weights: a parameter if one of them is."""
        if not isinstance(found, Tensor):
            return Constant()
        trained = [weight for weight in weights if isinstance(weight.tensor, nn.Parameter)]
        if not trained or not found.is_floating_point():
            return Weight(weights[0].path, found)
        self.folded = True
        main = max(trained, key=lambda weight: weight.tensor.numel())
        return Weight(main.path, trained_like(main.tensor, found.clone()), main.owned)

    def _looked_up(self, node: fx.Node, name: str, arguments: Any) -> Weight | None:
        """The rows of a table for ids that no input changes, each of them once, or one for all; None for others."""
        module = module_at(self._model, str(node.target)) if node.op == "call_module" else None
        if type(module) is nn.Embedding:
            table = Weight(f"{node.target}.weight", module.weight)
        elif name == "embedding" and len(arguments) > 1 and isinstance(arguments[1], Weight):
            table = arguments[1]
        else:
            return None
        ids = arguments[0].tensor if isinstance(arguments[0], Weight) else torch.zeros(0)
        if ids.dim() == 2 and bool((ids == ids[:1]).all()):
            ids = ids[:1]
        different = ids.unique().numel()
        if different == 1:
            ids = ids.flatten()[:1]
        elif different < max(ids.numel(), 1) or ids.is_floating_point():
            return None
        return table.converted(lambda rows: rows[ids])


def _called(node: fx.Node, arguments: Any, named: Any, tensors: tuple[Tensor, ...]) -> Any:
    """The result of a call with tensors in the places of its weights."""
    at = iter(tensors)
    args, kwargs = pytree.tree_map(
        lambda leaf: next(at) if isinstance(leaf, Weight) else leaf, (arguments, named)
    )
    function: Any = node.target
    if node.op == "call_method":  # ~x is recorded by the name of its operator
        function = getattr(type(args[0]), function, None) or getattr(operator, function)
    return function(*args, **kwargs)


def _at(module: nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def module_at(module: nn.Module, path: str) -> nn.Module | None:
    """The module at a path; None if there is none."""
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None
