"""The optimizers that a spec can name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from gromo_graph.errors import RunError
from gromo_graph.spec.optimizer_settings import OPTIMIZER_OPTIONS, Optimizer

_CLASSES: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


def make_optimizers(network: torch.nn.Module, asked: Optimizer) -> tuple[torch.optim.Optimizer, ...]:
    """The optimizers that a spec asks for: one, or of `muon` one for matrices, and AdamW for all other parameters.

    Raises:
        RunError: this release of torch does not have it.
    """
    if asked.name != "muon":
        kind = _CLASSES[asked.name]
        options = options_of(asked)
        return (kind(network.parameters(), lr=asked.lr, weight_decay=asked.weight_decay, **options),)
    if not hasattr(torch.optim, "Muon"):
        raise RunError(
            f"train.optimizer.name: torch {torch.__version__} has no Muon: install torch 2.9 or later, or write "
            "`adamw`"
        )
    matrices = [parameter for parameter in network.parameters() if parameter.dim() == 2]
    others = [parameter for parameter in network.parameters() if parameter.dim() != 2]
    return tuple(
        _muon(matrices, asked) if kind == "muon" else _adamw(others, asked)
        for kind, parameters in (("muon", matrices), ("adamw", others))
        if parameters
    )


def options_of(asked: Optimizer) -> dict[str, Any]:
    """The options that a spec gives its optimizer, beside the learning rate and the weight decay."""
    values = {name: getattr(asked, name) for name in OPTIMIZER_OPTIONS[asked.name]}
    return {name: value for name, value in values.items() if value is not None}


def _muon(matrices: Iterable[Tensor], asked: Optimizer) -> torch.optim.Optimizer:
    """Muon with steps as large as those of AdamW, so that one learning rate does for both."""
    return torch.optim.Muon(
        matrices,
        lr=asked.lr,
        weight_decay=asked.weight_decay,
        adjust_lr_fn="match_rms_adamw",
        **options_of(asked),
    )


def _adamw(parameters: Iterable[Tensor], asked: Optimizer) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=asked.lr, weight_decay=asked.weight_decay)
