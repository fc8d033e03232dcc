"""Histograms of weights and outputs of each node, small enough to stand in the journal after each growth step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from gromo_graph.graph.neighbours import Unit
from gromo_graph.growth.observe import same_draws
from gromo_graph.modules import GrowingModule
from gromo_graph.network import GrowingNetwork
from gromo_graph.network.forward import evaluation_mode
from gromo_graph.records.histograms import BINS, Histogram, Histograms, encoded

SAMPLES = 256
"""Held-out samples whose outputs are counted, at the most."""

_MOST_MADDS = 2e9  # of the forward pass for them: a large network is looked at with fewer samples
_MOST_VALUES = 16_384  # of one tensor; of more every second, third, ... is taken


def samples_within_cost(network: GrowingNetwork) -> int:
    """The number of samples of which a forward pass costs little beside a growth step."""
    return int(min(SAMPLES, max(1, _MOST_MADDS // max(1, network.graph.multiply_adds))))


def histograms_of(network: GrowingNetwork, inputs: Sequence[Tensor] | None) -> Histograms:
    """The histograms of every node but the inputs: of its weights, and of its outputs in evaluation mode.

    A layer that only a norm, a flatten or the like reads gives its outputs to these: they have the histogram.

    Args:
        network: nothing of it changes, neither do torch's generators.
        inputs: a tensor for each input of the network, each (samples, *shape); None leaves the outputs out.

    >>> from gromo_graph import compile_network, parse_spec
    >>> network = compile_network(parse_spec('''
    ... nodes:
    ...   x: {kind: input, shape: [3]}
    ...   hidden: {kind: linear, from: x, features: 4, activation: relu}
    ...   y: {kind: linear, from: hidden, features: 2}
    ... output: y
    ... '''), seed=0)
    >>> weights, outputs = histograms_of(network, [torch.randn(64, 3)])["hidden"]
    >>> outputs.low
    0.0
    """
    units = [unit for unit in network.graph.units.values() if unit.nodes and unit.role != "input"]
    outputs = {} if inputs is None else _outputs(network, units, inputs)
    found = {}
    for unit in units:
        for name in unit.nodes:
            weights = histogram(_weights(network.unit(unit.key))) if name == unit.node else None
            if weights is not None or outputs.get(name) is not None:
                found[name] = weights, outputs.get(name)
    return found


def _weights(module: torch.nn.Module) -> list[Tensor]:
    """The trainable numbers of a unit's own node: those of a norm behind a layer are not the layer's."""
    own = module.layer if isinstance(module, GrowingModule) else module
    return [parameter for parameter in own.parameters() if parameter.requires_grad]


def _outputs(
    network: GrowingNetwork, units: Iterable[Unit], inputs: Sequence[Tensor]
) -> dict[str, Histogram | None]:
    """By the node whose value a unit gives: a layer's goes through the operations that follow it alone."""
    found: dict[str, Histogram | None] = {}

    def keep(name: str) -> Callable[[torch.nn.Module, object, Any], None]:
        def hook(module: torch.nn.Module, taken: object, output: Any) -> None:
            if isinstance(output, Tensor):
                found[name] = histogram([output])

        return hook

    handles = [network.unit(unit.key).register_forward_hook(keep(unit.last)) for unit in units]
    try:
        with torch.no_grad(), evaluation_mode(network), same_draws(network):
            network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def histogram(tensors: Iterable[Tensor]) -> Histogram | None:
    """The histogram of all values of some tensors, of very many an even selection; None if none is finite.

    >>> histogram([torch.tensor([0.0, 0.0, 0.0, 1.0])])
    Histogram(low=0.0, high=1.0, counts='Z00000000000000C')
    """
    flat = [_selected(tensor.detach()) for tensor in tensors if tensor.numel()]
    if not flat:
        return None
    values = torch.cat(flat)
    values = values[values.isfinite()]
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    counts = torch.histc(values, BINS, min=low, max=high) if high > low else torch.tensor([1.0])
    return encoded(low, high, [int(count) for count in counts.tolist()])


def _selected(tensor: Tensor) -> Tensor:
    flat = tensor.flatten()
    return flat[:: 1 + (len(flat) - 1) // _MOST_VALUES].to("cpu", torch.float32)
