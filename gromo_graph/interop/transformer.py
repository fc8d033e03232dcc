"""What torch's attention and transformer encoders are in a spec: several nodes for one module.

torch keeps the features of a head side by side, in a spec the heads take turns: the rows of the weights are brought
into that order, and the columns of what reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph.interop import operators, weighted
from gromo_graph.interop.blueprint import Unmapped, View
from gromo_graph.interop.calls import Call, Weight
from gromo_graph.spec.kinds import Attention, Conv1d

_ACTIVATIONS: Mapping[Any, str] = {functional.relu: "relu", functional.gelu: "gelu"}


def multihead_attention(
    call: Call,
    module: nn.MultiheadAttention,
    query: Any,
    key: Any,
    value: Any,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[View, None]:
    """Three layers, an attention and the layer that reads it; the weights of attention are not handed on.

    Raises:
        Unmapped: it is told of masks, or has options that a spec does not know.
    """
    if key_padding_mask is not None or attn_mask is not None or is_causal:
        raise Unmapped("it is given a mask: expected attention to all positions")
    if not module.batch_first:
        raise Unmapped("it has the batch behind the positions: expected batch_first=True")
    if module.bias_k is not None or module.add_zero_attn:
        raise Unmapped("it adds positions of its own: expected add_bias_kv=False and add_zero_attn=False")
    call.claim(module)
    turns = _turns(module.embed_dim, module.num_heads)
    views = [call.view(each) for each in (query, key, value)]
    weights, biases = _in_projections(module)
    sides = []
    for name, view, weight, bias in zip(("query", "key", "value"), views, weights, biases, strict=True):
        tensors = {"weight": _rows(weight, turns)} | ({} if bias is None else {"bias": _rows(bias, turns)})
        sides.append(_projection(call, name, view, tensors))
    mixed = call.blueprint.add(
        f"{call.where}.mixed".lstrip("."),
        Attention,
        sources=tuple(sides),
        heads=module.num_heads,
        dropout=float(module.dropout),
    )
    out = module.out_proj
    tensors = {"weight": _columns(out.weight, turns)} | (
        {} if out.bias is None else {"bias": _like(out.bias, out.bias.detach())}
    )
    node = _projection(call, "out_proj", View(mixed.node, mixed.own, mixed.own[::-1], turned=True), tensors)
    own = call.blueprint.shapes[node]
    return View(node, own, own[::-1], turned=True), None


def _projection(call: Call, name: str, view: View, tensors: Mapping[str, Tensor]) -> str:
    """A linear layer at each position."""
    if len(view.shape) != 2:
        raise Unmapped(f"it reads {list(view.shape)} of a sample: expected (positions, features)")
    weights = {key: Weight(f"{call.where}.{name}.{key}", tensor) for key, tensor in tensors.items()}
    inner = call.inside(name, call.shape)
    added = inner.add(
        Conv1d,
        weights,
        sources=(call.blueprint.by_features(view),),
        features=int(tensors["weight"].shape[0]),
        bias="bias" in tensors,
        kernel=1,
    )
    return added.node


def _in_projections(module: nn.MultiheadAttention) -> tuple[list[Tensor], list[Tensor | None]]:
    if module.in_proj_weight is None:
        weights = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    else:
        weights = _parts(module.in_proj_weight)
    biases = [None] * 3 if module.in_proj_bias is None else _parts(module.in_proj_bias)
    return weights, list(biases)


def _parts(parameter: nn.Parameter) -> list[Tensor]:
    """Those of query, key and value, trained as the whole is."""
    return [_like(parameter, part) for part in parameter.detach().chunk(3)]


def _turns(features: int, heads: int) -> Tensor:
    """For each feature of a spec, where heads take turns, the one of torch."""
    return torch.arange(features).reshape(heads, features // heads).T.flatten()


def _rows(tensor: Tensor, order: Tensor) -> Tensor:
    return _like(tensor, tensor.detach()[order.to(tensor.device)])


def _columns(tensor: Tensor, order: Tensor) -> Tensor:
    return _like(tensor, tensor.detach()[:, order.to(tensor.device)])


def _like(parameter: Tensor, values: Tensor) -> Tensor:
    return nn.Parameter(values.clone(), requires_grad=parameter.requires_grad)


def encoder_layer(call: Call, module: Any, x: Any, *masks: Any, **named: Any) -> View:
    """Attention and a feed-forward part, each added to what it reads, with norms before or behind.

    Raises:
        Unmapped: masks, or an activation that a spec does not know.
    """
    if any(each is not None and each is not False for each in (*masks, *named.values())):
        raise Unmapped("it is given a mask: expected attention to all positions")
    view = call.view(x)
    if module.norm_first:
        view = _added(call, "attended", view, _attended(call, module, _normed(call, module, "norm1", view)))
        return _added(call, "fed", view, _fed(call, module, _normed(call, module, "norm2", view)))
    view = _normed(call, module, "norm1", _added(call, "attended", view, _attended(call, module, view)))
    return _normed(call, module, "norm2", _added(call, "fed", view, _fed(call, module, view)))


def encoder(call: Call, module: Any, x: Any, *masks: Any, **named: Any) -> View:
    """Layer after layer, and a norm behind the last where there is one."""
    view = call.view(x)
    for place, layer in enumerate(module.layers):
        view = encoder_layer(call.inside(f"layers.{place}", call.shape), layer, view, *masks, **named)
    return view if module.norm is None else _normed(call, module, "norm", view)


def _attended(call: Call, module: Any, view: View) -> View:
    inner = call.inside("self_attn", call.shape)
    found, _ = multihead_attention(inner, module.self_attn, view, view, view)
    return _dropped(call, module, "dropout1", found)


def _fed(call: Call, module: Any, view: View) -> View:
    name = _ACTIVATIONS.get(module.activation) or _named(module.activation)
    wide = _linear(call, module, "linear1", view)
    active = operators.ACTIVATIONS[name](call.inside(f"linear1.{name}", wide.shape), wide)
    narrow = _linear(call, module, "linear2", _dropped(call, module, "dropout", active))
    return _dropped(call, module, "dropout2", narrow)


def _named(activation: Any) -> str:
    for kind, name in ((nn.ReLU, "relu"), (nn.GELU, "gelu")):
        if isinstance(activation, kind) and getattr(activation, "approximate", "none") == "none":
            return name
    raise Unmapped(f"its activation is {activation}: expected relu or gelu")


def _linear(call: Call, module: Any, name: str, view: View) -> View:
    layer = getattr(module, name)
    inner = call.inside(name, (*view.shape[:-1], layer.out_features))
    return weighted.linear(inner, view, _weight(inner, layer, "weight"), _weight(inner, layer, "bias"))


def _normed(call: Call, module: Any, name: str, view: View) -> View:
    norm = getattr(module, name)
    if not isinstance(norm, nn.LayerNorm):
        raise Unmapped(f"its {name} is a {type(norm).__name__}: expected a LayerNorm")
    inner = call.inside(name, view.shape)
    weights = (_weight(inner, norm, "weight"), _weight(inner, norm, "bias"))
    return weighted.layer_norm(inner, view, norm.normalized_shape, *weights, norm.eps)


def _dropped(call: Call, module: Any, name: str, view: View) -> View:
    p = getattr(module, name).p
    return view if p == 0.0 else operators.dropout(call.inside(name, view.shape), view, p)


def _added(call: Call, name: str, view: View, more: View) -> View:
    return operators.add(call.inside(name, view.shape), view, more)


def _weight(call: Call, module: nn.Module, name: str) -> Weight | None:
    tensor = getattr(module, name)
    return None if tensor is None else Weight(f"{call.where}.{name}", tensor)
