"""Small networks and data for the tests of growth."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network, parse_spec
from gromo_graph.modules.pending import put
from gromo_graph.modules.scaling import give_factor, set_factors
from gromo_graph.network.linked_groups import linked_group
from gromo_graph.records import Candidate
from gromo_graph.spec.settings import Growth

ACTIVATIONS = (
    "identity",
    "relu",
    "leaky_relu",
    "gelu",
    "selu",
    "silu",
    "tanh",
    "sigmoid",
    "softplus",
    "elu",
)


def chain(
    *,
    activation: str = "tanh",
    widths: tuple[int, ...] = (3, 2),
    growth: str = "{}",
    bias: bool = True,
    seed: int = 0,
) -> GrowingNetwork:
    """5 inputs, hidden layers h1, h2, ... of these widths, 3 outputs, in float64."""
    lines = ["version: 1", "name: chain", "nodes:", "  x: {kind: input, shape: [5]}"]
    source = "x"
    for index, width in enumerate(widths, start=1):
        lines.append(
            f"  h{index}: {{kind: linear, from: {source}, features: {width}, activation: {activation}, "
            f"bias: {str(bias).lower()}}}"
        )
        source = f"h{index}"
    lines += [
        f"  y: {{kind: linear, from: {source}, features: 3, bias: {str(bias).lower()}}}",
        "output: y",
        f"growth: {growth}",
    ]
    return compile_network(parse_spec("\n".join(lines)), seed=seed, dtype=torch.float64)


def batches(samples: int = 120, *, seed: int = 1, size: int = 40) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Regression data of a smooth function, in float64, in batches."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 5, generator=generator, dtype=torch.float64)
    y = torch.stack([x[:, 0] * x[:, 1], (x[:, 2] + x[:, 3]).tanh(), x[:, 4].square()], dim=1)
    return list(zip(x.split(size), y.split(size), strict=True))


def loss_over(network: torch.nn.Module, data: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Mean loss over all batches, in evaluation mode."""
    network.eval()
    with torch.no_grad():
        x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
        return float(torch.nn.functional.mse_loss(network(x), y))


def sizes_agree(network: GrowingNetwork) -> bool:
    """Does the spec say what the tensors are?"""
    graph = network.graph
    for name, unit in graph.units.items():
        if unit.role == "layer":
            weight = network.growing(name).layer.weight
            expected = (graph.features(name), graph.features(graph.sources(name)[0]))
            if tuple(weight.shape) != expected or network.spec.nodes[name].features != weight.shape[0]:
                return False
    return graph.parameter_count == sum(p.numel() for p in network.parameters())


@torch.no_grad()
def pend(network: GrowingNetwork, candidate: Any, gamma: float, *, scale: str = "sqrt") -> None:
    """Make a candidate pending growth of the modules: `extended_forward` shows what `apply_change` would make real."""
    group, s = linked_group(network, candidate.group), math.sqrt(gamma)
    put(group, candidate.weights)
    if scale == "alpha_std":  # the fan-in is as it is, and γ scales the fan-out
        for consumer in group.consumers:
            set_factors(consumer, input_extension=gamma, output_extension=1.0)
        return
    for consumer in group.consumers:
        shift = candidate.shifts.get(consumer.name)
        if shift is not None:  # a pending delta is multiplied by −s²
            zeros = torch.zeros_like(consumer.weight)
            consumer.optimal_delta_layer = consumer.adapter.layer_of(consumer.layer, zeros, shift / s)
    give_factor(group, s)


TOKENS = """
nodes:
  x: {kind: input, shape: [4, 5]}
  q: {kind: conv1d, from: x, features: 2, kernel: 1}
  k: {kind: conv1d, from: x, features: 2, kernel: 1}
  v: {kind: conv1d, from: x, features: 4, kernel: 1}
  mixed: {kind: attention, from: [q, k, v], heads: 2}
  out: {kind: conv1d, from: mixed, features: 4, kernel: 1}
  add: {kind: merge, from: [x, out], activation: relu}
  pool: {kind: adaptive_avg_pool1d, from: add, size: 1}
  flat: {kind: flatten, from: pool}
  y: {kind: linear, from: flat, features: 3}
output: y
"""
"""An attention whose sum with its input is pooled and read."""

Loader = list[tuple[Tensor, Tensor]]


def three_classes(shape: tuple[int, ...], rows: int = 96) -> Loader:
    """Random samples of a shape in two batches, and classes that depend on them in another way than linearly."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, *shape, generator=generator, dtype=torch.float64)
    flat = x.flatten(1)
    y = (flat[:, :3] + flat[:, -3:].square()).argmax(dim=1)
    return [(x[:60], y[:60]), (x[60:], y[60:])]


def loss_of(network: GrowingNetwork, loader: Loader, loss: Any = torch.nn.functional.cross_entropy) -> float:
    """The mean loss over all samples of a loader, in evaluation mode."""
    x, y = (torch.cat(parts) for parts in zip(*loader, strict=True))
    network.eval()
    with torch.no_grad():
        return float(loss(network(x), y))


Begun = tuple[GrowingNetwork, GrowthScheduler, list[Candidate], Loader]
"""A network in double precision, its scheduler, the candidates of its first plan, and the samples of that."""


def planned(text: str, shape: tuple[int, ...], **policy: Any) -> Begun:
    """A plan of two neurons a step for `three_classes`."""
    network = compile_network(parse_spec(text), seed=0, dtype=torch.float64)
    wanted = Growth(**{"neurons": {"per_step": 2}, **policy})
    scheduler = GrowthScheduler(network, torch.nn.functional.cross_entropy, policy=wanted, training_steps=100)
    loader = three_classes(shape)
    return network, scheduler, list(scheduler.plan(loader).candidates), loader
