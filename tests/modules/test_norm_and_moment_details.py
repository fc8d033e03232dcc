"""Small facts about norms, merges, statistics and sizes, each of which a slip in one line would break."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import AvgPool1d, BatchNorm1d, Conv1d, Flatten, GroupNorm, LayerNorm, Linear, Sequential, Tanh

from gromo_graph.errors import GrowthError
from gromo_graph.layers import operation_adapter
from gromo_graph.layers.operation import Channels
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from gromo_graph.statistics.running_mean import SharedMoment
from tests.modules.pairs import F64

close = torch.testing.assert_close


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Layers and created extensions are drawn from the global generator."""
    torch.manual_seed(0)


def linear(inputs: int, outputs: int, function: torch.nn.Module | None = None) -> GrowingModule:
    function = None if function is None else function.double()
    return GrowingModule(Linear(inputs, outputs, dtype=F64), post_layer_function=function)


def link(*modules: GrowingModule) -> None:
    for before, after in pairwise(modules):
        after.previous_module, before.next_module = before, after


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=F64)


def gather(modules: list[GrowingModule], loss: Tensor) -> None:
    """Count the forward pass that gave this summed loss."""
    loss.backward()
    for module in modules:
        module.update_computation()


def test_a_layer_norm_grows_with_its_own_epsilon() -> None:
    first = linear(3, 4, LayerNorm(4, eps=0.5))
    second = GrowingModule(Linear(4, 2, dtype=F64), allow_jump=True)
    link(first, second)
    second.create_layer_extensions(3)
    second.set_scaling_factor(0.7)
    x = random(6, 3)
    with torch.no_grad():
        predicted, _ = second.extended_forward(*first.extended_forward(x))
        second.apply_change()
        close(second(first(x)), predicted)


def test_new_channels_are_measured_on_the_stored_batch_alone() -> None:
    """Data that one of two producers has seen before do not count."""
    first, second = linear(3, 4, BatchNorm1d(4)), linear(3, 4, BatchNorm1d(4))
    reader = linear(4, 2)
    merge = MergeGrowingModule(previous_modules=[first, second], next_modules=[reader])
    reader.previous_module = merge
    for module in (first, second, merge, reader):
        module.eval()
    reader.create_layer_extensions(2)
    reader.set_scaling_factor(0.5)
    other, x = random(7, 3) + 3.0, random(5, 3)
    with torch.no_grad():
        first.extended_forward(other)
        for module in (first, second):
            module.store_input = True
            module(x)
        new = 0.5 * first.extended_output_layer(x)  # type: ignore[misc]
        reader.apply_change()
    norm: Any = first.post_layer_function
    close(norm.running_mean[4:], new.mean(dim=0))
    close(norm.running_var[4:], new.var(dim=0, unbiased=False))


def test_a_deleted_growth_leaves_no_spread_to_the_next_one() -> None:
    first, second = linear(3, 4, GroupNorm(2, 4)), linear(4, 2)
    link(first, second)
    second.init_computation()
    gather([second], (second(first(random(20, 3))) - random(20, 2)).square().sum())
    second.compute_optimal_updates(maximum_added_neurons=2, dtype=F64)
    assert first.passed[0].spreads
    second.delete_update()
    second.create_layer_extensions(2)
    second.apply_change(0.1)
    norm: Any = first.post_layer_function
    close(norm.weight[4:].detach(), torch.ones(2, dtype=F64))


def test_fellow_readers_forget_the_delta_of_their_old_width() -> None:
    first, readers = linear(3, 4, Tanh()), [linear(4, 2), linear(4, 2)]
    merge = MergeGrowingModule(previous_modules=[first], next_modules=readers)
    first.next_module = merge
    for reader in readers:
        reader.previous_module = merge
    a, b = readers
    x = random(30, 3)
    target = torch.sin(3 * x[:, :2])

    def measure() -> None:
        for reader in readers:
            reader.init_computation()
        h = merge(first(x))
        gather(readers, (a(h) + b(h).tanh() - target).square().sum())

    measure()
    a.compute_optimal_updates(maximum_added_neurons=1, dtype=F64)
    assert b.delta_raw is not None
    a.apply_change(0.1)
    a.delete_update()
    assert (first.out_neurons, a.in_neurons, b.in_neurons) == (5, 5, 5)
    assert b.delta_raw is None
    measure()
    a.compute_optimal_updates(dtype=F64)
    assert b.delta_raw is not None
    assert b.delta_raw.shape == (2, 6)


def test_a_shared_moment_that_was_reset_counts_the_same_pass_again() -> None:
    moment, forward_pass = SharedMoment("S"), object()
    for _ in range(2):
        moment.update_once(forward_pass, lambda: (torch.ones(2, 2), 3))
    assert moment.statistic.samples == 3
    moment.reset()
    assert moment.statistic.samples == 0
    moment.update_once(forward_pass, lambda: (torch.ones(2, 2), 3))
    assert moment.statistic.samples == 3


def test_convolutions_with_and_without_a_bias_share_no_second_moment() -> None:
    first = GrowingModule(Conv1d(2, 3, 1, dtype=F64))
    readers = [GrowingModule(Conv1d(3, 2, 3, bias=bias, dtype=F64)) for bias in (True, False)]
    merge = MergeGrowingModule(previous_modules=[first], next_modules=readers)
    first.next_module = merge
    for reader in readers:
        reader.previous_module = merge
        reader.init_computation()
    h = merge(first(random(20, 2, 6)))
    gather(readers, sum((reader(h) - random(20, 2, 4)).square().sum() for reader in readers))
    assert [tuple(reader.tensor_s().shape) for reader in readers] == [(10, 10), (9, 9)]
    for reader in readers:
        weight, bias, _ = reader.compute_optimal_delta(dtype=F64)
        assert weight.shape == reader.weight.shape
        assert (bias is not None) == reader.use_bias


def test_the_second_moment_of_a_whole_group_is_cast_with_its_reader() -> None:
    producers = [GrowingModule(Linear(3, 4)) for _ in range(2)]
    reader = GrowingModule(Linear(4, 2))
    merge = MergeGrowingModule(previous_modules=producers, next_modules=[reader])
    for producer in producers:
        producer.next_module = merge
    reader.previous_module = merge
    reader.init_computation()
    x = torch.randn(10, 3)
    gather([reader], reader(merge(*(producer(x) for producer in producers))).square().sum())
    assert reader.tensor_s_growth().dtype == torch.float32
    reader.double()
    assert reader.tensor_s_growth().dtype == torch.float64


def test_an_average_pool_keeps_the_resting_value_unless_its_padding_counts() -> None:
    channels = Channels(torch.ones(1, 2, 5), 0.5)
    pool = AvgPool1d(3, 1, 1, count_include_pad=False)
    passed = operation_adapter(pool).tangent(pool, channels)
    assert passed.resting == 0.5
    close(passed.values, torch.ones(1, 2, 5))
    counting = AvgPool1d(3, 1, 1, count_include_pad=True)
    with pytest.raises(GrowthError):
        operation_adapter(counting).tangent(counting, channels)


def test_no_number_of_positions_is_guessed_from_a_reader_that_does_not_fit() -> None:
    first = GrowingModule(Conv1d(2, 3, 1), post_layer_function=Sequential(Tanh(), Flatten()), name="first")
    second = GrowingModule(Linear(7, 2), name="second")
    link(first, second)
    with pytest.raises(GrowthError):
        second.tensor_s_growth  # noqa: B018
    with pytest.raises(GrowthError, match="first flattens an unknown number of positions"):
        first.out_features  # noqa: B018
