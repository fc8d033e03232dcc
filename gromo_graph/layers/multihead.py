"""torch.nn.MultiheadAttention as nodes: three layers, an `attention`, and the layer that reads it.

torch keeps the features of a head side by side, in a spec the heads take turns: the rows of the weights are brought
into that order, and the columns of what reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gromo_graph.layers.padding_mask import mask_of_keys
from gromo_graph.plain_torch.blueprint import Misread, ModelValue, Unmapped
from gromo_graph.plain_torch.torch_call import TorchCall, Weight, trained_like
from gromo_graph.spec.kinds import Attention, Conv1d


def multihead_attention(
    call: TorchCall,
    module: nn.MultiheadAttention,
    query: Any,
    key: Any,
    value: Any,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[ModelValue, None]:
    """Three layers, an attention and the layer that reads it; the weights of attention are not handed on.

    Raises:
        Unmapped: its mask is not causal, or it has options that a spec does not know.
    """
    views = [call.view(each) for each in (query, key, value)]
    causal = _mask(attn_mask, [view.shape[0] for view in views[:2]], hinted=is_causal)
    if not module.batch_first:
        raise Unmapped("it has the batch behind the positions: expected batch_first=True")
    if module.bias_k is not None or module.add_zero_attn:
        raise Unmapped("it adds positions of its own: expected add_bias_kv=False and add_zero_attn=False")
    call.claim(module)
    turns = _turns(module.embed_dim, module.num_heads)
    weights, biases = _in_projections(module)
    sides = []
    for name, view, weight, bias in zip(("query", "key", "value"), views, weights, biases, strict=True):
        tensors = {"weight": _rows(weight, turns)} | ({} if bias is None else {"bias": _rows(bias, turns)})
        sides.append(_projection(call, name, view, tensors))
    mixed = call.blueprint.add(
        f"{call.where}.mixed".lstrip("."),
        Attention,
        sources=(*sides, *mask_of_keys(call, key_padding_mask)),
        heads=module.num_heads,
        dropout=float(module.dropout),
        causal=causal,
    )
    out = module.out_proj
    tensors = {"weight": _columns(out.weight, turns)} | (
        {} if out.bias is None else {"bias": _copied(out.bias, out.bias.detach())}
    )
    node = _projection(
        call, "out_proj", ModelValue(mixed.node, mixed.own, mixed.own[::-1], turned=True), tensors
    )
    own = call.blueprint.shapes[node]
    return ModelValue(node, own, own[::-1], turned=True), None


def _mask(given: Any, sizes: Sequence[int], *, hinted: bool) -> bool:
    """True if the mask is causal; torch's `is_causal` is only a hint, and needs a mask beside it."""
    if given is None and not hinted:
        return False
    if not isinstance(given, Weight) or isinstance(given.owned, nn.Parameter):
        raise Unmapped("it is given a mask that is computed: expected none, or a buffer")
    values = ~given.tensor if given.tensor.dtype is torch.bool else given.tensor
    causal = is_causal(values, sizes)
    if causal is None:
        raise Unmapped("it is given a mask that is not causal: expected none, or one of all positions before")
    return causal


def is_causal(mask: Tensor, sizes: Sequence[int]) -> bool | None:
    """True for a causal mask, False for one that hides nothing, None for others.

    Args:
        mask: (..., queries, keys), true where a key is seen; or numbers that are added to the products, 0 where it is
            seen and far below them where it is not. sizes: queries and keys.
    """
    if mask.dtype is not torch.bool:
        hidden = mask <= torch.finfo(torch.float16).min
        if not bool(((mask == 0) | hidden).all()):
            return None
        mask = ~hidden
    if bool(mask.all()):
        return False
    wide = mask.broadcast_to(torch.broadcast_shapes(mask.shape, tuple(sizes)))
    square = len(set(sizes)) == 1 and wide.shape[-2:] == tuple(sizes)
    return True if square and bool((wide == torch.ones_like(wide).tril()).all()) else None


def _projection(call: TorchCall, name: str, view: ModelValue, tensors: Mapping[str, Tensor]) -> str:
    """A linear layer at each position."""
    if len(view.shape) != 2:
        raise Misread(f"it reads {list(view.shape)} of a sample: expected (positions, features)")
    weights = {key: Weight(f"{call.where}.{name}.{key}", tensor) for key, tensor in tensors.items()}
    weights["weight"] = weights["weight"].converted(lambda matrix: matrix[..., None])
    inner = call.inside(name, call.shape)
    added = inner.add(
        Conv1d,
        weights,
        sources=(call.blueprint.sequence(call.blueprint.by_features(view)),),
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
    """The parts for query, key and value, trained if the whole is."""
    return [_copied(parameter, part) for part in parameter.detach().chunk(3)]


def _turns(features: int, heads: int) -> Tensor:
    """The feature of torch for each feature of a spec, in which heads take turns."""
    return torch.arange(features).reshape(heads, features // heads).T.flatten()


def _rows(tensor: Tensor, order: Tensor) -> Tensor:
    return _copied(tensor, tensor.detach()[order.to(tensor.device)])


def _columns(tensor: Tensor, order: Tensor) -> Tensor:
    return _copied(tensor, tensor.detach()[:, order.to(tensor.device)])


def _copied(parameter: Tensor, values: Tensor) -> Tensor:
    return trained_like(parameter, values.clone())
