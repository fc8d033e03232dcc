"""The scheduler and norms: what was promised is applied, the loss never goes up, the optimizer follows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import (
    GroupNorm,
    LayerNorm,
)
from torch.nn.modules.batchnorm import _BatchNorm

from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network, parse_spec
from gromo_graph.layers.channel_propagation import Moments
from tests.growth.problems import pend
from tests.modules.normed import BOTH_MODES, MSE, close, run, warm_up
from tests.modules.pairs import F64

pytestmark = pytest.mark.usefixtures("seeded")


NORM_NODES = {
    "batch_norm": "kind: batch_norm",
    "group_norm": "kind: group_norm, groups: 2",
    "layer_norm": "kind: layer_norm",
}


CRITERIA = ("tiny", "gradmax", "random", "variance_transfer")


def compiled(
    norm: str, growth: str = "", *, image: bool = False, alone: bool = False, seed: int = 0
) -> GrowingNetwork:
    """Two layers with a norm behind the first, which may grow alone or as the second may."""
    kind, shape = ("conv2d", "[2, 4, 4]") if image else ("linear", "[5]")
    kernel = ", kernel: 3, padding: 1" if image else ""
    jump = "allow_jump: true, " if norm == "layer_norm" else ""
    pool = "\n  p: {kind: adaptive_avg_pool2d, from: b}\n  f: {kind: flatten, from: p}" if image else ""
    text = f"""
version: 1
name: normed
nodes:
  x: {{kind: input, shape: {shape}}}
  a: {{kind: {kind}, from: x, features: 4{kernel}}}
  n: {{{NORM_NODES[norm]}, from: a, activation: tanh}}
  b: {{kind: {kind}, from: n, features: 4{kernel}, activation: tanh, grow: {str(not alone).lower()}}}{pool}
  y: {{kind: linear, from: {"f" if image else "b"}, features: 3}}
output: y
growth: {{{jump}{growth}}}
"""
    return compile_network(parse_spec(text), seed=seed, dtype=F64)


def batches(samples: int, *, image: bool, seed: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *((2, 4, 4) if image else (5,)), generator=generator, dtype=F64)
    flat = x.flatten(1)
    y = torch.stack([flat[:, 0] * flat[:, 1], (flat[:, 2] + flat[:, 3]).tanh(), flat[:, 4].square()], dim=1)
    return list(zip(x.split(40), y.split(40), strict=True))


def train_once(
    network: GrowingNetwork, optimizer: torch.optim.Optimizer, data: list[tuple[Tensor, Tensor]]
) -> None:
    network.train()
    for x, y in data:
        optimizer.zero_grad()
        MSE(network(x), y).backward()
        optimizer.step()


def held_out_loss(network: GrowingNetwork, data: list[tuple[Tensor, Tensor]]) -> float:
    network.eval()
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    return float(MSE(run(network, x), y))


@pytest.mark.parametrize("image", [False, True], ids=["linear", "conv2d"])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("norm", NORM_NODES)
def test_held_out_loss_never_goes_up_at_an_applied_step(norm: str, criterion: str, image: bool) -> None:
    policy = f"criterion: {criterion}, neurons: {{per_step: 6}}, when: {{every: 1, until: 1.0}}"
    network = compiled(norm, policy, image=image, alone=criterion != "tiny")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    train, held_out = batches(120, image=image, seed=1), batches(80, image=image, seed=2)
    scheduler = GrowthScheduler(
        network, MSE, optimizer=optimizer, epochs=5, generator=torch.Generator().manual_seed(0)
    )
    grown = set()
    for _ in range(5):
        train_once(network, optimizer, train)
        before = held_out_loss(network, held_out)
        event = scheduler.step(train, held_out)
        after = held_out_loss(network, held_out)
        assert event is not None
        assert event.loss_before == pytest.approx(before)
        assert event.loss_after == pytest.approx(after)
        assert after <= before + 1e-12
        if event.decision is None:
            assert after == before
            continue
        grown.add(event.decision.target)
        assert network.graph.parameter_count == sum(p.numel() for p in network.parameters())
        listed = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert listed == {id(p) for p in network.parameters()}
        again = compile_network(parse_spec(event.spec), seed=9, dtype=F64).eval()
        again.load_state_dict(network.state_dict())
        assert torch.equal(run(again, held_out[0][0]), run(network, held_out[0][0]))
    # Where the loss decides, it may well be that the jump of a layer norm never pays.
    assert "a" in grown or norm == "layer_norm"


@pytest.mark.parametrize("select", ["balanced", "slope", "slope_per_parameter", "slope_per_madd"])
def test_a_layer_norm_can_be_ranked_by_every_rule(select: str) -> None:
    """It has no slope, so a rule that sorts by slopes must know what to do with it."""
    network = compiled("layer_norm", f"select: {select}")
    scheduler = GrowthScheduler(network, MSE)
    plan = scheduler.plan(batches(120, image=False, seed=1))
    by_target = {candidate.target: candidate for candidate in plan.candidates}
    assert by_target["a"].reason is by_target["a"].slope is None
    assert "no slope behind a layer or RMS norm" in by_target["a"].note
    assert by_target["b"].slope > 0


def test_the_spec_key_allows_the_jump_and_the_reason_names_it() -> None:
    spec = compiled("layer_norm").spec
    growth = spec.growth.model_copy(update={"allow_jump": False})
    network = compile_network(copy.copy(spec), seed=0, dtype=F64)
    refused = GrowthScheduler(network, MSE, policy=growth).plan(batches(80, image=False, seed=1))
    reasons = {candidate.target: candidate.reason for candidate in refused.candidates}
    assert "layer norm `n` changes its old outputs at once" in reasons["a"]
    assert "`growth.allow_jump: true`" in reasons["a"]
    assert reasons["b"] is None
    allowed = GrowthScheduler(network, MSE).plan(batches(80, image=False, seed=1))
    assert {candidate.target for candidate in allowed.candidates if candidate.reason is None} == {"a", "b"}


def norm_of(network: GrowingNetwork) -> Any:
    """The norm of the network as it now stands: growth puts another one in its place."""
    return next(m for m in network.modules() if isinstance(m, _BatchNorm | GroupNorm | LayerNorm))


def parameters_of(norm: torch.nn.Module) -> list[torch.nn.Parameter]:
    return list(norm.parameters())


@pytest.mark.parametrize("image", [False, True], ids=["linear", "conv2d"])
@pytest.mark.parametrize("norm", NORM_NODES)
def test_optimizer_state_follows_the_norm(norm: str, image: bool) -> None:
    network = compiled(norm, "optimizer_state: matched", image=image)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    data = batches(80, image=image, seed=1)
    for _ in range(2):
        train_once(network, optimizer, data)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer)
    candidate = next(c for c in scheduler.plan(data).candidates if c.target == "a")
    module = norm_of(network)
    old = [copy.deepcopy(optimizer.state[p]) for p in parameters_of(module)]
    values = [p.detach().clone() for p in parameters_of(module)]
    scheduler.apply(candidate, 0.1)
    for was, value, parameter in zip(old, values, parameters_of(norm_of(network)), strict=True):
        now = optimizer.state[parameter]
        width = len(value)
        assert len(parameter) == width + candidate.neurons
        assert torch.equal(parameter[:width], value)
        assert torch.equal(now["exp_avg"][:width], was["exp_avg"])
        assert not now["exp_avg"][width:].any()
        assert torch.equal(now["exp_avg_sq"][:width], was["exp_avg_sq"])
        close(now["exp_avg_sq"][width:], was["exp_avg_sq"].mean().expand_as(now["exp_avg_sq"][width:]))
        assert torch.equal(now["step"], was["step"])
    assert len(optimizer.state) == len(list(network.parameters()))
    train_once(network, optimizer, data)


def test_optimizer_state_of_a_norm_behind_a_concat_stays_with_its_channels() -> None:
    """New channels of the first branch are inserted in the middle of the norm."""
    network = compile_network(
        parse_spec(
            """
version: 1
name: side by side
nodes:
  x: {kind: input, shape: [5]}
  a: {kind: linear, from: x, features: 2, activation: tanh}
  b: {kind: linear, from: x, features: 3, activation: tanh}
  j: {kind: merge, from: [a, b], merge: concat}
  n: {kind: batch_norm, from: j}
  y: {kind: linear, from: n, features: 3}
output: y
growth: {neurons: {per_step: 2}}
"""
        ),
        seed=0,
        dtype=F64,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    data = batches(80, image=False, seed=1)
    train_once(network, optimizer, data)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer)
    candidate = next(c for c in scheduler.plan(data).candidates if c.target == "a")
    old = optimizer.state[norm_of(network).weight]["exp_avg"].clone()
    scheduler.apply(candidate, 0.1)
    added = candidate.neurons
    now = optimizer.state[norm_of(network).weight]["exp_avg"]
    assert torch.equal(now[:2], old[:2])
    assert not now[2 : 2 + added].any()
    assert torch.equal(now[2 + added :], old[2:])


@pytest.mark.parametrize("image", [False, True], ids=["linear", "conv2d"])
@pytest.mark.parametrize("norm", NORM_NODES)
@pytest.mark.parametrize("scale", ["sqrt", "alpha_std"])
@BOTH_MODES
def test_the_scheduler_grows_what_it_promised_on_the_data_it_planned_with(
    norm: str, image: bool, training: bool, scale: str
) -> None:
    network = compiled(norm, image=image)
    data = batches(40, image=image, seed=1)
    warm_up(network, data[0][0])
    scheduler = GrowthScheduler(network, MSE, policy=network.spec.growth.model_copy(update={"scale": scale}))
    candidate = next(c for c in scheduler.plan(data).candidates if c.target == "a")
    pend(network, candidate, 0.37, scale=scale)
    network.train(training)
    with torch.no_grad():
        predicted = network.extended_forward(data[0][0])
    scheduler.apply(candidate, 0.37)
    network.train(training)
    close(run(network, data[0][0]), predicted)


@pytest.mark.parametrize(("clock", "samples"), [("", 520), ("when: {every: 1}", 4000)])
def test_new_channels_begin_with_the_moments_of_some_samples(
    clock: str, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as say what they are, and not all of a long loader; release 0.1 took all."""
    network = compiled("batch_norm", clock, alone=True)
    scheduler = GrowthScheduler(network, MSE)
    plan = scheduler.plan(batches(4000, image=False, seed=1))
    candidate = next(c for c in plan.candidates if c.target == "a")
    sizes, add = [], Moments.add
    monkeypatch.setattr(Moments, "add", lambda self, values: (sizes.append(len(values)), add(self, values)))
    scheduler.apply(candidate)
    assert sum(sizes) == samples
