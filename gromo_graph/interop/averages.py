"""Averages of weights that callbacks keep: copies of a network, which follow it when it has grown."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import torch

from gromo_graph.network import GrowingNetwork


def begin_averages_anew(
    callbacks: Iterable[object], module: torch.nn.Module, network: GrowingNetwork
) -> None:
    """Make the copies of a network that callbacks keep what it is now, and their counts of averaged models 0.

    Args:
        callbacks: any. module: that holds the network; what it holds is no copy.
    """
    own = set(module.modules())
    for callback in callbacks:
        holders = [held for held in vars(callback).values() if isinstance(held, torch.nn.Module)]
        copies = [each for held in holders for each in _networks(held) if each not in own]
        for each in copies:
            grown = copy.deepcopy(network).to(next(each.parameters()).device)
            grown.train(each.training)
            each.become(grown.graph, grown.parts, grown.nodes)
        if copies:
            for holder in (callback, *holders):
                count = getattr(holder, "n_averaged", None)
                if isinstance(count, torch.Tensor):
                    count.zero_()


def _networks(module: torch.nn.Module) -> Iterator[GrowingNetwork]:
    return (part for part in module.modules() if isinstance(part, GrowingNetwork))
