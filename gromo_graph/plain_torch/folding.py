"""Slices, shuffles and factors of features that stand beside a node become part of its weights, so that growth passes.

A layer of which others read slices becomes a layer for each of them, as query, key and value of one layer do. A
`channel_shuffle` behind a layer is another order of the rows of its weight, one in front of it another of the columns.
Factors behind an RMS norm without any are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from gromo_graph.plain_torch.blueprint import Blueprint, free
from gromo_graph.plain_torch.torch_call import trained_like
from gromo_graph.spec.kinds import Attention, Conv1d, Conv2d, Linear
from gromo_graph.spec.kinds.affine import Affine
from gromo_graph.spec.kinds.again import Shares
from gromo_graph.spec.kinds.channel_shuffle import ChannelShuffle
from gromo_graph.spec.kinds.rms_norm import RMSNorm
from gromo_graph.spec.kinds.slice import Slice

_Layer = Linear | Conv1d | Conv2d


def fold_orders(blueprint: Blueprint) -> None:
    """Take slices, shuffles and factors into the nodes beside them, if nobody else reads what lies between."""
    for fold in (_into_producer, _split, _into_producer, _into_readers, _with_norm):
        for name in list(blueprint.nodes):
            if name in blueprint.nodes:
                fold(blueprint, name)


def _is_layer(blueprint: Blueprint, name: str) -> bool:
    """True for a layer whose weights nobody else has."""
    node = blueprint.nodes[name]
    shares = any(isinstance(blueprint.nodes[reader], Shares) for reader in blueprint.readers(name))
    return isinstance(node, Linear | Conv1d | Conv2d) and getattr(node, "groups", 1) == 1 and not shares


def _split(blueprint: Blueprint, name: str) -> None:
    """A layer for each slice that is read, if these are all features, and each once."""
    layer = blueprint.nodes[name]
    readers = blueprint.readers(name)
    slices = {reader: node for reader in readers if isinstance(node := blueprint.nodes[reader], Slice)}
    if (
        len(slices) < len(readers)
        or not _is_layer(blueprint, name)
        or name in blueprint.outputs
        or getattr(layer, "activation", "") != "identity"
    ):
        return
    inside = sorted((node.start, node.stop) for node in slices.values())
    ends = [0, *(stop for _, stop in inside)]
    if [start for start, _ in inside] != ends[:-1] or ends[-1] != blueprint.shapes[name][0]:
        return
    del blueprint.nodes[name]
    names: dict[str, str] = {}
    for place, (part, node) in enumerate(slices.items()):
        blueprint.nodes[part] = layer.model_copy(
            update={"features": node.stop - node.start, "sources": layer.sources}
        )
        rows = torch.arange(node.start, node.stop)
        blueprint.sources[part] = blueprint.sources[name]
        _change(blueprint, part, {key: tensor[rows] for key, tensor in _detached(blueprint, name).items()})
        wanted = f"{name}.{_role(blueprint, part) or place}"
        names[part] = free(wanted, {*blueprint.nodes, *names.values()} - {part})
    blueprint.rename(names)


def _role(blueprint: Blueprint, name: str) -> str | None:
    """As which of its sources an attention reads a node, if that is all that reads it."""
    readers = blueprint.readers(name)
    if len(readers) != 1:
        return None
    (reader,) = readers
    node = blueprint.nodes[reader]
    if isinstance(node, ChannelShuffle):
        return _role(blueprint, reader)
    if not isinstance(node, Attention):
        return None
    return dict(zip(node.sources, node.source_names, strict=False)).get(name)


def _into_producer(blueprint: Blueprint, name: str) -> None:
    """A shuffle as an order of the rows of the layer before, if nobody else reads that."""
    shuffle = blueprint.nodes[name]
    if not isinstance(shuffle, ChannelShuffle):
        return
    (before,) = shuffle.sources
    if not _is_layer(blueprint, before) or blueprint.readers(before) != [name] or before in blueprint.outputs:
        return
    order = _order(shuffle, blueprint.shapes[name][0])
    _change(blueprint, before, {key: tensor[order] for key, tensor in _detached(blueprint, before).items()})
    blueprint.take_out(name, before)


def _into_readers(blueprint: Blueprint, name: str) -> None:
    """A shuffle as an order of the columns of the layers behind, if these alone read it."""
    shuffle, readers = blueprint.nodes[name], blueprint.readers(name)
    if not isinstance(shuffle, ChannelShuffle) or name in blueprint.outputs:
        return
    if not all(_is_layer(blueprint, reader) for reader in readers):
        return
    columns = _order(shuffle, blueprint.shapes[name][0]).argsort()
    for reader in readers:
        _change(blueprint, reader, {"weight": _detached(blueprint, reader)["weight"][:, columns]})
    blueprint.take_out(name, shuffle.sources[0])


def _with_norm(blueprint: Blueprint, name: str) -> None:
    """Factors of features as those of the RMS norm before, if nobody else reads that."""
    factors = blueprint.nodes[name]
    if not isinstance(factors, Affine) or factors.shared or factors.bias:
        return
    (before,) = factors.sources
    norm, readers = blueprint.nodes[before], blueprint.readers(before)
    if not isinstance(norm, RMSNorm) or norm.elementwise_affine:
        return
    by_feature = norm.over == "features" or len(blueprint.shapes[before]) == 1
    if not by_feature or readers != [name] or before in blueprint.outputs:
        return
    blueprint.nodes[name] = norm.model_copy(update={"elementwise_affine": True})
    del blueprint.nodes[before]


def _order(shuffle: ChannelShuffle, features: int) -> Tensor:
    """The feature that a shuffle puts at each place."""
    return torch.arange(features).reshape(shuffle.groups, -1).T.flatten()


def _detached(blueprint: Blueprint, name: str) -> dict[str, Tensor]:
    return {key: tensor.detach() for key, tensor in blueprint.sources[name].tensors.items()}


def _change(blueprint: Blueprint, name: str, values: Mapping[str, Tensor]) -> None:
    """Give a node other values of its weights, each trained as before."""
    source = blueprint.sources[name]
    new = {key: trained_like(source.tensors[key], value.clone()) for key, value in values.items()}
    blueprint.sources[name] = replace(source, tensors={**source.tensors, **new})
