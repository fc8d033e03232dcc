"""True if an edit has changed what a network computes, tried on a few random inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gromo_graph.network.example_inputs import random_inputs
from gromo_graph.network.forward import evaluation_mode
from gromo_graph.network.network import GrowingNetwork
from gromo_graph.spec import Spec
from gromo_graph.spec.token_inputs import vocabularies

_SAMPLES = 4
_CLOSE = {torch.float64: 1e-12, torch.float32: 1e-6}
_ROUNDINGS = 8
"""Outputs of other types may differ by so many roundings."""


def smallest_vocabulary(*specs: Spec) -> int | None:
    """The number of token ids that all of some networks know; None if none of them reads any."""
    return min((size for spec in specs for size in vocabularies(spec.nodes).values()), default=None)


def probe_outputs(network: GrowingNetwork, tokens: int | None) -> dict[str, Tensor]:
    """The outputs of a network in evaluation mode for a few random inputs, which are the same each time.

    Args:
        tokens: how many token ids the inputs that hold such may use.
    """
    with evaluation_mode(network), torch.no_grad():
        found = network(*random_inputs(network, _SAMPLES, tokens=tokens))
    return found if isinstance(found, dict) else {"": found}


def agree(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> bool:
    """True if outputs are the same but for rounding, in their order and by any names."""
    if len(before) != len(after):
        return False
    for old, new in zip(before.values(), after.values(), strict=True):
        if old.shape != new.shape:
            return False
        close = _CLOSE.get(old.dtype, _ROUNDINGS * torch.finfo(old.dtype).eps)
        largest = float(old.abs().max()) if old.numel() else 1.0
        scale = max(1.0, largest) if math.isfinite(largest) else 1.0
        if not torch.allclose(old.double(), new.double(), rtol=0.0, atol=close * scale):
            return False
    return True
