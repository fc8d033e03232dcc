"""Modules of a model that are nodes as they are, because no kind says what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from torch import nn

from gromo_graph.plain_torch.arrangement import BATCH, Arranged, along, places
from gromo_graph.plain_torch.blueprint import ModelValue, Source, Unmapped
from gromo_graph.plain_torch.features_last import FeaturesLast, InOrder
from gromo_graph.plain_torch.torch_call import TorchCall
from gromo_graph.spec.kinds import Fixed, Shape


def keep(call: TorchCall, module: nn.Module, values: Sequence[Any]) -> ModelValue:
    """A node that is the module itself.

    Raises:
        Unmapped: it shares weights, or reads or gives something that no node does.
    """
    if not 1 <= len(call.shape) <= 3:
        raise Unmapped(f"it gives {list(call.shape)} of a sample: expected 1 to 3 dimensions")
    alone = len(values) == 1
    if alone and _has_other_positions(call, values[0]):
        return _keep_in_order(call, module, call.arranged(values[0]))
    try:
        views = [call.view(value) for value in values]
        sources = call.blueprint.different([_features_first(call, view) for view in views])
    except Unmapped:
        if alone:
            return _keep_in_order(call, module, call.arranged(values[0]))
        raise
    turned = tuple(view.features_last for view in views)
    if not any(turned):
        return _fixed(call, module, module, sources, call.shape)
    if len(call.shape) == 1:
        return _fixed(call, module, FeaturesLast(module, turned), sources, call.shape)
    shape = (call.shape[-1], *call.shape[:-1])
    return call.behind_positions(_fixed(call, module, FeaturesLast(module, turned), sources, shape))


def _fixed(
    call: TorchCall, module: nn.Module, kept: nn.Module, sources: Sequence[str], shape: Shape
) -> ModelValue:
    """The node of a module, of which `kept` is what the network holds."""
    call.claim(module)
    return call.blueprint.add(
        call.named(Fixed, {}),
        Fixed,
        Source(training=call.training, module=kept),
        sources=tuple(sources),
        module=getattr(kept, "called", type(kept).__name__),
        takes=tuple(call.blueprint.shapes[source] for source in sources),
        shape=shape,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )


def _has_other_positions(call: TorchCall, value: Any) -> bool:
    """True for a value that the model reads with its positions cut or joined, such as windows, and gives so too."""
    view = call.in_any_order(value)
    of_node = view.own in (view.shape, (*view.shape[-1:], *view.shape[:-1]))
    same_size = len(view.own) > 1 and (call.batch, *view.shape) == call.sizes
    return not isinstance(view, Arranged) and view.features_last and same_size and not of_node


def _keep_in_order(call: TorchCall, module: nn.Module, value: Arranged) -> ModelValue:
    """A node that is a module which reads all values of another in some order, and gives as many in the same.

    Raises:
        Unmapped: it gives another shape, or reads a part, or several samples as one.
    """
    at = places(value)
    has_batch = value.dims[0] == along(BATCH, call.batch)
    if value.sizes != call.sizes or at.numel() != prod(value.own) or not has_batch:
        raise Unmapped(
            f"it reads {list(value.sizes)} and gives {list(call.sizes)}: expected the batch first, and the same shape"
        )
    kept = InOrder(module, at)
    kept.training = module.training
    return replace(value, node=_fixed(call, module, kept, (value.node,), value.own).node)


def _features_first(call: TorchCall, view: ModelValue) -> ModelValue:
    """The value of a node, for a model that may read features last."""
    if not view.features_last:
        return view
    node = call.blueprint.by_features(view)
    if len(view.shape) == 2:  # of an image the model reads the sequence of its positions
        node = call.blueprint.sequence(node)
    shape = call.blueprint.shapes[node]
    return ModelValue(node, shape, shape)
