"""The task of one of several processes: `torchrun -m tests.run.together TASK FILE` writes FILE.<rank>."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gromo_graph import GrowthScheduler, compile_network, parse_spec
from gromo_graph.__main__ import leave
from gromo_graph.errors import GromoGraphError, NotFiniteError
from gromo_graph.growth import process_sums as messages
from gromo_graph.growth.process_sums import Processes
from gromo_graph.run.data.samples import Part
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.run.process_group import joined, wrapped
from gromo_graph.run.trainer import train_epoch
from gromo_graph.run.training.objective import Objective
from gromo_graph.run.training.output_losses import Classes

SPEC = """
nodes:
  x: {kind: input, shape: [6]}
  a: {kind: linear, from: x, features: 2, activation: tanh}
  b: {kind: linear, from: a, features: 2, activation: relu}
  c: {kind: linear, from: x, features: 2}
  s: {kind: merge, from: [b, c]}
  h: {kind: linear, from: s, features: 3, activation: relu}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {actions: [widen, new_edge, new_node, prune], groups: 1, when: {until: 1.0}}
train: {epochs: 3}
"""

ATTENTION = """
nodes:
  x: {kind: input, shape: [2, 3]}
  q: {kind: conv1d, from: x, features: 2, kernel: 1}
  k: {kind: conv1d, from: x, features: 2, kernel: 1}
  v: {kind: conv1d, from: x, features: 2, kernel: 1}
  m: {kind: attention, from: [q, k, v], heads: 2}
  o: {kind: conv1d, from: m, features: 2, kernel: 1}
  s: {kind: merge, from: [x, o], activation: tanh}
  f: {kind: flatten, from: s}
  y: {kind: linear, from: f, features: 3}
output: y
growth: {actions: [widen, new_head], neurons: {per_step: 2}, groups: 1, when: {until: 1.0}}
train: {epochs: 3}
"""


def samples(count: int, shape: tuple[int, ...] = (6,)) -> Part:
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Part(x.reshape(count, *shape), (x[:, :3] * x[:, 3:]).argmax(dim=1))


def grown(processes: Processes, dtype: torch.dtype = torch.float64, text: str = SPEC) -> dict[str, Any]:
    """Three epochs, each with a growth step, and a plan at the end."""
    network = compile_network(parse_spec(text), seed=0, dtype=dtype)
    shape = network.graph.shapes["x"]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    share = (processes.rank, processes.count)
    # 101 samples in batches of 25: the last batch has one sample, and one process none of it.
    loader = TensorLoader(samples(101, shape), 25, seed=3, share=share)
    held_out = TensorLoader(samples(40, shape), 40, share=share)
    loss = Objective(Classes())
    # What a process draws for itself is no other's business: that of the first counts.
    generator = torch.Generator().manual_seed(processes.rank)
    scheduler = GrowthScheduler(network, loss, optimizer=optimizer, processes=processes, generator=generator)
    told, plans = [], []
    for epoch in range(3):
        loader.set_epoch(epoch)
        train_epoch(
            wrapped(network, processes), loss, loader, [optimizer], rate=lambda _: 0.05, processes=processes
        )
        plan = scheduler.plan(loader)
        slopes = {f"{c.kind} {c.target} {c.neurons}": c.slope for c in plan.candidates}
        plans.append({"slopes": slopes, "samples": plan.samples, "order": list(slopes)})
        event = scheduler.step(loader, held_out)
        assert event is not None
        what = None if event.decision is None else [event.decision.kind, event.decision.target]
        told.append(
            {"what": what, "gamma": event.gamma, "before": event.loss_before, "after": event.loss_after}
        )
    weights = [parameter.detach().reshape(-1).tolist() for parameter in network.parameters()]
    return {"told": told, "plans": plans, "weights": weights}


def exchanged(processes: Processes) -> dict[str, Any]:
    """Messages in pieces, values of the first one, errors of one alone."""
    messages._BUCKET = 64
    rank = processes.rank
    tensors: list[Tensor] = [
        torch.full((5, 7), rank + 1.0),
        torch.full((3,), rank + 1, dtype=torch.int64),
        torch.full((2, 2), rank + 0.5, dtype=torch.float64),
        torch.zeros(0),
    ]
    processes.add_up(tensors)
    other = {"a": (torch.full((rank + 1, 2), float(rank)), "text"), "b": [torch.tensor(rank)]}
    shared = processes.shared(other)
    failures = []
    for failing in (0, 1):
        try:
            with processes.together():
                if rank == failing:
                    raise GromoGraphError("this one")
        except GromoGraphError as error:
            failures.append(str(error))
    return {
        "sums": [tensor.reshape(-1).tolist() for tensor in tensors],
        "shared": [shared["a"][0].tolist(), shared["a"][1], shared["b"][0].tolist()],
        "any": [processes.any(rank == 1), processes.any(False)],
        "order": processes.order([2, 0, 1] if rank == 0 else [0, 1, 2]),
        "number": processes.number(rank + 0.25),
        "failures": failures,
    }


def shares(processes: Processes) -> dict[str, Any]:
    """One process has no sample for the statistics."""
    network = compile_network(parse_spec(SPEC), seed=0, dtype=torch.float64)
    scheduler = GrowthScheduler(network, torch.nn.functional.cross_entropy)
    part = samples(8)
    try:
        scheduler.plan([(part.x, part.y)] if processes.is_first else [])
    except GromoGraphError as error:
        return {"error": str(error)}
    return {}


def starved(processes: Processes) -> dict[str, Any]:
    """In one process there is once too little memory for the statistics."""
    network = compile_network(parse_spec(SPEC), seed=0, dtype=torch.float64)
    calls: list[int] = []

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        if not processes.is_first and len(calls) == 2:
            raise torch.OutOfMemoryError("out of memory")
        return torch.nn.functional.cross_entropy(prediction, target)

    scheduler = GrowthScheduler(network, loss)
    loader = TensorLoader(samples(60), 10, seed=3, share=(processes.rank, processes.count))
    events = [scheduler.step(loader, loader) for _ in range(2)]
    return {"told": [[event.decision is not None, event.reason] for event in events if event is not None]}


def diverged(processes: Processes) -> dict[str, Any]:
    """The loss of one process is not a number in the middle of an epoch."""
    part = samples(64)
    part.x[40] = float("nan")
    network = compile_network(parse_spec(SPEC), seed=0, dtype=torch.float64)
    loader = TensorLoader(part, 8, share=(processes.rank, processes.count))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    loss = Objective(Classes())
    model = wrapped(network, processes)
    try:
        train_epoch(
            model, loss, loader, [optimizer], rate=lambda _: 0.05, clock="epoch 4", processes=processes
        )
    except NotFiniteError as error:
        return {"error": str(error)}
    return {}


def attending(processes: Processes) -> dict[str, Any]:
    """The same with an attention: pairs of queries and keys, and heads that are drawn."""
    return grown(processes, text=ATTENTION)


TASKS = {
    "starved": starved,
    "diverged": diverged,
    "grown": grown,
    "attending": attending,
    "exchanged": exchanged,
    "shares": shares,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as here:
        found = TASKS[sys.argv[1]](here)
        Path(f"{sys.argv[2]}.{here.rank}").write_text(json.dumps(found), encoding="utf-8")
    leave(0)
