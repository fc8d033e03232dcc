"""Transformer encoders of torch as nodes: several for one module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn import functional

from gromo_graph.interop.arithmetic import add
from gromo_graph.interop.operators import ACTIVATIONS
from gromo_graph.layers.dropout import dropout
from gromo_graph.layers.layer_norm import layer_norm
from gromo_graph.layers.linear import linear
from gromo_graph.layers.multihead import multihead_attention
from gromo_graph.plain_torch.blueprint import ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall

_ACTIVATIONS: Mapping[Any, str] = {functional.relu: "relu", functional.gelu: "gelu"}


def encoder_layer(
    call: TorchCall,
    module: Any,
    x: Any,
    src_mask: Any = None,
    src_key_padding_mask: Any = None,
    is_causal: Any = False,
) -> ModelValue:
    """Attention and a feed-forward part, each added to what it reads, with norms before or behind.

    Raises:
        Unmapped: another mask than one of padding, or an activation that a spec does not know.
    """
    if src_mask is not None or is_causal:
        raise Unmapped("it is given a mask: expected attention to all positions, or a mask of padding")
    view = call.view(x)
    if module.norm_first:
        attended = _attended(call, module, _normed(call, module, "norm1", view), src_key_padding_mask)
        view = _added(call, "attended", view, attended)
        return _added(call, "fed", view, _fed(call, module, _normed(call, module, "norm2", view)))
    attended = _attended(call, module, view, src_key_padding_mask)
    view = _normed(call, module, "norm1", _added(call, "attended", view, attended))
    return _normed(call, module, "norm2", _added(call, "fed", view, _fed(call, module, view)))


def encoder(
    call: TorchCall,
    module: Any,
    x: Any,
    mask: Any = None,
    src_key_padding_mask: Any = None,
    is_causal: Any = None,
) -> ModelValue:
    """Layer after layer, and a norm behind the last if there is one."""
    view = call.view(x)
    for place, layer in enumerate(module.layers):
        inner = call.inside(f"layers.{place}", call.shape)
        view = encoder_layer(inner, layer, view, mask, src_key_padding_mask, is_causal)
    return view if module.norm is None else _normed(call, module, "norm", view)


def _attended(call: TorchCall, module: Any, view: ModelValue, padding: Any) -> ModelValue:
    inner = call.inside("self_attn", call.shape)
    found, _ = multihead_attention(inner, module.self_attn, view, view, view, padding)
    return _dropped(call, module, "dropout1", found)


def _fed(call: TorchCall, module: Any, view: ModelValue) -> ModelValue:
    name = _ACTIVATIONS.get(module.activation) or _named(module.activation)
    wide = _linear(call, module, "linear1", view)
    active = ACTIVATIONS[name](call.inside(f"linear1.{name}", wide.shape), wide)
    narrow = _linear(call, module, "linear2", _dropped(call, module, "dropout", active))
    return _dropped(call, module, "dropout2", narrow)


def _named(activation: Any) -> str:
    for kind, name in ((nn.ReLU, "relu"), (nn.GELU, "gelu")):
        if isinstance(activation, kind) and getattr(activation, "approximate", "none") == "none":
            return name
    raise Unmapped(f"its activation is {activation}: expected relu or gelu")


def _linear(call: TorchCall, module: Any, name: str, view: ModelValue) -> ModelValue:
    layer = getattr(module, name)
    inner = call.inside(name, (*view.shape[:-1], layer.out_features))
    return linear(inner, view, inner.weight_in(layer, "weight"), inner.weight_in(layer, "bias"))


def _normed(call: TorchCall, module: Any, name: str, view: ModelValue) -> ModelValue:
    norm = getattr(module, name)
    if not isinstance(norm, nn.LayerNorm):
        raise Unmapped(f"its {name} is a {type(norm).__name__}: expected a LayerNorm")
    inner = call.inside(name, view.shape)
    weights = (inner.weight_in(norm, "weight"), inner.weight_in(norm, "bias"))
    return layer_norm(inner, view, norm.normalized_shape, *weights, norm.eps)


def _dropped(call: TorchCall, module: Any, name: str, view: ModelValue) -> ModelValue:
    p = getattr(module, name).p
    return view if p == 0.0 else dropout(call.inside(name, view.shape), view, p)


def _added(call: TorchCall, name: str, view: ModelValue, more: ModelValue) -> ModelValue:
    return add(call.inside(name, view.shape), view, more)
