"""The tail of a draft gives what the draft gives, at every step size, and computes nothing before it twice."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from gromo_graph import GrowthScheduler, Spec, compile_network, parse_spec
from gromo_graph.growth.observe import Loss, batches
from gromo_graph.growth.process_sums import ALONE
from gromo_graph.growth.steps.held_out import HeldOut
from gromo_graph.network.draft import Draft
from gromo_graph.network.tail import Tail
from gromo_graph.spec.settings import Growth
from tests.growth.test_any_graph import PLAIN, able_to_grow, data_for, loss
from tests.spec.strategies import specs

POLICY = Growth(actions=("widen", "new_edge", "new_node"))
CNN = parse_spec("""
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  early: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh}
  late: {kind: conv2d, from: early, features: 3, kernel: 3, activation: tanh}
  flat: {kind: flatten, from: late}
  wide: {kind: linear, from: flat, features: 4, activation: tanh}
  y: {kind: linear, from: wide, features: 2}
output: y
""")


def drafts(spec: Spec, policy: Growth, loss: Loss) -> dict[str, Draft]:
    """Of every candidate that has a step size."""
    network = compile_network(spec, seed=0, dtype=torch.float64).eval()
    plan = GrowthScheduler(network, loss, policy=policy).plan(data_for(network))
    able = [each for each in plan.candidates if each.reason is None and each.whole is None]
    return {f"{each.kind} {each.target}": each.draft(network, policy) for each in able}


@settings(max_examples=4)
@given(specs(names=PLAIN, max_nodes=11))
def test_the_tail_gives_what_the_draft_gives(spec: Spec) -> None:
    for draft in drafts(able_to_grow(spec), POLICY, loss).values():
        data = data_for(draft.network)
        tail = Tail(draft)
        ((entered, _),) = tail.entered(batches(data, draft.network))
        for gamma in (2.0, 0.25, 2.0):
            network = draft.at(gamma).eval()
            with torch.no_grad():
                expected, found = network(*data[0][0]), tail.eval()(*entered)
            for name, value in expected.items():
                torch.testing.assert_close(found[name], value, rtol=0.0, atol=0.0)


@pytest.mark.parametrize(
    ("target", "before"), [("early", []), ("late", ["early"]), ("wide", ["early", "late"])]
)
def test_layers_before_it_are_called_once(target: str, before: list[str]) -> None:
    draft = drafts(CNN, Growth(), lambda output, target: output.square().mean() - target.mean())[
        f"widen {target}"
    ]
    calls: list[str] = []
    for name in ("early", "late", "wide", "y"):
        draft.network.growing(name).layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    tail = Tail(draft)
    ((entered, _),) = tail.entered(batches(data_for(draft.network), draft.network))
    assert calls == before
    for gamma in (1.0, 2.0, 4.0):
        draft.at(gamma)
        tail(*entered)
    behind = [name for name in ("early", "late", "wide", "y") if name not in before]
    assert calls == before + 3 * behind


SHARED_NORM = parse_spec("""
nodes:
  x: {kind: input, shape: [8]}
  n: {kind: batch_norm, from: x}
  h: {kind: linear, from: n, features: 4, activation: relu}
  b: {kind: linear, from: h, features: 8, activation: relu}
  m: {kind: again, from: [b, n]}
  y: {kind: linear, from: m, features: 3}
output: y
growth: {stop: {parameters: 300}}
""")


def test_what_stands_before_it_is_in_evaluation_mode_too() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 8, generator=generator), torch.randint(0, 3, (64,), generator=generator)
    network = compile_network(SHARED_NORM, seed=0).train()
    norm = network.parts["n"]
    held_out = HeldOut(torch.nn.functional.cross_entropy, ALONE)
    held_out.loader = [(x, y)]
    plan = GrowthScheduler(network, torch.nn.functional.cross_entropy).plan([(x, y)])
    draft = next(each for each in plan.candidates if each.reason is None).draft(network, network.spec.growth)
    by_step_size = held_out.by_step_size(draft, all_samples=False)
    for gamma in (1.0, 32.0, 1024.0):
        assert by_step_size.at(gamma) == held_out.losses_of(draft.at(gamma), all_samples=False)
    assert int(norm.num_batches_tracked) == 0
    assert norm.training


def test_a_loader_that_draws_leaves_the_random_state() -> None:
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    loader = torch.utils.data.DataLoader([(each, 1) for each in x], 16, shuffle=True)
    network = compile_network(SHARED_NORM, seed=0)
    plan = GrowthScheduler(network, torch.nn.functional.cross_entropy).plan(loader)
    draft = next(each for each in plan.candidates if each.reason is None).draft(network, network.spec.growth)
    held_out = HeldOut(torch.nn.functional.cross_entropy, ALONE)
    held_out.loader = loader
    before = torch.get_rng_state()
    held_out.by_step_size(draft, all_samples=False).at(1.0)
    assert torch.equal(torch.get_rng_state(), before)
