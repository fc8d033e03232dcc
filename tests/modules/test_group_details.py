"""Small facts about modules that a slip in one line would break: ways, gradients, first weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import AvgPool1d, Conv1d, Linear

from gromo_graph.modules import GrowingModule, MergeGrowingModule

F64 = torch.float64
close = torch.testing.assert_close


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def with_drawn_weights(layer: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The layer in float64, its parameters reproducible."""
    layer = layer.double()
    for place, parameter in enumerate(layer.parameters()):
        parameter.data = drawn(*parameter.shape, seed=100 * seed + place) / 2
    return layer


class Falling(torch.nn.Module):
    """-tanh(x): its slope at 0 is -1."""

    def forward(self, x: Tensor) -> Tensor:
        return -x.tanh()


def behind(function: torch.nn.Module) -> tuple[GrowingModule, GrowingModule]:
    """Two linear layers with a function between them."""
    first = GrowingModule(with_drawn_weights(Linear(5, 3), 1), post_layer_function=function, name="first")
    second = GrowingModule(with_drawn_weights(Linear(3, 2), 2), previous_module=first, name="second")
    return first, second


# Ways.


def test_a_falling_activation_has_a_gain_of_one_and_the_promise_is_the_finite_difference() -> None:
    first, second = behind(Falling())
    assert float(second.activation_gradient) == pytest.approx(1.0)
    x, y = drawn(60, 5, seed=3), drawn(60, 2, seed=4)
    for module in (first, second):
        module.init_computation()
    (second(first(x)) - y).square().sum().backward()
    for module in (first, second):
        module.update_computation()
    second.compute_optimal_delta(dtype=F64)
    second.compute_optimal_added_parameters(dtype=F64, use_projected_gradient=False)
    promised = float(second.first_order_improvement)
    gamma = 1e-6
    second.set_scaling_factor(gamma**0.5)
    with torch.no_grad():
        before = float((second(first(x)) - y).square().sum()) / len(x)
        out, _ = second.extended_forward(*first.extended_forward(x))
        after = float((out - y).square().sum()) / len(x)
    assert promised > 0.0
    assert promised == pytest.approx((before - after) / gamma, rel=1e-2)


def test_constants_that_arrive_differently_are_both_kept() -> None:
    """Behind a pool that counts its padding the constant is smaller at the borders: it is no duplicate."""
    plain = GrowingModule(with_drawn_weights(Conv1d(2, 3, 1), 1), name="plain")
    pooled = GrowingModule(
        with_drawn_weights(Conv1d(2, 3, 1), 2), post_layer_function=AvgPool1d(3, 1, 1), name="pooled"
    )
    reader = GrowingModule(with_drawn_weights(Conv1d(3, 2, 1), 3), name="reader")
    merge = MergeGrowingModule(previous_modules=[plain, pooled], next_modules=[reader], name="sum")
    x, target = drawn(50, 2, 6, seed=4), drawn(50, 2, 6, seed=5)
    target[:, :, [0, -1]] += 3.0
    for module in (plain, pooled, reader):
        module.init_computation()
    (reader(merge(plain(x), pooled(x))) - target).square().sum().backward()
    for module in (plain, pooled, reader):
        module.update_computation()
    *_, values = reader.compute_optimal_added_parameters(
        numerical_threshold=0.0, statistical_threshold=0.0, dtype=F64, use_projected_gradient=False
    )
    n = -reader.tensor_m_prev()
    best = (n * (torch.linalg.pinv(reader.tensor_s_growth(), hermitian=True) @ n)).sum()
    close(values.square().sum(), best)


# Stored gradients.


def test_a_given_gradient_counts_for_its_own_batch_alone() -> None:
    module = GrowingModule(with_drawn_weights(Linear(3, 2), 1), name="layer")
    module.init_computation()
    module(drawn(10, 3, seed=2)).square().sum().backward()
    module.update_computation(desired_activation=torch.ones_like(module.pre_activity))
    before = module.tensor_m.total.clone()
    x = drawn(10, 3, seed=3)
    module(x).square().sum().backward()
    module.update_computation()
    rows = torch.cat([x, x.new_ones(10, 1)], dim=1)
    assert module.pre_activity.grad is not None
    close(module.tensor_m.total - before, rows.T @ module.pre_activity.grad)


# First weights.


def test_random_weights_are_as_wide_as_the_inputs_of_their_own_layer_ask_for() -> None:
    producers = [
        GrowingModule(with_drawn_weights(Linear(inputs, 4), inputs), name=f"of {inputs}")
        for inputs in (3, 300)
    ]
    reader = GrowingModule(with_drawn_weights(Linear(4, 2), 1), name="reader")
    merge = MergeGrowingModule(previous_modules=producers, next_modules=[reader], name="sum")
    assert merge.out_features == 4
    reader.compute_optimal_added_parameters(
        criterion="random", maximum_added_neurons=200, generator=torch.Generator().manual_seed(0)
    )
    for producer, inputs in zip(producers, (3, 300), strict=True):
        assert producer.extended_output_layer is not None
        deviation = float(producer.extended_output_layer.weight.detach().std())
        assert deviation == pytest.approx((3.0 * inputs) ** -0.5, rel=0.1)
