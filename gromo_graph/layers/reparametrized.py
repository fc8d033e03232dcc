"""Layers whose weights are computed from others at each call, which growth cannot widen."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.utils import parametrizations, parametrize, remove_weight_norm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


def reparametrized(module: torch.nn.Module) -> str | None:
    """Say why weights of the module itself are not plain parameters, and what to do; None if they are.

    >>> layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2))
    >>> reparametrized(layer)
    'its weights are parametrized: remove_parametrizations() makes them plain'
    """
    if parametrize.is_parametrized(module):
        return "its weights are parametrized: remove_parametrizations() makes them plain"
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod):
            return (
                "its weights are masked by torch.nn.utils.prune: prune.remove(layer, name) makes them plain"
            )
        if isinstance(hook, WeightNorm):
            return "its weights are parametrized by weight_norm: remove_weight_norm(layer) makes them plain"
        if isinstance(hook, SpectralNorm):
            return (
                "its weights are parametrized by spectral_norm: remove_spectral_norm(layer) makes them plain"
            )
    return None


def copy_of(module: torch.nn.Module) -> torch.nn.Module:
    """A deep copy, without the graph of weights that the old weight norm has computed: torch copies no such tensor.

    >>> layer = torch.nn.Linear(2, 2)
    >>> copy_of(layer).weight is layer.weight
    False
    """
    kept = [value for part in module.modules() for value in vars(part).values()]
    computed = {id(value): value.detach() for value in kept if isinstance(value, torch.Tensor)}
    return copy.deepcopy(module, computed)


def plain_weights(module: torch.nn.Module) -> torch.nn.Module:
    """The module itself; of one with weight norm a copy whose weights are what the norm makes of them.

    >>> layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2))
    >>> sorted(name for name, _ in plain_weights(layer).named_parameters())
    ['bias', 'weight']
    """
    hooks = [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, WeightNorm)]
    normed = [name for name, chain in _parametrized(module).items() if _is_weight_norm(chain)]
    if not hooks and (not normed or len(normed) < len(_parametrized(module))):
        return module
    plain = copy_of(module)
    for hook in hooks:
        remove_weight_norm(plain, hook.name)
    return _without_parametrizations(plain, normed) if normed else plain


def _without_parametrizations(module: torch.nn.Module, names: list[str]) -> torch.nn.Module:
    """A module of the class that was parametrized; torch's own removal would change the class of the original too."""
    values = {name: getattr(module, name).detach().clone() for name in names}
    plain: torch.nn.Module = object.__new__(type(module).__bases__[0])
    plain.__dict__ = module.__dict__
    del plain._modules["parametrizations"]
    for name, value in values.items():
        plain.register_parameter(name, torch.nn.Parameter(value))
    return plain


def _parametrized(module: Any) -> dict[str, Any]:
    return dict(module.parametrizations.items()) if parametrize.is_parametrized(module) else {}


def _is_weight_norm(chain: Any) -> bool:
    return all(isinstance(each, parametrizations._WeightNorm) for each in chain)
