"""Edges that read some features of their source: those that pay most, at known costs; growth goes on around them."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from gromo_graph import GrowingNetwork, GrowthScheduler, Spec, compile_network
from gromo_graph.algebra import best_blocks
from gromo_graph.growth.losses import mean_loss
from gromo_graph.network.example_inputs import random_inputs
from gromo_graph.spec.settings import Edges, Growth, Neurons, Stop, When
from tests.growth.paths import (
    F64,
    MSE,
    able,
    applied,
    compiled,
    data_of,
    loss_with,
    measured_slope,
    outputs,
    planned,
    twin_of,
)
from tests.growth.test_any_graph import able_to_grow, data_for, loss, measured_loss
from tests.growth.test_new_paths import CHAIN, GRAPHS
from tests.spec.strategies import specs

TWO = Edges(features=2)
TANH = CHAIN.replace("ACT", "tanh")
CONCAT = """
x: {kind: input, shape: [2, 4, 4]}
a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh}
b: {kind: conv2d, from: x, features: 4, kernel: 1, activation: tanh}
c: {kind: merge, from: [a, b], merge: concat}
f: {kind: flatten, from: c}
h: {kind: linear, from: f, features: 3, activation: tanh}
y: {kind: linear, from: h, features: 2}
"""


def edges(network: GrowingNetwork, **policy: object) -> GrowthScheduler:
    return GrowthScheduler(network, MSE, policy=Growth(actions=("new_edge",), edges=TWO, **policy))


# Slopes


@pytest.mark.parametrize("policy", [{}, {"apply_delta": True}, {"criterion": "natural"}], ids=str)
@pytest.mark.parametrize("nodes", [*GRAPHS.values(), CONCAT], ids=[*GRAPHS, "a concatenation"])
def test_every_slope_is_what_the_loss_does(nodes: str, policy: dict) -> None:
    network = compiled(nodes)
    data = data_of(network)
    scheduler = edges(network, **policy)
    found = able(scheduler.plan(data).candidates)
    assert found
    for candidate in found:
        assert measured_slope(scheduler, candidate, data) == pytest.approx(
            candidate.slope, rel=1e-3, abs=1e-9
        )
        promised = loss_with(scheduler, candidate, 0.3, data)
        grown, event = applied(scheduler, candidate, 0.3)
        assert event.loss_after == promised == mean_loss(grown.network, MSE, data)
        assert torch.equal(outputs(twin_of(grown.network), data), outputs(grown.network, data))


@settings(max_examples=15)
@given(specs(max_nodes=7))
def test_slopes_in_any_graph(spec: Spec) -> None:
    network = compile_network(able_to_grow(spec), seed=0, dtype=F64).eval()
    data = data_for(network)
    scheduler = GrowthScheduler(network, loss, policy=Growth(actions=("new_edge",), edges=TWO))
    before = measured_loss(network, data)
    for candidate in able(scheduler.plan(data).candidates):
        largest = max(float(first.weight.abs().max()) for first in candidate.weights)
        gamma = 1e-6 / max(1.0, largest)
        draft = candidate.draft(network, scheduler.policy)
        fell = [(before - measured_loss(draft.at(step), data)) / step for step in (gamma, 4 * gamma)]
        assert 2 * fell[0] - fell[1] == pytest.approx(candidate.slope, rel=0.01, abs=1e-6)


# The choice


def gain(s: torch.Tensor, m: torch.Tensor, columns: list[int]) -> float:
    """tr(Mᵀ S⁻¹ M) of some columns."""
    return float((m[columns] * torch.linalg.solve(s[columns][:, columns], m[columns])).sum())


def test_each_feature_is_the_one_that_adds_most_to_those_before() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(14, 14, generator=generator, dtype=F64)
    s, m = root @ root.T, torch.randn(14, 3, generator=generator, dtype=F64)
    blocks, given_columns = torch.arange(12).reshape(6, 2), torch.tensor([12, 13])
    chosen: list[int] = []
    for _ in range(3):
        left = [each for each in range(6) if each not in (*chosen, 4)]
        taken = [*given_columns.tolist(), *blocks[chosen].flatten().tolist()]
        chosen.append(max(left, key=lambda each: gain(s, m, [*taken, *blocks[each].tolist()])))
    assert best_blocks(s, m, blocks, 3, given=given_columns, barred={4}) == tuple(chosen)


def test_of_equal_features_one_is_taken_even_if_none_has_a_ridge() -> None:
    s = torch.ones(3, 3, dtype=F64)
    s[2] = s[:, 2] = 0.0
    m = torch.tensor([[2.0], [2.0], [0.0]], dtype=F64)
    assert best_blocks(s, m, torch.arange(3)[:, None], 2)[0] in (0, 1)


def test_the_edge_reads_the_best_of_all_pairs() -> None:
    """With features that hardly depend on each other the search one by one finds the best pair."""
    network = compiled(TANH)
    data = data_of(network)
    scheduler = edges(network, ridge=0.0)
    candidate = planned(scheduler, data, "x->y")
    (_, selection), _ = candidate.path.nodes
    source = torch.cat([x for x, _ in data])
    with torch.enable_grad():
        residual = 2 * (outputs(network, data) - torch.cat([y for _, y in data])) / 3
    s, m = source.T @ source / len(source), source.T @ residual / len(source)
    best = max(combinations(range(5), 2), key=lambda pair: gain(s, m, list(pair)))
    assert selection.index == best
    assert candidate.slope == pytest.approx(gain(s, m, list(best)), rel=1e-6)
    assert candidate.note == "reads 2 of 5 features"


def test_later_edges_read_other_features_until_all_are_read() -> None:
    network = compiled(TANH)
    data = data_of(network)
    read: list[tuple[int, ...]] = []
    for _ in range(3):
        scheduler = edges(network)
        event = scheduler.apply(planned(scheduler, data, "x->y"), 0.1)
        read += [
            node.index
            for name in event.decision.nodes
            if (node := network.spec.nodes[name]).kind == "index_select"
        ]
    assert [len(each) for each in read] == [2, 2, 1]
    assert sorted(feature for each in read for feature in each) == [0, 1, 2, 3, 4]
    assert not [c for c in edges(network).plan(data).candidates if c.target == "x->y"]
    assert {"x.to.y", "x.to.y.features", "x.to.y.2", "x.to.y.2.features", "x.to.y.3"} <= set(
        network.spec.nodes
    )


def test_an_edge_reads_as_many_features_as_the_budget_allows() -> None:
    network = compiled(TANH)
    data = data_of(network)
    most = network.graph.multiply_adds + 3  # `y` has 3 features
    candidate = planned(edges(network, stop=Stop(madds=most)), data, "x->y")
    assert (candidate.delta_parameters, candidate.delta_madds) == (3, 3)
    (left,) = [
        c for c in edges(network, stop=Stop(madds=most - 1)).plan(data).candidates if c.target == "x->y"
    ]
    assert left.reason == "it would pass the budget"


# Costs


@pytest.mark.parametrize("name", ["layers", "images, the same kernel", "images, a stride", "sequences"])
def test_multiply_adds_are_those_that_torch_counts(name: str) -> None:
    network = compiled(GRAPHS[name])
    data = data_of(network)
    scheduler = edges(network)
    for candidate in able(scheduler.plan(data).candidates):
        grown, _ = applied(scheduler, candidate, 0.1)
        costs = []
        for each in (network, grown.network):
            (x,) = random_inputs(each, 1)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                each(x)
            costs.append(counter.get_total_flops() // 2)
        assert costs[1] - costs[0] == candidate.delta_madds > 0
        assert grown.network.graph.multiply_adds == network.graph.multiply_adds + candidate.delta_madds
        assert candidate.delta_parameters == sum(p.numel() for p in grown.network.parameters()) - sum(
            p.numel() for p in network.parameters()
        )


# What goes on from there


def chosen(nodes: str, source: str, reader: str) -> GrowingNetwork:
    """A network in which an edge reads some features of a node."""
    network = compiled(nodes)
    scheduler = edges(network)
    scheduler.apply(planned(scheduler, data_of(network), f"{source}->{reader}"), 0.5)
    assert any(node.kind == "index_select" for node in network.spec.nodes.values())
    return network


BESIDE = """
x: {kind: input, shape: [5]}
a: {kind: linear, from: x, features: 4, activation: tanh}
b: {kind: linear, from: x, features: 3, activation: tanh}
c: {kind: merge, from: [a, b], merge: concat}
h: {kind: linear, from: c, features: 3, activation: tanh}
y: {kind: linear, from: h, features: 3}
"""


@pytest.mark.parametrize(("nodes", "source"), [(BESIDE, "c"), (CONCAT, "f"), (TANH, "h1")])
def test_what_is_read_by_number_grows_on_and_the_same_features_are_read(nodes: str, source: str) -> None:
    network = chosen(nodes, source, "y")
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(neurons=Neurons(per_step=2)))
    found = able(scheduler.plan(data).candidates)
    assert len(found) > 1
    for candidate in found:
        assert measured_group_slope(scheduler, candidate, data) == pytest.approx(candidate.slope, rel=0.01)
        grown, event = applied(scheduler, candidate, 1e-12)
        torch.testing.assert_close(outputs(grown.network, data), outputs(network, data), atol=1e-4, rtol=0)
        assert torch.equal(outputs(twin_of(grown.network), data), outputs(grown.network, data))
        assert event.decision.delta_parameters == (
            sum(p.numel() for p in grown.network.parameters()) - sum(p.numel() for p in network.parameters())
        )


def measured_group_slope(scheduler: GrowthScheduler, candidate: object, data: list) -> float:
    before = mean_loss(scheduler.network, MSE, data)
    fell = [(before - loss_with(scheduler, candidate, step, data)) / step for step in (1e-6, 4e-6)]
    return 2 * fell[0] - fell[1]


@pytest.mark.parametrize(("nodes", "source"), [(BESIDE, "c"), (CONCAT, "f"), (TANH, "h1")])
def test_neurons_are_pruned_but_for_those_that_are_read_by_number(nodes: str, source: str) -> None:
    network = chosen(nodes, source, "y")
    data = data_of(network)
    policy = Growth(actions=("prune",), when=When(every=1, until=1.0, worth=1e9), neurons=Neurons(per_step=1))
    scheduler = GrowthScheduler(network, MSE, policy=policy)
    found = [c for c in able(scheduler.plan(data).candidates) if c.group.selections]
    assert found
    for candidate in found:
        promised = loss_with(scheduler, candidate, 1.0, data)
        grown, event = applied(scheduler, candidate, 1.0)
        before, after = (selected(each, data) for each in (network, grown.network))
        torch.testing.assert_close(after, before)
        assert event.loss_after == promised == mean_loss(grown.network, MSE, data)


def selected(network: GrowingNetwork, data: list) -> torch.Tensor:
    """What the `index_select` of a network gives."""
    (name,) = [name for name, node in network.spec.nodes.items() if node.kind == "index_select"]
    seen: list[torch.Tensor] = []
    with network.parts[name].register_forward_hook(lambda module, given, value: seen.append(value)):
        outputs(network, data)
    return torch.cat(seen)


def test_a_group_of_which_every_neuron_is_read_by_number_is_not_pruned() -> None:
    network = compiled("""
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 2, activation: tanh}
        p: {kind: index_select, from: h, index: [1, 0]}
        a: {kind: linear, from: h, features: 3}
        b: {kind: linear, from: p, features: 3, bias: false}
        y: {kind: merge, from: [a, b]}
        """)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=("prune",)))
    (left,) = [c for c in scheduler.plan(data_of(network)).candidates if c.target == "h"]
    assert left.reason == "it is 2 wide, the least it may be"


# Layers that read fewer features

TWO_READERS = """
x: {kind: input, shape: [6]}
h: {kind: linear, from: x, features: 5, activation: tanh}
a: {kind: linear, from: h, features: 3, activation: tanh}
b: {kind: linear, from: h, features: 3}
s: {kind: merge, from: [a, b]}
y: {kind: linear, from: s, features: 3}
"""
IMAGES = """
x: {kind: input, shape: [4, 5, 5]}
c: {kind: conv2d, from: x, features: 4, kernel: 3, padding: 1, activation: tanh}
d: {kind: conv2d, from: c, features: 4, kernel: 3, padding: 1}
s: {kind: merge, from: [c, d], activation: tanh}
f: {kind: flatten, from: s}
y: {kind: linear, from: f, features: 3}
"""


def pruning(network: GrowingNetwork, neurons: int = 2) -> GrowthScheduler:
    when = When(every=1, until=1.0, worth=1e9)
    policy = Growth(actions=("prune",), edges=Edges(prune=True), when=when, neurons=Neurons(per_step=neurons))
    return GrowthScheduler(network, MSE, policy=policy)


def rows_of(network: GrowingNetwork, layer: str, data: list) -> torch.Tensor:
    """What a layer reads as rows, the constant last; convolutions here have a kernel of 3."""
    seen: list[torch.Tensor] = []
    with network.parts[layer].register_forward_hook(lambda module, given, value: seen.append(given[0])):
        outputs(network, data)
    x = torch.cat(seen)
    if x.dim() == 4:
        x = torch.nn.functional.unfold(x, 3, padding=1).transpose(1, 2).flatten(0, 1)
    return torch.cat((x, torch.ones(len(x), 1, dtype=F64)), dim=1)


@pytest.mark.parametrize(("nodes", "target"), [(TWO_READERS, "h->b"), (IMAGES, "c->d"), (IMAGES, "x->c")])
def test_a_layer_reads_fewer_features_and_makes_up_for_them(nodes: str, target: str) -> None:
    network = compiled(nodes)
    data = data_of(network)
    scheduler = pruning(network)
    candidate = planned(scheduler, data, target)
    layer = target.split("->")[1]
    module = network.growing(layer)
    rows = rows_of(network, layer, data)
    s = rows.T @ rows
    old = module.adapter.matrix(module.layer.weight.detach(), module.layer.bias.detach())
    stay = [
        each for each in range(module.adapter.in_neurons(module.layer)) if each not in candidate.removal.order
    ]
    taps = (len(s) - 1) // module.adapter.in_neurons(module.layer)
    columns = [each * taps + tap for each in stay for tap in range(taps)] + [len(s) - 1]
    best = torch.linalg.solve(s[columns][:, columns], s[columns] @ old.T).T
    promised = loss_with(scheduler, candidate, 1.0, data)
    grown, event = applied(scheduler, candidate, 1.0)
    after, new = grown.network, grown.network.growing(layer)
    torch.testing.assert_close(
        new.adapter.matrix(new.layer.weight.detach(), new.layer.bias.detach()), best, rtol=1e-4, atol=1e-6
    )
    assert event.loss_after == promised == mean_loss(after, MSE, data)
    assert after.spec.nodes[f"{layer}.features"].index == tuple(stay)
    assert event.decision.delta_parameters == after.graph.parameter_count - network.graph.parameter_count < 0
    assert event.decision.delta_madds == after.graph.multiply_adds - network.graph.multiply_adds < 0
    assert after.graph.parameter_count == sum(p.numel() for p in after.parameters())
    assert torch.equal(outputs(twin_of(after), data), outputs(after, data))
    again = grown.plan(data)
    (once_more,) = [c for c in able(again.candidates) if c.target == f"{layer}.features->{layer}"]
    grown.apply(once_more, 1.0)
    left = [place for number, place in enumerate(stay) if number not in once_more.removal.order]
    assert after.spec.nodes[f"{layer}.features"].index == tuple(left)


def test_the_slope_of_reading_fewer_features_is_what_the_loss_does() -> None:
    network = compiled(TWO_READERS)
    data = data_of(network)
    candidate = planned(pruning(network), data, "h->b")
    weight, bias = network.parts["b"].weight, network.parts["b"].bias
    change = candidate.removal.changes[candidate.neurons]["b"]
    before = mean_loss(network, MSE, data)
    with torch.no_grad():
        weight += 1e-6 * change[:, :-1]
        bias += 1e-6 * change[:, -1]
    assert (before - mean_loss(network, MSE, data)) / 1e-6 == pytest.approx(candidate.slope, rel=1e-3)


def test_an_edge_is_pruned_only_if_that_is_wanted_and_no_narrower_group_saves_the_same() -> None:
    network = compiled(TWO_READERS)
    data = data_of(network)
    found = {candidate.target for candidate in pruning(network).plan(data).candidates}
    assert {"x->h", "h->a", "h->b"} <= found
    assert "s->y" not in found
    off = GrowthScheduler(network, MSE, policy=Growth(actions=("prune",)))
    assert not [candidate for candidate in off.plan(data).candidates if "->" in candidate.target]


def test_taking_a_pruned_edge_back_leaves_the_network_as_it_was() -> None:
    network = compiled(TWO_READERS)
    data = data_of(network)
    before = outputs(network, data)
    scheduler = pruning(network)
    scheduler.apply(planned(scheduler, data, "h->b"), 1.0)
    scheduler.undo()
    assert "b.features" not in network.spec.nodes
    assert torch.equal(outputs(network, data), before)


def test_a_layer_of_zeros_such_as_a_new_class_loses_nothing() -> None:
    network = compiled(TWO_READERS)
    data = data_of(network)
    with torch.no_grad():
        network.growing("b").layer.weight.zero_()
    (candidate,) = (each for each in pruning(network).plan(data).candidates if each.target == "h->b")
    assert candidate.reason is not None
    assert "all weights that read it are 0" in candidate.reason
