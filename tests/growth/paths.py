"""Networks for the tests of new paths and of pruning, with data for them, and what a change does to their loss."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network, dump_spec, parse_spec
from gromo_graph.growth.candidates.stages import Applicable
from gromo_graph.growth.losses import mean_loss
from gromo_graph.network.example_inputs import random_inputs

F64 = torch.float64
MSE = torch.nn.functional.mse_loss
Data = list[tuple[Any, Tensor]]


def compiled(nodes: str, *, output: str = "y", growth: str = "{}", seed: int = 0) -> GrowingNetwork:
    """The network of some nodes, in float64, as it is after some batches of training have moved its norms."""
    lines = "\n".join(f"  {line.strip()}" for line in nodes.strip().splitlines())
    text = f"version: 1\nname: paths\nnodes:\n{lines}\noutput: {output}\ngrowth: {growth}\n"
    network = compile_network(parse_spec(text), seed=seed, dtype=F64)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            shape = module.running_mean.shape
            module.running_mean = 0.2 * torch.randn(shape, generator=generator, dtype=F64)
            module.running_var = 0.5 + torch.rand(shape, generator=generator, dtype=F64)
            with torch.no_grad():
                module.weight.copy_(0.5 + torch.rand(shape, generator=generator, dtype=F64))
                module.bias.copy_(0.2 * torch.randn(shape, generator=generator, dtype=F64))
    return network.eval()


def data_of(network: GrowingNetwork, *, samples: int = 120, size: int = 50, seed: int = 1) -> Data:
    """Random inputs of every input node and random targets, in batches of several sizes."""
    generator = torch.Generator().manual_seed(seed)
    inputs = random_inputs(network, samples, seed=seed + 1)
    wanted = network.graph.shapes[network.spec.outputs[0]]
    target = torch.randn(samples, *wanted, generator=generator, dtype=F64)
    parts = zip(*(each.split(size) for each in (*inputs, target)), strict=True)
    return [(batch[0] if len(inputs) == 1 else tuple(batch[:-1]), batch[-1]) for batch in parts]


def outputs(network: GrowingNetwork, data: Data) -> Tensor:
    """The network's output for all the data, in evaluation mode."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(*(x if isinstance(x, tuple) else (x,))) for x, _ in data])


def able(candidates: Iterable[Any]) -> list[Any]:
    """Those that were not left out."""
    return [candidate for candidate in candidates if candidate.reason is None]


def planned(scheduler: GrowthScheduler, data: Data, target: str, kind: str | None = None) -> Any:
    """The one candidate of that name, as it is now planned."""
    found = [c for c in scheduler.plan(data).candidates if c.target == target and kind in (None, c.kind)]
    assert len(found) == 1, f"{target}: {found}"
    return found[0]


def loss_with(scheduler: GrowthScheduler, candidate: Applicable, gamma: float, data: Data) -> float:
    """The loss as if the candidate were applied."""
    return mean_loss(candidate.draft(scheduler.network, scheduler.policy).at(gamma), MSE, data)


def measured_slope(scheduler: GrowthScheduler, candidate: Any, data: Data) -> float:
    """The decrease of the loss per unit of γ at 0, from two small steps: no error of order √γ is left."""
    before = mean_loss(scheduler.network, MSE, data)
    largest = max(float(first.weight.abs().max()) for first in candidate.weights)
    gamma = 1e-6 / max(1.0, largest)

    def decrease(step: float) -> float:
        return (before - loss_with(scheduler, candidate, step, data)) / step

    return 2.0 * decrease(gamma) - decrease(4.0 * gamma)


def applied(scheduler: GrowthScheduler, candidate: Any, gamma: float | None) -> tuple[GrowthScheduler, Any]:
    """A copy of the scheduler in which the candidate has been applied, and the event; the given one stays as it is."""
    copied, chosen = copy.deepcopy((scheduler, candidate))
    return copied, copied.apply(chosen, gamma)


def state_of(network: GrowingNetwork, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
    """Everything that a look must not change, to the bit."""
    return {
        "weights": {name: value.clone() for name, value in network.state_dict().items()},
        "parameters": [id(parameter) for parameter in network.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        "modes": [module.training for module in network.modules()],
        "spec": dump_spec(network.spec),
        "optimizer": None if optimizer is None else copy.deepcopy(optimizer.state_dict()),
        "random": torch.get_rng_state(),
    }


def same(left: Any, right: Any) -> bool:
    """Equal to the bit, whatever it is made of."""
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def twin_of(network: GrowingNetwork) -> GrowingNetwork:
    """The network that is compiled from the text of its spec, with its weights."""
    twin = compile_network(parse_spec(dump_spec(network.spec)), seed=5, dtype=F64)
    twin.load_state_dict(network.state_dict())
    return twin.eval()


def train(
    network: GrowingNetwork, optimizer: torch.optim.Optimizer, data: Data, *, passes: int = 3
) -> list[float]:
    """Some steps of ordinary training; the loss before each."""
    found = []
    network.train()
    for _ in range(passes):
        for x, y in data:
            optimizer.zero_grad()
            loss = MSE(network(x), y)
            loss.backward()
            optimizer.step()
            found.append(float(loss.detach()))
    return found


@contextmanager
def run_compiled(network: GrowingNetwork) -> Iterator[Any]:
    """The network as torch.compile runs it; what it found out before is nothing to this test, nor this to others."""
    torch._dynamo.reset()
    try:
        yield torch.compile(network, backend="eager")
    finally:
        torch._dynamo.reset()
