"""New paths made real: a look leaves no trace, what was promised is computed, and everything goes on from there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from gromo_graph import GrowingNetwork, GrowthError, GrowthScheduler, parse_spec
from gromo_graph.growth.losses import mean_loss
from gromo_graph.spec.settings import Growth, Neurons, Stop, When
from tests.growth.paths import (
    MSE,
    able,
    applied,
    compiled,
    data_of,
    loss_with,
    outputs,
    planned,
    run_compiled,
    same,
    state_of,
    train,
    twin_of,
)
from tests.growth.test_new_paths import BOTH, CHAIN, GRAPHS

ALL = ("widen", "new_edge", "new_node", "prune")
TANH = CHAIN.replace("ACT", "tanh")
NOISY = """
x: {kind: input, shape: [5]}
h: {kind: linear, from: x, features: 4}
n: {kind: batch_norm, from: h, activation: gelu}
d: {kind: dropout, from: n}
y: {kind: linear, from: d, features: 3}
"""


# A look


@pytest.mark.parametrize("delta", [False, True], ids=["delta left", "delta applied"])
@pytest.mark.parametrize(
    "nodes", [TANH, NOISY, GRAPHS["images, the same kernel"]], ids=["rows", "noisy", "images"]
)
def test_planning_and_trying_change_nothing(nodes: str, delta: bool) -> None:
    network = compiled(nodes)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    data = data_of(network)
    train(network, optimizer, data)
    network.growing("y").eval()  # a mode of its own
    policy = Growth(actions=BOTH, apply_delta=delta)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, policy=policy)
    before = state_of(network, optimizer)
    found = able(scheduler.plan(data).candidates)
    assert same(state_of(network, optimizer), before)
    assert {candidate.kind for candidate in found} == set(BOTH)
    for candidate in found:
        loss_with(scheduler, candidate, 0.3, data)
        event = scheduler.apply(candidate, 0.0)
        assert event.decision is None
        assert same(state_of(network, optimizer), before)


def test_a_step_size_that_no_search_finds_changes_nothing() -> None:
    """A case in which nothing lowers the held-out loss, as it is 0 already."""
    network = compiled(TANH)
    data = data_of(network)
    perfect = [(x, network(x).detach()) for x, _ in data]
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH))
    candidate = planned(scheduler, data, "x->y")
    before = state_of(network)
    event = scheduler.apply(candidate, loader=perfect)
    assert (event.decision, event.gamma) == (None, 0.0)
    assert "no step size lowers the held-out loss of `x->y`" in event.reason
    assert same(state_of(network), before)


@pytest.mark.parametrize("gamma", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("target", ["x->y", "x->new.1->y"])
def test_a_step_size_that_is_none_is_refused_before_anything_changes(target: str, gamma: float) -> None:
    network = compiled(TANH)
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH))
    candidate = planned(scheduler, data, target)
    before = state_of(network)
    with pytest.raises(GrowthError, match="expected a number above 0, or 0 for nothing"):
        scheduler.apply(candidate, gamma)
    assert same(state_of(network), before)


# What is promised


@pytest.mark.parametrize("delta", [False, True], ids=["delta left", "delta applied"])
@pytest.mark.parametrize("nodes", GRAPHS.values(), ids=GRAPHS)
def test_the_grown_network_is_what_was_promised(nodes: str, delta: bool) -> None:
    network = compiled(nodes)
    data = data_of(network)
    policy = Growth(actions=BOTH, apply_delta=delta, neurons=Neurons(per_step=2))
    scheduler = GrowthScheduler(network, MSE, policy=policy)
    for candidate in able(scheduler.plan(data).candidates):
        promised = loss_with(scheduler, candidate, 0.3, data)
        grown, event = applied(scheduler, candidate, 0.3)
        after = grown.network
        assert event.loss_after == promised == mean_loss(after, MSE, data)
        assert after.graph.parameter_count == sum(p.numel() for p in after.parameters())
        assert after.graph.parameter_count == network.graph.parameter_count + candidate.delta_parameters
        assert after.graph.multiply_adds == network.graph.multiply_adds + candidate.delta_madds
        assert parse_spec(event.spec).nodes == after.spec.nodes
        assert set(event.decision.nodes) == set(after.spec.nodes) - set(network.spec.nodes) - {
            f"{candidate.bridge.target}.linear"
        }
        assert torch.equal(outputs(twin_of(after), data), outputs(after, data))


@pytest.mark.parametrize("nodes", GRAPHS.values(), ids=GRAPHS)
def test_a_step_size_that_is_searched_lowers_the_loss(nodes: str) -> None:
    network = compiled(nodes)
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH))
    for kind in BOTH:
        candidate = next(c for c in able(scheduler.plan(data).candidates) if c.kind == kind)
        _, event = applied(scheduler, candidate, None)
        assert event.gamma > 0
        assert event.loss_after < event.loss_before


@pytest.mark.parametrize(("kind", "steps"), [("new_edge", 3), ("new_node", 4)])
def test_steps_add_one_path_after_the_other_and_none_twice(kind: Any, steps: int) -> None:
    network = compiled(TANH)
    data = data_of(network)
    policy = Growth(actions=(kind,), when=When(every=1, until=1.0), neurons=Neurons(per_step=2))
    scheduler = GrowthScheduler(network, MSE, policy=policy, epochs=40)
    ways: list[tuple[str, str]] = []
    losses = []
    for _ in range(steps):
        event = scheduler.step(data, data)
        assert event.decision.kind == kind
        names = event.decision.target.split("->")
        ways.append((names[0], names[-1]))
        losses += [event.loss_before, event.loss_after]
    assert len(set(ways)) == len(ways)
    assert losses == sorted(losses, reverse=True)


# What goes on from there


def test_a_grown_network_trains_on_and_grows_again() -> None:
    network = compiled(TANH)
    data = data_of(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    policy = Growth(actions=ALL, neurons=Neurons(per_step=2))
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, policy=policy)
    scheduler.apply(planned(scheduler, data, "x->new.1->y"))
    losses = train(network, optimizer, data, passes=10)
    assert sum(losses[-3:]) < sum(losses[:3])
    found = {candidate.target: candidate for candidate in able(scheduler.plan(data).candidates)}
    assert "x->new.2->y" not in found
    assert {"new.1", "h2->new.2->y", "x->new.2->new.1", "new.1->new.2->y"} <= set(found)
    widened = scheduler.apply(planned(scheduler, data, "new.1", "widen"))
    assert widened.decision.nodes == ("new.1",)
    assert network.graph.features("new.1") == 4
    again = scheduler.apply(planned(scheduler, data, "h2->new.2->y"))
    assert again.decision.nodes == ("new.2", "new.2.to.y")
    assert torch.equal(outputs(twin_of(network), data), outputs(network, data))
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {
        id(p) for p in network.parameters()
    }


def test_a_copy_of_a_grown_network_goes_its_own_way() -> None:
    network = compiled(TANH)
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH))
    scheduler.apply(planned(scheduler, data, "x->new.1->y"), 0.1)
    copied = copy.deepcopy(network)
    assert torch.equal(outputs(copied, data), outputs(network, data))
    before = state_of(network)
    other = GrowthScheduler(copied, MSE, policy=Growth(actions=BOTH))
    other.apply(planned(other, data, "x->y"), 0.1)
    train(copied, torch.optim.SGD(copied.parameters(), lr=0.1), data)
    assert "x.to.y" in copied.spec.nodes
    network.eval()
    assert same(state_of(network)["weights"], before["weights"])
    assert network.spec.nodes.keys() == parse_spec(before["spec"]).nodes.keys()


@pytest.mark.parametrize("training", [False, True])
def test_a_grown_network_keeps_the_modes_of_its_modules(training: bool) -> None:
    network = compiled(NOISY)
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH))
    network.train(training)
    network.parts["n"].train(not training)
    scheduler.apply(planned(scheduler, data, "x->new.1->y"), 0.1)
    others = [module for module in network.modules() if module is not network.parts["n"]]
    assert {module.training for module in others} == {training}
    assert network.parts["n"].training == (not training)


# Optimizers

OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.01),
    "momentum": lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9),
    "amsgrad": lambda groups: torch.optim.AdamW(groups, lr=0.01, amsgrad=True),
}


def in_two_groups(network: GrowingNetwork, *last: str) -> list[dict[str, Any]]:
    """The parameters of these layers apart."""
    head = [p for name in last for p in network.growing(name).parameters()]
    body = [p for p in network.parameters() if all(p is not other for other in head)]
    return [{"params": body, "lr": 0.02}, {"params": head}]


def groups_of(optimizer: torch.optim.Optimizer, network: GrowingNetwork, name: str) -> set[int]:
    """The groups in which the parameters of a layer are."""
    return {
        place
        for place, group in enumerate(optimizer.param_groups)
        for parameter in network.growing(name).parameters()
        if any(parameter is other for other in group["params"])
    }


@pytest.mark.parametrize("target", ["x->y", "x->new.1->y"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_keeps_what_it_knows_and_trains_what_is_new(make: Callable, target: str) -> None:
    network = compiled(TANH)
    data = data_of(network)
    optimizer = make(in_two_groups(network, "y"))
    train(network, optimizer, data)
    known = {parameter: copy.deepcopy(state) for parameter, state in optimizer.state.items()}
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, policy=Growth(actions=BOTH))
    event = scheduler.apply(planned(scheduler, data, target), 0.1)
    assert {parameter: dict(state) for parameter, state in optimizer.state.items()}.keys() == known.keys()
    for parameter, state in known.items():
        assert same(dict(optimizer.state[parameter]), dict(state))
    for name in ("y.linear", *event.decision.nodes):
        assert groups_of(optimizer, network, name) == {1}
    new = {name: network.growing(name).layer.weight for name in event.decision.nodes}
    before = {name: weight.detach().clone() for name, weight in new.items()}
    train(network, optimizer, data, passes=1)
    for name, weight in new.items():
        assert not torch.equal(weight, before[name])
    everywhere = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(everywhere) == sorted(id(p) for p in network.parameters())


@pytest.mark.parametrize("first", ["x->y", "x->new.1->y"])
def test_a_second_path_into_a_layer_joins_the_same_group(first: str) -> None:
    """By then the target is a sum, which has no parameters of its own."""
    network = compiled(TANH)
    data = data_of(network)
    optimizer = OPTIMIZERS["momentum"](in_two_groups(network, "y"))
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, policy=Growth(actions=BOTH))
    scheduler.apply(planned(scheduler, data, first), 0.1)
    event = scheduler.apply(planned(scheduler, data, "h1->y"), 0.1)
    (name,) = event.decision.nodes
    assert groups_of(optimizer, network, name) == {1}


def test_a_path_into_a_sum_joins_the_group_of_the_layers_that_enter_it() -> None:
    network = compiled(GRAPHS["a sum of layers with an activation"])
    data = data_of(network)
    optimizer = OPTIMIZERS["momentum"](in_two_groups(network, "b", "c", "d"))
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, policy=Growth(actions=BOTH))
    event = scheduler.apply(planned(scheduler, data, "a->new.1->s"), 0.1)
    assert [groups_of(optimizer, network, name) for name in event.decision.nodes] == [{1}, {1}]


def test_where_the_target_is_not_trained_the_first_group_takes_the_path() -> None:
    network = compiled(TANH)
    data = data_of(network)
    for parameter in network.growing("y").parameters():
        parameter.requires_grad_(False)
    body = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(body, lr=0.1)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, policy=Growth(actions=BOTH))
    (name,) = scheduler.apply(planned(scheduler, data, "x->y"), 0.1).decision.nodes
    weight = network.growing(name).layer.weight
    assert weight.requires_grad
    assert groups_of(optimizer, network, name) == {0}
    assert not network.growing("y.linear").layer.weight.requires_grad


# Others who look at the network


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_network_sees_new_paths() -> None:
    network = compiled(TANH)
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH))
    (x, y), *_ = data
    with run_compiled(network) as seen:
        torch.testing.assert_close(seen(x), network(x))
        for target in ("x->new.1->y", "x->y"):
            scheduler.apply(planned(scheduler, data, target), 0.3)
            torch.testing.assert_close(seen(x), network(x))
            MSE(seen(x), y).backward()
            assert network.growing("new.1").layer.weight.grad is not None


CHANGES = {"an edge": "h1->y", "a node": "h2->new.1->y", "wider": "h1"}


@pytest.mark.parametrize("made", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("old", ["x->y", "x->new.1->y"])
def test_a_candidate_of_an_older_state_is_refused(old: str, made: str) -> None:
    network = compiled(TANH)
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=("widen", *BOTH)))
    stale = planned(scheduler, data, old)
    scheduler.apply(planned(scheduler, data, made), 0.1)
    before = state_of(network)
    with pytest.raises(GrowthError, match=rf"`{old}` was planned for another state of the network"):
        scheduler.apply(stale, 0.1)
    assert same(state_of(network), before)


def test_a_candidate_of_another_network_and_one_that_was_left_out_are_refused() -> None:
    network, other = compiled(TANH), compiled(TANH, seed=1)
    data = data_of(network)
    stranger = planned(GrowthScheduler(other, MSE, policy=Growth(actions=BOTH)), data, "x->y")
    policy = Growth(actions=BOTH, stop=Stop(parameters=network.graph.parameter_count))
    scheduler = GrowthScheduler(network, MSE, policy=policy)
    with pytest.raises(GrowthError, match="another state of the network"):
        scheduler.apply(stranger, 0.1, loader=data)
    with pytest.raises(GrowthError, match="`x->y` cannot be applied: it would pass the budget"):
        scheduler.apply(planned(scheduler, data, "x->y"), 0.1)


# Budgets


# Of an edge x -> y there are 15 weights; of each neuron between them 5 + 3, and a bias.
ROOM = [
    ("parameters", 8, False, 0),
    ("parameters", 9, False, 1),
    ("parameters", 14, False, 1),
    ("parameters", 15, True, 1),
    ("parameters", 26, True, 2),
    ("parameters", 27, True, 3),
    ("parameters", 1000, True, 3),
    ("madds", 7, False, 0),
    ("madds", 8, False, 1),
    ("madds", 15, True, 1),
    ("madds", 24, True, 3),
]


@pytest.mark.parametrize(("budget", "room", "edge", "neurons"), ROOM)
def test_budgets_leave_paths_out_or_make_nodes_smaller(
    budget: str, room: int, edge: bool, neurons: int
) -> None:
    network = compiled(TANH)
    data = data_of(network)
    now = {"parameters": network.graph.parameter_count, "madds": network.graph.multiply_adds}[budget]
    policy = Growth(actions=BOTH, stop=Stop(**{budget: now + room}), neurons=Neurons(per_step=3))
    candidates = GrowthScheduler(network, MSE, policy=policy).plan(data).candidates
    found = {candidate.target: candidate for candidate in candidates}
    assert found["x->y"].reason == (None if edge else "it would pass the budget")
    node = found["x->new.1->y"]
    assert node.reason == (None if neurons else "one neuron there would pass the budget")
    assert node.neurons == neurons


def test_growth_is_over_where_a_budget_has_room_for_no_path() -> None:
    network = compiled(TANH)
    data = data_of(network)
    policy = Growth(
        actions=("new_edge",),
        when=When(every=1, until=1.0),
        stop=Stop(parameters=network.graph.parameter_count + 15),
    )
    scheduler = GrowthScheduler(network, MSE, policy=policy, epochs=10)
    assert scheduler.step(data, data).decision is not None
    assert scheduler.step(data, data) is None
    assert "budget reached" in str(scheduler.reason)


def test_a_widening_is_stale_where_the_width_is_the_same_again() -> None:
    network = compiled(TANH)
    data = data_of(network)
    one = Neurons(per_step=1)
    policy = Growth(actions=("widen", "prune"), when=When(worth=1e9), neurons=one)
    scheduler = GrowthScheduler(network, MSE, policy=policy)
    old = next(c for c in scheduler.plan(data).candidates if (c.kind, c.target) == ("widen", "h1"))
    width = network.graph.features("h1")
    scheduler.apply(old, 0.1)
    pruned = next(c for c in scheduler.plan(data).candidates if (c.kind, c.target) == ("prune", "h1"))
    scheduler.apply(pruned, 1.0)
    assert network.graph.features("h1") == width
    with pytest.raises(GrowthError, match="planned for another state"):
        scheduler.apply(old, 0.1)


def test_drawn_units_have_no_step_size() -> None:
    network = compiled(TANH)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(criterion="random"))
    candidate = next(c for c in scheduler.plan(data_of(network)).candidates if c.reason is None)
    before = state_of(network)
    with pytest.raises(GrowthError, match=r"expected γ = 1 or None, found 0\.5"):
        scheduler.apply(candidate, 0.5)
    assert same(state_of(network), before)
    assert "γ = 0 was asked for" in scheduler.apply(candidate, 0.0).reason
