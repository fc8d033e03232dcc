"""Neurons taken out of every kind of graph: what is left is what was promised, and none that was needed is missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gromo_graph import GrowingNetwork, GrowthScheduler, Spec, compile_network
from gromo_graph.graph import WidthGroup
from gromo_graph.growth.losses import mean_loss
from gromo_graph.spec.settings import Growth, Neurons, When
from tests.growth.paths import (
    F64,
    MSE,
    able,
    applied,
    compiled,
    data_of,
    loss_with,
    outputs,
    planned,
    twin_of,
)
from tests.growth.test_any_graph import able_to_grow, data_for, loss, measured_loss
from tests.spec.strategies import specs

close = torch.testing.assert_close
AT_ANY_PRICE = When(every=1, until=1.0, worth=1e9)


@dataclass(frozen=True)
class Case:
    """A group that may get narrower.

    Attributes:
        nodes: the network. target: the group.
        reads: of each consumer, where the first channel starts and how many features each one has there; a consumer
            may read the group twice.
        windows: kernel and padding of those consumers that are convolutions.
    """

    nodes: str
    target: str
    reads: Mapping[str, Sequence[tuple[int, int]]]
    windows: Mapping[str, tuple[int, int]]

    def features(self, consumer: str, channel: int) -> list[int]:
        """The inputs of a consumer that a channel fills."""
        return [
            start + channel * repeat + place
            for start, repeat in self.reads[consumer]
            for place in range(repeat)
        ]

    def columns(self, consumer: str, channel: int) -> list[int]:
        """The columns of its weight matrix."""
        taps = self.windows.get(consumer, (1, 0))[0] ** 2
        return [feature * taps + tap for feature in self.features(consumer, channel) for tap in range(taps)]


def case(
    nodes: str, target: str, reads: dict[str, list[tuple[int, int]]], **windows: tuple[int, int]
) -> Case:
    return Case(nodes, target, reads, windows)


CASES = {
    "a chain": case(
        """
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6, activation: tanh}
        k: {kind: linear, from: h, features: 4, activation: gelu}
        y: {kind: linear, from: k, features: 3}
        """,
        "h",
        {"k": [(0, 1)]},
    ),
    "layers without a bias": case(
        """
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6, activation: silu, bias: false}
        y: {kind: linear, from: h, features: 3, bias: false}
        """,
        "h",
        {"y": [(0, 1)]},
    ),
    "a residual stream": case(
        """
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6, activation: tanh}
        a: {kind: linear, from: h, features: 4, activation: tanh}
        b: {kind: linear, from: a, features: 6}
        s: {kind: merge, from: [h, b]}
        c: {kind: linear, from: s, features: 4, activation: tanh}
        d: {kind: linear, from: c, features: 6}
        t: {kind: merge, from: [s, d], activation: gelu}
        y: {kind: linear, from: t, features: 3}
        """,
        "h",
        {"a": [(0, 1)], "c": [(0, 1)], "y": [(0, 1)]},
    ),
    "a layer that makes and reads the group": case(
        """
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6, activation: tanh}
        p: {kind: linear, from: h, features: 6}
        s: {kind: merge, from: [h, p], activation: tanh}
        y: {kind: linear, from: s, features: 3}
        """,
        "h",
        {"p": [(0, 1)], "y": [(0, 1)]},
    ),
    "a concatenation": case(
        """
        x: {kind: input, shape: [5]}
        g: {kind: linear, from: x, features: 3, activation: tanh}
        h: {kind: linear, from: x, features: 6, activation: gelu}
        c: {kind: merge, from: [g, h, x], merge: concat}
        y: {kind: linear, from: c, features: 3}
        """,
        "h",
        {"y": [(3, 1)]},
    ),
    "twice in a concatenation": case(
        """
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6, activation: tanh}
        p: {kind: linear, from: h, features: 6}
        s: {kind: merge, from: [h, p], activation: gelu}
        c: {kind: merge, from: [h, x, s], merge: concat}
        y: {kind: linear, from: c, features: 3}
        """,
        "h",
        {"p": [(0, 1)], "y": [(0, 1), (11, 1)]},
    ),
    "several readers": case(
        """
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6, activation: tanh}
        a: {kind: linear, from: h, features: 3, activation: silu}
        b: {kind: linear, from: h, features: 3}
        c: {kind: merge, from: [a, b]}
        y: {kind: linear, from: c, features: 3}
        """,
        "h",
        {"a": [(0, 1)], "b": [(0, 1)]},
    ),
    "a flatten behind a convolution": case(
        """
        x: {kind: input, shape: [2, 5, 4]}
        h: {kind: conv2d, from: x, features: 6, kernel: 3, activation: tanh}
        f: {kind: flatten, from: h}
        y: {kind: linear, from: f, features: 3}
        """,
        "h",
        {"y": [(0, 6)]},
    ),
    "a convolution behind a convolution": case(
        """
        x: {kind: input, shape: [2, 5, 4]}
        h: {kind: conv2d, from: x, features: 6, kernel: 1, activation: tanh}
        k: {kind: conv2d, from: h, features: 3, kernel: 3, padding: 1, activation: tanh}
        f: {kind: flatten, from: k}
        y: {kind: linear, from: f, features: 3}
        """,
        "h",
        {"k": [(0, 1)]},
        k=(3, 1),
    ),
    "a batch norm": case(
        """
        x: {kind: input, shape: [5]}
        h: {kind: linear, from: x, features: 6}
        n: {kind: batch_norm, from: h, activation: tanh}
        y: {kind: linear, from: n, features: 3}
        """,
        "h",
        {"y": [(0, 1)]},
    ),
    "a batch norm behind a flatten": case(
        """
        x: {kind: input, shape: [2, 3, 4]}
        h: {kind: conv2d, from: x, features: 6, kernel: 2, activation: tanh}
        f: {kind: flatten, from: h}
        n: {kind: batch_norm, from: f, activation: gelu}
        y: {kind: linear, from: n, features: 3}
        """,
        "h",
        {"y": [(0, 6)]},
    ),
    "a depthwise convolution and pools": case(
        """
        x: {kind: input, shape: [2, 8, 6]}
        h: {kind: conv2d, from: x, features: 6, kernel: 3, padding: 1}
        n: {kind: batch_norm, from: h}
        w: {kind: depthwise_conv2d, from: n, kernel: 3, padding: 1, activation: tanh}
        p: {kind: max_pool2d, from: w, kernel: 2}
        k: {kind: conv2d, from: p, features: 3, kernel: 2, activation: tanh}
        q: {kind: adaptive_avg_pool2d, from: k, size: 1}
        f: {kind: flatten, from: q}
        y: {kind: linear, from: f, features: 3}
        """,
        "h",
        {"k": [(0, 1)]},
        k=(2, 0),
    ),
}
each_case = pytest.mark.parametrize("each", CASES.values(), ids=CASES)


def pruning(network: GrowingNetwork, *, neurons: int = 3, **policy: Any) -> GrowthScheduler:
    given = {"when": AT_ANY_PRICE, "actions": ("prune",), "neurons": Neurons(per_step=neurons)} | policy
    return GrowthScheduler(network, MSE, policy=Growth(**given), epochs=20)


@each_case
def test_the_slope_is_that_of_the_straight_way_to_the_new_weights(each: Case) -> None:
    network = compiled(each.nodes)
    data = data_of(network)
    candidate = planned(pruning(network), data, each.target)
    change = candidate.removal.changes[candidate.neurons]
    weights = {name: network.growing(name).layer.weight for name in each.reads}
    biases = {name: network.growing(name).layer.bias for name in each.reads}

    def loss_at(step: float) -> float:
        with torch.no_grad():
            for name, weight in weights.items():
                columns = weight[0].numel()
                weight += step * change[name][:, :columns].reshape(weight.shape)
                if biases[name] is not None:
                    biases[name] += step * change[name][:, columns]
        return mean_loss(network, MSE, data)

    below = loss_at(-1e-5)
    above = loss_at(2e-5)
    assert candidate.slope == pytest.approx((below - above) / 2e-5, rel=1e-5, abs=1e-9)


@each_case
def test_the_smaller_network_is_what_was_promised(each: Case) -> None:
    network = compiled(each.nodes)
    data = data_of(network)
    scheduler = pruning(network)
    candidate = planned(scheduler, data, each.target)
    promised = loss_with(scheduler, candidate, 1.0, data)
    smaller, event = applied(scheduler, candidate, 1.0)
    after = smaller.network
    assert event.loss_after == promised == mean_loss(after, MSE, data)
    assert event.decision.nodes == network.graph.group_of(each.target).producers
    assert {after.graph.features(name) for name in event.decision.nodes} == {3}
    assert candidate.delta_parameters < 0 > candidate.delta_madds
    assert after.graph.parameter_count == network.graph.parameter_count + candidate.delta_parameters
    assert after.graph.multiply_adds == network.graph.multiply_adds + candidate.delta_madds
    assert after.graph.parameter_count == sum(parameter.numel() for parameter in after.parameters())
    assert torch.equal(outputs(twin_of(after), data), outputs(after, data))


def parameters_of(network: GrowingNetwork, group: WidthGroup) -> Iterator[tuple[Tensor, int]]:
    """The parts of a group that have an entry for each channel, and how many in a row."""
    for name in (*group.producers, *group.operations):
        part = network.parts.get(name)
        for value in () if part is None else (*part.parameters(), *part.buffers()):
            if value.dim():
                yield value.detach(), len(value) // group.features


def make_equal(network: GrowingNetwork, group: WidthGroup, first: int, others: Sequence[int]) -> None:
    for value, repeat in parameters_of(network, group):
        for other in others:
            value[other * repeat : (other + 1) * repeat] = value[first * repeat : (first + 1) * repeat]


def make_dead(network: GrowingNetwork, group: WidthGroup, channel: int) -> None:
    for value, repeat in parameters_of(network, group):
        value[channel * repeat : (channel + 1) * repeat] = 0.0


@each_case
def test_equal_and_dead_neurons_go_without_a_trace_in_the_output(each: Case) -> None:
    network = compiled(each.nodes)
    data = data_of(network)
    group = network.graph.group_of(each.target)
    make_equal(network, group, 0, (2, 5))
    make_dead(network, group, 3)
    before = outputs(network, data)
    scheduler = pruning(network, when=When(worth=0.01))
    candidate = planned(scheduler, data, each.target)
    assert candidate.removal.errors[-1] < 1e-5
    assert 3 in candidate.removal.order
    assert len({0, 2, 5} & set(candidate.removal.order)) == 2
    event = scheduler.apply(candidate)
    assert event.decision.neurons == 3
    close(outputs(network, data), before, rtol=1e-4, atol=1e-4 * float(before.std()))


def test_the_value_of_a_unit_that_is_constant_goes_into_the_bias() -> None:
    network = compiled(CASES["a chain"].nodes.replace("tanh", "sigmoid"))
    data = data_of(network)
    make_dead(network, network.graph.group_of("h"), 3)  # it gives 0.5 to whoever reads it
    before = outputs(network, data)
    scheduler = pruning(network, neurons=1)
    candidate = planned(scheduler, data, "h")
    assert candidate.removal.order == (3,)
    scheduler.apply(candidate)
    close(outputs(network, data), before, rtol=1e-4, atol=1e-4)


@settings(max_examples=12)
@given(specs(names=st.sampled_from([f"n{place}" for place in range(12)]), max_nodes=9), st.integers(1, 3))
def test_random_graphs_get_smaller_as_was_promised(spec: Spec, neurons: int) -> None:
    network = compile_network(able_to_grow(spec), seed=0, dtype=F64).eval()
    data = data_for(network)
    policy = Growth(actions=("prune",), neurons=Neurons(per_step=neurons), when=AT_ANY_PRICE)
    scheduler = GrowthScheduler(network, loss, policy=policy)
    for candidate in able(scheduler.plan(data).candidates):
        promised = measured_loss(candidate.draft(network, policy).at(1.0), data)
        smaller, event = applied(scheduler, candidate, 1.0)
        if event.decision is not None:
            after = smaller.network
            assert measured_loss(after, data) == promised
            assert after.graph.parameter_count == sum(p.numel() for p in after.parameters())
            assert after.graph.parameter_count == network.graph.parameter_count + candidate.delta_parameters
            assert after.graph.multiply_adds == network.graph.multiply_adds + candidate.delta_madds
