"""Layers whose weights are computed from others at each call, which growth cannot widen."""

from __future__ import annotations

import torch
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


def reparametrized(module: torch.nn.Module) -> str | None:
    """The reason why weights of the module itself are not plain parameters, and what to do; None if they are.

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
