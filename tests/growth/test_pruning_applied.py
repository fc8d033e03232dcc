"""Neurons taken out for real: when it is refused, what the policy may trade, and what the optimizer keeps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowingNetwork, GrowthError, GrowthScheduler
from gromo_graph.spec.settings import Growth, Neurons, When
from tests.growth.paths import (
    MSE,
    Data,
    applied,
    compiled,
    data_of,
    outputs,
    planned,
    run_compiled,
    same,
    state_of,
    train,
)
from tests.growth.test_pruning import CASES, Case, each_case, make_dead, make_equal, pruning

CHAIN = CASES["a chain"].nodes
ONE = CHAIN.replace("features: 4, activation: gelu", "features: 4, activation: gelu, grow: false")


def learnt(network: GrowingNetwork, *, noise: float) -> Data:
    """Targets that the network gives itself, but for some noise: whatever changes its output raises the loss."""
    generator = torch.Generator().manual_seed(4)
    found = []
    for x, _ in data_of(network):
        y = outputs(network, [(x, x)])
        found.append((x, y + noise * torch.randn(y.shape, generator=generator, dtype=y.dtype)))
    return found


# Whether


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dead", [False, True], ids=["equal", "dead"])
def test_what_is_not_needed_at_all_is_taken_out_whatever_rounding_does_to_the_loss(
    dead: bool, seed: int
) -> None:
    network = compiled(ONE, seed=seed)
    data = data_of(network, seed=seed)
    group = network.graph.group_of("h")
    for channel in (2, 5):
        if dead:
            make_dead(network, group, channel)
        else:
            make_equal(network, group, 0, [channel])
    scheduler = pruning(network, neurons=2, when=When(every=1, until=1.0))
    candidate = planned(scheduler, data, "h")
    assert (candidate.neurons, candidate.removal.errors[-1] < 1e-5) == (2, True)
    event = scheduler.step(data, data)
    assert event.decision is not None, event.reason
    assert event.decision.neurons == 2


@pytest.mark.parametrize("seed", range(4))
def test_equal_neurons_go_also_where_next_to_nothing_is_left_of_the_loss(seed: int) -> None:
    """The error by the ridge of the refit is small beside the output, and not beside such a loss."""
    network = compiled(ONE, seed=seed)
    make_equal(network, network.graph.group_of("h"), 0, [2, 5])
    data = learnt(network, noise=1e-3)
    event = pruning(network, neurons=2, when=When(every=1, until=1.0)).step(data, data)
    assert event.decision is not None, event.reason
    assert event.decision.neurons == 2


def test_what_would_raise_the_held_out_loss_is_refused_and_nothing_changes() -> None:
    network = compiled(ONE)
    with torch.no_grad():  # nearly equal, so that its readers hardly miss one of them
        layer = network.growing("h").layer
        layer.weight[2] = layer.weight[0] + 0.02 * layer.weight[1]
    data = learnt(network, noise=1e-4)
    optimizer = torch.optim.Adam(network.parameters())
    scheduler = GrowthScheduler(
        network,
        MSE,
        optimizer=optimizer,
        policy=Growth(actions=("prune",), when=When(every=1, until=1.0)),
        epochs=9,
    )
    candidate = planned(scheduler, data, "h")
    assert candidate.reason is None
    before = state_of(network, optimizer)
    for event in (scheduler.apply(candidate), scheduler.step(data, data)):
        assert event.decision is None
        assert "the held-out loss would rise from" in event.reason
        assert same(state_of(network, optimizer), before)


def test_what_its_readers_would_miss_is_left_out() -> None:
    network = compiled("""
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 2, activation: tanh}
        y: {kind: linear, from: h, features: 3}
        """)
    candidate = planned(pruning(network, when=When()), data_of(network), "h")
    assert "of what its readers make of it is lost" in candidate.reason
    assert (candidate.neurons, candidate.slope) == (0, None)


@pytest.mark.parametrize(("worth", "taken"), [(1e-6, 0), (1e9, 3)])
def test_the_policy_says_what_a_smaller_network_is_worth(worth: float, taken: int) -> None:
    network = compiled(ONE)
    data = learnt(network, noise=0.1)
    scheduler = pruning(network, when=When(every=1, until=1.0, worth=worth))
    event = scheduler.step(data, data)
    assert (event.decision.neurons if event.decision else 0) == taken
    if taken:
        assert event.loss_after > event.loss_before
    else:
        assert "more loss for" in event.reason
        assert "fewer parameters: `growth.when.worth` is 1e-06" in event.reason


def test_where_all_are_too_many_half_of_them_are_tried() -> None:
    network = compiled(ONE)
    make_equal(network, network.graph.group_of("h"), 0, [5])
    data = learnt(network, noise=1e-3)
    scheduler = pruning(network, neurons=3, when=When(every=1, until=1.0, worth=0.01))
    candidate = planned(scheduler, data, "h")
    assert candidate.neurons == 3
    event = scheduler.apply(candidate)
    assert event.decision.neurons == 1
    assert event.decision.delta_parameters == -(5 + 1 + 4)
    assert network.graph.features("h") == 5


# How far


def test_the_least_width_is_kept() -> None:
    network = compiled(ONE.replace("activation: tanh", "activation: tanh, grow: {min: 4}"))
    data = data_of(network)
    scheduler = pruning(network, neurons=5)
    assert planned(scheduler, data, "h").neurons == 2
    assert scheduler.step(data, data).decision.neurons == 2
    assert network.graph.features("h") == 4
    assert planned(scheduler, data, "h").reason == "it is 4 wide, the least it may be"


def test_one_neuron_is_kept_and_then_it_is_over() -> None:
    network = compiled(ONE)
    data = data_of(network)
    scheduler = pruning(network, neurons=2)
    widths = []
    for _ in range(3):
        assert scheduler.step(data, data).decision.kind == "prune"
        widths.append(network.graph.features("h"))
    assert widths == [4, 2, 1]
    event = scheduler.step(data, data)
    assert event.decision is None
    assert "`h`: it is 1 wide, the least it may be" in event.reason
    assert scheduler.reason == event.reason
    assert scheduler.step(data, data) is None


HELD = {
    "layer norm": ("n: {kind: layer_norm, from: h}", "n", "norm `n`"),
    "group norm": (
        "n: {kind: group_norm, from: h, groups: 3}",
        "n",
        "a group norm or the heads of an attention hold 2 features together",
    ),
}


@pytest.mark.parametrize(("line", "source", "reason"), HELD.values(), ids=HELD)
@pytest.mark.parametrize("jump", [False, True])
def test_norms_that_see_several_features_hold_them(line: str, source: str, reason: str, jump: bool) -> None:
    network = compiled(f"""
        x: {{kind: input, shape: [5]}}
        h: {{kind: linear, from: x, features: 6, activation: tanh}}
        {line}
        y: {{kind: linear, from: {source}, features: 3}}
        """)
    candidate = planned(pruning(network, allow_jump=jump), data_of(network), "h")
    assert reason in candidate.reason


def test_ties_and_fixed_layers_hold_their_neurons() -> None:
    nodes = CHAIN.replace("activation: tanh", "activation: tanh, grow: {tie: both}")
    nodes = nodes.replace("features: 4, activation: gelu", "features: 6, activation: gelu, grow: {tie: both}")
    network = compiled(nodes)
    tied = planned(pruning(network), data_of(network), "h")
    assert tied.reason == "groups that are tied to one width are not pruned"
    network = compiled(ONE)
    candidates = pruning(network).plan(data_of(network)).candidates
    assert {c.target: c.reason for c in candidates if c.reason} == {
        "k": "`k` says `grow: false`",
        "y": "its width is that of the output `y`",
    }


# The optimizer and others who hold on to parameters


def places_left(network: GrowingNetwork, each: Case, order: tuple[int, ...]) -> dict[str, dict[int, Tensor]]:
    """By parameter, of each dimension the places that stay."""
    group = network.graph.group_of(each.target)
    stay = [channel for channel in range(group.features) if channel not in order]
    found: dict[str, dict[int, Tensor]] = {}
    names = {id(p): name for name, p in network.named_parameters()}
    for name in (*group.producers, *group.operations):
        part = network.parts.get(name)
        for parameter in () if part is None else part.parameters():
            repeat = len(parameter) // group.features
            places = [c * repeat + place for c in stay for place in range(repeat)]
            found.setdefault(names[id(parameter)], {})[0] = torch.tensor(places)
    for name in each.reads:
        weight = network.growing(name).layer.weight
        gone = {feature for channel in order for feature in each.features(name, channel)}
        places = [feature for feature in range(weight.shape[1]) if feature not in gone]
        found.setdefault(names[id(weight)], {})[1] = torch.tensor(places)
    return found


@each_case
def test_the_state_of_what_stays_moves_with_it(each: Case) -> None:
    network = compiled(each.nodes)
    data = data_of(network)
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(
        [{"params": parameters[:1], "lr": 0.005}, {"params": parameters[1:]}], lr=0.01
    )
    train(network, optimizer, data)
    scheduler = pruning(network)
    scheduler.optimizer = optimizer
    candidate = planned(scheduler, data, each.target)
    order = candidate.removal.order[: candidate.neurons]
    left = places_left(network, each, order)
    before = {name: copy.deepcopy(optimizer.state[p]) for name, p in network.named_parameters()}
    groups = {name: _group(optimizer, p) for name, p in network.named_parameters()}
    scheduler.apply(candidate, 1.0)
    assert len(optimizer.state) == len(before)
    for name, parameter in network.named_parameters():
        state = optimizer.state[parameter]
        assert state["step"] == before[name]["step"]
        for key in ("exp_avg", "exp_avg_sq"):
            expected = before[name][key]
            for dim, places in left.get(name, {}).items():
                expected = expected.index_select(dim, places)
            assert torch.equal(state[key], expected)
        assert _group(optimizer, parameter) == groups[name]
    losses = train(network, optimizer, data, passes=10)
    assert sum(losses[-3:]) < sum(losses[:3])


def _group(optimizer: torch.optim.Optimizer, parameter: Tensor) -> tuple[int, int]:
    """Its group and place in it."""
    (found,) = [
        (number, place)
        for number, group in enumerate(optimizer.param_groups)
        for place, other in enumerate(group["params"])
        if other is parameter
    ]
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_sees_that_it_is_smaller() -> None:
    network = compiled(CHAIN)
    data = data_of(network)
    x = data[0][0]
    scheduler = pruning(network)
    with run_compiled(network) as seen:
        torch.testing.assert_close(seen(x), network(x))
        scheduler.apply(planned(scheduler, data, "h"), 1.0)
        torch.testing.assert_close(seen(x), network(x))


@pytest.mark.parametrize("held", [False, True], ids=["training", "in evaluation"])
def test_a_norm_keeps_its_mode_and_what_is_trained_stays_so(held: bool) -> None:
    network = compiled(CASES["a batch norm"].nodes).train()
    data = data_of(network)
    norm = network.parts["n"].train(not held)
    norm.weight.requires_grad_(False)
    scheduler = pruning(network)
    scheduler.apply(planned(scheduler, data, "h"), 1.0)
    new = network.parts["n"]
    assert new is not norm
    assert new.num_features == 3
    assert (new.training, new.weight.requires_grad, new.bias.requires_grad) == (not held, False, True)
    assert network.training


# Candidates


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_neurons_are_taken_out_as_a_whole_or_not_at_all(gamma: float) -> None:
    network = compiled(CHAIN)
    data = data_of(network)
    scheduler = pruning(network)
    candidate = planned(scheduler, data, "h")
    before = state_of(network)
    if gamma:
        with pytest.raises(GrowthError, match="taken out as a whole: expected γ = 1 or None"):
            scheduler.apply(candidate, gamma)
    else:
        assert scheduler.apply(candidate, gamma).decision is None
    assert same(state_of(network), before)


def widened(scheduler: GrowthScheduler, data: Data, target: str) -> None:
    scheduler.apply(planned(scheduler, data, target, "widen"), 0.1)


@pytest.mark.parametrize("changed", ["the group", "its readers", "and back"])
def test_a_candidate_of_an_older_state_is_refused(changed: str) -> None:
    network = compiled(CHAIN)
    data = data_of(network)
    scheduler = pruning(network, neurons=2, actions=("prune", "widen"))
    stale = planned(scheduler, data, "h", "prune")
    if changed == "and back":
        scheduler.apply(stale, 1.0)
    widened(scheduler, data, "k" if changed == "its readers" else "h")
    before = state_of(network)
    with pytest.raises(GrowthError, match="`h` was planned for another state of the network"):
        scheduler.apply(stale, 1.0)
    assert same(state_of(network), before)


def test_planning_and_trying_change_nothing() -> None:
    network = compiled(CASES["a depthwise convolution and pools"].nodes)
    data = data_of(network)
    optimizer = torch.optim.Adam(network.parameters())
    train(network, optimizer, data)
    scheduler = pruning(network)
    before = state_of(network, optimizer)
    candidate = planned(scheduler, data, "h")
    applied(scheduler, candidate, 1.0)
    assert same(state_of(network, optimizer), before)


def test_units_at_a_kink_behind_a_sum_are_looked_at_in_the_smaller_network() -> None:
    """There a sum of relus passes a relu: many of its units stand at the kink, and some of them are gone afterwards."""
    network = compiled("""
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6, activation: relu}
        b: {kind: linear, from: h, features: 6, activation: relu}
        s: {kind: merge, from: [h, b], activation: relu}
        y: {kind: linear, from: s, features: 3}
        """)
    candidate = planned(pruning(network), data_of(network), "h")
    assert candidate.neurons == 3
    assert candidate.slope is not None


@pytest.mark.parametrize("select", ["balanced", "slope", "slope_per_parameter", "slope_per_madd", "realised"])
def test_pruning_makes_room_where_a_budget_is_used_up(select: Any) -> None:
    network = compiled(ONE)
    data = data_of(network)
    make_equal(network, network.graph.group_of("h"), 0, [5])
    stop = {"parameters": network.graph.parameter_count}
    policy = Growth(
        actions=("widen", "prune"),
        select=select,
        neurons=Neurons(per_step=1),
        when=When(every=1, until=1.0, worth=1e-3),
        stop=stop,
    )
    scheduler = GrowthScheduler(network, MSE, policy=policy, epochs=9)
    kinds = [scheduler.step(data, data).decision.kind for _ in range(2)]
    assert kinds == ["prune", "widen"]
    assert network.graph.parameter_count == stop["parameters"]


def test_a_loss_of_zero_does_not_rise() -> None:
    network = compiled(ONE)
    with torch.no_grad():
        data = [(x, network(x)) for x, _ in data_of(network)]
    before = state_of(network)
    event = pruning(network, when=When(every=1, until=1.0, worth=0.5)).step(data, data)
    assert event.loss_before == 0.0
    assert event.decision is None
    assert same(state_of(network), before)
