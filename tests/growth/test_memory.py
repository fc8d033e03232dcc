"""A growth pass that does not fit into memory is left out, and the training goes on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthEvent, GrowthScheduler, compile_network, parse_spec
from gromo_graph.modules.measured import MeasuredModule

SPEC = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {when: {until: 1.0}}
"""
CPU = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"


@pytest.mark.parametrize(
    "error", [RuntimeError(CPU), torch.OutOfMemoryError("CUDA out of memory"), MemoryError("no")]
)
def test_it_is_left_out(error: Exception) -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    loader = [(part, part[:, :3].argmax(dim=1)) for part in x.split(10)]
    calls: list[int] = []

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) == 3:  # in the middle of the statistics
            raise error
        return torch.nn.functional.cross_entropy(prediction, target)

    events: list[GrowthEvent] = []
    scheduler = GrowthScheduler(network, loss, on_event=events.append)
    before = [parameter.clone() for parameter in network.parameters()]
    skipped = scheduler.step(loader, loader)
    assert skipped is not None
    assert skipped.decision is None
    assert skipped.reason is not None
    assert skipped.reason.startswith("the statistics do not fit into memory: ")
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    measured = [module for module in network.modules() if isinstance(module, MeasuredModule)]
    assert all(module.tensor_s.samples == module.tensor_m.samples == 0 for module in measured)
    grown = scheduler.step(loader, loader)
    assert grown is not None
    assert grown.decision is not None
    assert events == [skipped, grown]


def test_other_errors_are_not_swallowed() -> None:
    network = compile_network(parse_spec(SPEC), seed=0)

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        raise RuntimeError("size mismatch")

    x = torch.zeros(4, 4)
    with pytest.raises(RuntimeError, match="size mismatch"):
        GrowthScheduler(network, loss).step([(x, x)], [(x, x)])
