"""New edges and new nodes: every slope is what the loss does, whatever they lead from and to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import GrowthScheduler, Spec, compile_network
from gromo_graph.growth.input_moments import InputMoments
from gromo_graph.growth.planning import plan_proposals
from gromo_graph.spec.settings import Growth, Neurons
from tests.growth.paths import F64, MSE, able, compiled, data_of, measured_slope, planned
from tests.growth.problems import ACTIVATIONS
from tests.growth.test_any_graph import able_to_grow, data_for, loss, measured_loss
from tests.spec.strategies import specs

BOTH = ("new_edge", "new_node")

CHAIN = """
x: {kind: input, shape: [5]}
h1: {kind: linear, from: x, features: 4, activation: ACT}
h2: {kind: linear, from: h1, features: 3, activation: ACT}
y: {kind: linear, from: h2, features: 3}
"""
GRAPHS = {
    "layers": CHAIN.replace("ACT", "tanh"),
    "layers without a bias": CHAIN.replace("ACT}", "gelu, bias: false}"),
    "a sum of layers with an activation": """
        x: {kind: input, shape: [5]}
        a: {kind: linear, from: x, features: 4, activation: silu}
        b: {kind: linear, from: x, features: 4}
        c: {kind: linear, from: a, features: 4, bias: false}
        d: {kind: linear, from: a, features: 4}
        s: {kind: merge, from: [b, c, d], activation: silu}
        y: {kind: linear, from: s, features: 3}
        """,
    "sums without an activation": """
        x: {kind: input, shape: [5]}
        a: {kind: linear, from: x, features: 4, activation: sigmoid}
        b: {kind: linear, from: a, features: 4}
        s: {kind: merge, from: [a, b]}
        c: {kind: linear, from: s, features: 3}
        d: {kind: linear, from: a, features: 3}
        y: {kind: merge, from: [c, d]}
        """,
    "a sum that no layer enters": """
        x: {kind: input, shape: [5]}
        a: {kind: linear, from: x, features: 3, activation: tanh}
        b: {kind: linear, from: x, features: 3, activation: tanh}
        s: {kind: merge, from: [a, b]}
        y: {kind: linear, from: s, features: 3}
        """,
    "several inputs": """
        x: {kind: input, shape: [5]}
        z: {kind: input, shape: [5]}
        s: {kind: merge, from: [x, z]}
        h: {kind: linear, from: s, features: 4, activation: softplus}
        c: {kind: merge, from: [h, z], merge: concat}
        y: {kind: linear, from: c, features: 3}
        """,
    "images, the same kernel": """
        x: {kind: input, shape: [2, 6, 5]}
        c: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh}
        d: {kind: conv2d, from: c, features: 3, kernel: 3, padding: 1, activation: tanh}
        f: {kind: flatten, from: d}
        y: {kind: linear, from: f, features: 2}
        """,
    "images, a stride": """
        x: {kind: input, shape: [2, 8, 6]}
        c: {kind: conv2d, from: x, features: 3, kernel: 2, stride: 2, activation: sigmoid}
        e: {kind: conv2d, from: c, features: 2, kernel: 1, activation: sigmoid}
        d: {kind: conv2d, from: e, features: 3, kernel: 3, padding: 1, activation: sigmoid}
        p: {kind: avg_pool2d, from: d, kernel: 2}
        f: {kind: flatten, from: p}
        y: {kind: linear, from: f, features: 2}
        """,
    "sequences": """
        x: {kind: input, shape: [2, 9]}
        c: {kind: conv1d, from: x, features: 3, kernel: 2, padding: same, activation: gelu}
        d: {kind: conv1d, from: c, features: 3, kernel: 3, dilation: 2, padding: 2, activation: gelu}
        p: {kind: adaptive_avg_pool1d, from: d, size: 2}
        f: {kind: flatten, from: p}
        y: {kind: linear, from: f, features: 2}
        """,
    "a batch norm behind": """
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 4}
        n: {kind: batch_norm, from: h, activation: tanh}
        k: {kind: linear, from: n, features: 3, activation: tanh}
        m: {kind: batch_norm, from: k}
        y: {kind: linear, from: m, features: 3}
        """,
}


@pytest.mark.parametrize("applied", [False, True], ids=["delta left", "delta applied"])
@pytest.mark.parametrize("nodes", GRAPHS.values(), ids=GRAPHS)
def test_every_slope_is_what_the_loss_does(nodes: str, applied: bool) -> None:
    network = compiled(nodes)
    data = data_of(network)
    policy = Growth(actions=BOTH, apply_delta=applied, neurons=Neurons(per_step=3))
    scheduler = GrowthScheduler(network, MSE, policy=policy)
    found = able(scheduler.plan(data).candidates)
    assert {candidate.kind for candidate in found} == set(BOTH)
    for candidate in found:
        assert candidate.slope > 0
        assert measured_slope(scheduler, candidate, data) == pytest.approx(
            candidate.slope, rel=1e-3, abs=1e-9
        )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_with_every_activation(activation: str) -> None:
    network = compiled(CHAIN.replace("ACT", activation))
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH))
    found = able(scheduler.plan(data).candidates)
    assert {"x->y", "h1->y", "x->h2", "x->new.1->y", "x->new.1->h1"} <= {c.target for c in found}
    for candidate in found:
        assert measured_slope(scheduler, candidate, data) == pytest.approx(
            candidate.slope, rel=1e-3, abs=1e-9
        )


def test_what_is_there_is_not_offered_and_what_no_layer_can_read_says_why() -> None:
    network = compiled(GRAPHS["images, the same kernel"])
    data = data_of(network)
    candidates = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH)).plan(data).candidates
    rows = {"x": 2, "c": 2}
    assert {c.target: c.reason for c in candidates} == {
        "x->d": None,
        "x->new.1->c": None,
        "c->new.1->d": None,
        "f->new.1->y": None,
    } | {
        target: f"`{source}` is an image of {axes} axes and `y` is a row of features"
        for source, axes in rows.items()
        for target in (f"{source}->y", f"{source}->new.1->y")
    }


def test_where_there_is_no_gradient_nothing_would_lower_the_loss() -> None:
    network = compiled(CHAIN.replace("ACT", "tanh"))
    perfect = [(x, network(x).detach()) for x, _ in data_of(network)]
    candidates = GrowthScheduler(network, MSE, policy=Growth(actions=BOTH)).plan(perfect).candidates
    assert {(c.kind, c.slope, c.reason) for c in candidates} == {
        ("new_edge", None, "it would not lower the loss"),
        ("new_node", None, "no new neuron would lower the loss"),
    }


def test_a_sum_of_one_node_has_the_gradient_of_the_sum_and_not_of_that_node() -> None:
    """Other readers of the node do not matter for a path that is added behind it."""
    network = compiled("""
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 3, activation: tanh}
        s: {kind: merge, from: h, activation: tanh}
        a: {kind: linear, from: s, features: 3}
        b: {kind: linear, from: h, features: 3}
        y: {kind: merge, from: [a, b]}
        """)
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=("new_edge",)))
    candidate = planned(scheduler, data, "x->s")
    assert measured_slope(scheduler, candidate, data) == pytest.approx(candidate.slope, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("actions", [("widen",), ("new_edge",), ("new_node",), ("widen", *BOTH)])
def test_the_second_moment_of_an_input_is_counted_once_for_the_same_data(actions: tuple[Any, ...]) -> None:
    """Also where a layer that is measured reads the input as a new one would."""
    network = compiled(CHAIN.replace("ACT", "tanh"))
    data, known = data_of(network), InputMoments()
    for _ in range(2):
        plan_proposals(network, MSE, data, policy=Growth(actions=actions), generator=None, known=known)
        (moment,) = known._known.values()
        assert moment.samples == 120


@pytest.mark.parametrize("activation", ["sigmoid", "softplus"])
def test_without_what_takes_the_shift_back_the_loss_would_do_something_else(activation: str) -> None:
    network = compiled(CHAIN.replace("ACT", activation))
    data = data_of(network)
    scheduler = GrowthScheduler(network, MSE, policy=Growth(actions=("new_node",)))
    candidate = planned(scheduler, data, "x->new.1->y")
    shift = candidate.weights[1].bias
    assert shift is not None
    shift.zero_()
    measured = measured_slope(scheduler, candidate, data)
    assert abs(measured - candidate.slope) > 0.5 * candidate.slope


def check(spec: Spec, kind: Any, applied: bool) -> None:
    """The slopes of all paths of a graph against finite differences."""
    network = compile_network(able_to_grow(spec), seed=0, dtype=F64).eval()
    data = data_for(network)
    policy = Growth(actions=(kind,), apply_delta=applied, neurons=Neurons(per_step=2))
    before = measured_loss(network, data)
    for candidate in able(GrowthScheduler(network, loss, policy=policy).plan(data).candidates):
        draft = candidate.draft(network, policy)
        largest = max(1.0, *(float(first.weight.abs().max()) for first in candidate.weights))

        def decrease(gamma: float, draft: Any = draft) -> float:
            return (before - measured_loss(draft.at(gamma), data)) / gamma

        gamma = 1e-6 / largest
        measured = 2.0 * decrease(gamma) - decrease(4.0 * gamma)
        assert measured == pytest.approx(candidate.slope, rel=1e-2, abs=1e-14 / gamma)


RANDOM = specs(names=st.sampled_from([f"n{place}" for place in range(12)]), max_nodes=8)


@settings(max_examples=12)
@given(RANDOM, st.sampled_from(BOTH), st.booleans())
def test_slopes_of_random_graphs(spec: Spec, kind: Any, applied: bool) -> None:
    check(spec, kind, applied)


@pytest.mark.slow
@settings(max_examples=25)
@given(RANDOM, st.sampled_from(BOTH), st.booleans())
def test_slopes_of_many_random_graphs(spec: Spec, kind: Any, applied: bool) -> None:
    check(spec, kind, applied)
