"""Weights multiplied by a factor before a growth step, so that what is old does not outweigh what is new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gromo_graph.network.network import GrowingNetwork
from gromo_graph.spec.kinds import BatchNorm, Layer


class Shrinking:
    """The weights and biases of all layers of a network times a factor; frozen ones stay.

    The running mean of a batch norm that reads a layer takes the factor too, its variance the square: it goes on to
    give what it gave (docs/maths.md, "Shrinking").

    Args:
        network: whose tensors are changed in place.
        factor: above 0; with 1 nothing happens, and nothing is kept.

    >>> from gromo_graph import compile_network, parse_spec
    >>> network = compile_network(parse_spec('''
    ... nodes:
    ...   x: {kind: input, shape: [1]}
    ...   y: {kind: linear, from: x, features: 1}
    ... output: y
    ... '''), seed=0)
    >>> before = network(torch.ones(1, 1))
    >>> shrinking = Shrinking(network, 0.5)
    >>> bool(network(torch.ones(1, 1)) == before / 2)
    True
    >>> shrinking.take_back()
    >>> bool(network(torch.ones(1, 1)) == before)
    True
    """

    def __init__(self, network: GrowingNetwork, factor: float) -> None:
        powers = {} if factor == 1.0 else _powers(network)
        self._before = {tensor: tensor.detach().clone() for tensor in powers}
        with torch.no_grad():
            for tensor, power in powers.items():
                tensor.mul_(factor**power)

    @property
    def changes(self) -> bool:
        """True if the factor is not 1."""
        return bool(self._before)

    def take_back(self) -> None:
        """Every tensor is, to the bit, what it was."""
        with torch.no_grad():
            for tensor, before in self._before.items():
                tensor.copy_(before)

    @contextmanager
    def taken_back_by_errors(self) -> Iterator[None]:
        """Work that leaves the network as it was if it fails."""
        try:
            yield
        except BaseException:
            self.take_back()
            raise

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """The network as it was, for a time."""
        shrunk = {tensor: tensor.detach().clone() for tensor in self._before}
        self.take_back()
        yield
        with torch.no_grad():
            for tensor, value in shrunk.items():
                tensor.copy_(value)


def _powers(network: GrowingNetwork) -> dict[Tensor, int]:
    """The power of the factor that each tensor takes."""
    nodes = network.spec.nodes
    powers: dict[Tensor, int] = {}
    for name, part in network.parts.items():
        node = nodes[name]
        if isinstance(node, Layer):
            powers |= {parameter: 1 for parameter in part.parameters() if parameter.requires_grad}
        elif isinstance(node, BatchNorm) and isinstance(nodes.get(node.sources[0]), Layer):
            powers |= {
                buffer: 2 if key.endswith("running_var") else 1
                for key, buffer in part.named_buffers()
                if key.endswith(("running_mean", "running_var"))
            }
    return powers
