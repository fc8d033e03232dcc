"""A growth pass that does not fit into memory is left out, and the training goes on."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gromo_graph import (
    GrowthEvent,
    GrowthScheduler,
    RunError,
    Spec,
    compile_network,
    grow,
    parse_spec,
)
from gromo_graph.growth.planning import expected_memory
from gromo_graph.memory_sizes import bytes_of, size
from gromo_graph.modules.growing_module import GrowingModule
from gromo_graph.network.example_inputs import random_inputs
from gromo_graph.spec.settings import Growth
from tests.growth.test_any_graph import POLICIES, able_to_grow
from tests.growth.test_any_graph import loss as smooth_loss
from tests.run.specs import iris
from tests.spec.strategies import specs

SPEC = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2, activation: relu}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {when: {every: 1, until: 1.0}}
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
    measured = [module for module in network.modules() if isinstance(module, GrowingModule)]
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


@given(specs(), POLICIES, st.booleans())
@settings(max_examples=20)
def test_it_is_known_beforehand(drawn: Spec, policy: Growth, everything: bool) -> None:
    if everything:
        actions = ("widen", "new_edge", "new_node", "prune")
        policy = policy.model_copy(update={"actions": actions})
    network = compile_network(able_to_grow(drawn), seed=0)
    inputs = random_inputs(network, 3)
    expected = expected_memory(network, policy, samples=3)
    plan = GrowthScheduler(network, smooth_loss, policy=policy).plan([(inputs, torch.randn(3))])
    # Sums of a few numbers are laid out in rows of whole cache lines.
    assert plan.memory / 1.6 - 600 <= expected <= 1.25 * plan.memory + 300


WIDE = """
name: wide
nodes:
  x: {kind: input, shape: [3, 12, 12]}
  c: {kind: conv2d, from: x, features: 24, kernel: 3, activation: relu}
  d: {kind: conv2d, from: c, features: 24, kernel: 3, stride: 2}
  f: {kind: flatten, from: d}
  h: {kind: linear, from: f, features: 300, activation: relu}
  g: {kind: linear, from: h, features: 200}
  y: {kind: linear, from: g, features: 10}
output: y
growth: {actions: [widen, new_edge, new_node], when: {every: 1, until: 1.0}}
"""


@pytest.mark.parametrize("kernel", ["full", "centre"])
def test_it_is_known_of_a_larger_network(kernel: str) -> None:
    network = compile_network(parse_spec(WIDE, overrides={"growth.kernel": kernel}), seed=0)
    loader = [(torch.randn(4, 3, 12, 12), torch.arange(4))]
    expected = expected_memory(network, network.spec.growth)
    plan = GrowthScheduler(network, torch.nn.functional.cross_entropy).plan(loader)
    assert expected == pytest.approx(plan.memory, rel=0.02)
    assert plan.memory > 5_000_000


def test_growth_ends_before_it_needs_too_much() -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    loader = [(x, x[:, :3].argmax(dim=1))]
    limit = expected_memory(network, network.spec.growth)
    events: list[GrowthEvent] = []
    loss = torch.nn.functional.cross_entropy
    scheduler = GrowthScheduler(network, loss, max_memory=limit, on_event=events.append)
    first = scheduler.step(loader, loader)
    assert first is not None
    assert first.decision is not None
    assert first.memory > 0
    second = scheduler.step(loader, loader)
    assert second is not None
    assert second.decision is None
    assert second.memory == 0
    assert second.reason == scheduler.reason
    assert f", and {size(limit)} are allowed" in second.reason
    assert scheduler.step(loader, loader) is None
    assert len(events) == 2


def test_a_run_that_needs_too_much_is_refused_beforehand() -> None:
    message = r"the statistics of a growth step of `small` take about \d+ bytes, and 100 bytes are allowed"
    with pytest.raises(RunError, match=message):
        grow(iris(), max_memory=100, device="cpu")
    with pytest.raises(RunError, match="expected a number of bytes above 0"):
        grow(iris(), max_memory=0, device="cpu")
    with pytest.raises(RunError, match="'much' is no amount of memory"):
        grow(iris(), max_memory="much", device="cpu")
    assert grow(iris(), max_memory="1 MB", device="cpu").summary["steps"] >= 1
    drawn = iris(growth__criterion="random")
    assert grow(drawn, max_memory=1, device="cpu").summary["steps"] >= 1  # needs no statistics


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1kB", 1000), ("1.5 GiB", 3 << 29), ("7", 7), ("2 TB", 2 * 10**12), ("3m", 3_000_000), ("4b", 4)],
)
def test_amounts(text: str, expected: int) -> None:
    assert bytes_of(text) == expected


@pytest.mark.parametrize("text", ["", "-1GB", "1 XB", "GB", "1e3"])
def test_no_amounts(text: str) -> None:
    with pytest.raises(RunError, match="is no amount of memory"):
        bytes_of(text)


def test_a_decomposition_that_fails_leaves_its_candidate_out(monkeypatch: pytest.MonkeyPatch) -> None:
    network = compile_network(
        parse_spec("""
nodes:
  x: {kind: input, shape: [4]}
  a: {kind: linear, from: x, features: 3, activation: relu}
  b: {kind: linear, from: a, features: 2, activation: relu}
  y: {kind: linear, from: b, features: 3}
output: y
growth: {actions: [widen, new_edge, new_node, prune], when: {every: 1, until: 1.0}}
"""),
        seed=0,
    )
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    loader = [(x, x[:, :3].argmax(dim=1))]
    scheduler = GrowthScheduler(network, torch.nn.functional.cross_entropy)
    before = scheduler.plan(loader)
    whole = {name: getattr(torch.linalg, name) for name in ("eigh", "svd")}

    def failing(name: str, matrix: Tensor, **options: bool) -> object:
        if matrix.shape == (2, 2):  # of neurons for a, which b reads with its two
            raise torch.linalg.LinAlgError("the algorithm failed to converge\nin words")  # type: ignore[attr-defined]
        return whole[name](matrix, **options)

    for name in whole:
        monkeypatch.setattr(torch.linalg, name, partial(failing, name))
    plan = scheduler.plan(loader)
    failed = [each for each in plan.candidates if each.reason and "cannot be decomposed" in each.reason]
    assert 0 < len(failed) < len(plan.candidates)
    reason = "its statistics cannot be decomposed: the algorithm failed to converge"
    assert {each.reason for each in failed} == {reason}
    assert {each.target for each in plan.candidates} == {each.target for each in before.candidates}
    event = scheduler.step(loader, loader)
    assert event is not None
    assert event.decision is not None
    measured = [module for module in network.modules() if isinstance(module, GrowingModule)]
    assert all(module.tensor_m.samples == 0 for module in measured)
