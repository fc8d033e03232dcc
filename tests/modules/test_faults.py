"""Faults of earlier implementations of the API of GrowingModule, in linear layers."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph.modules import GrowingModule, MergeGrowingModule
from tests.modules.chains import Chain, chain

F64 = torch.float64


def grow_once(found: Chain) -> None:
    found.gather()
    for module in found.modules:
        module.compute_optimal_updates(dtype=F64, maximum_added_neurons=2)
    for module in found.modules:
        module.set_scaling_factor(0.1)
    predicted = found.predicted_output()
    for module in found.modules:
        module.apply_change()
        module.delete_update()
    torch.testing.assert_close(found.net(found.x), predicted)


@pytest.mark.parametrize("bias", [True, False])
def test_grown_five_times_in_a_row(bias: bool) -> None:
    found = chain(5, 2, 2, 3, bias=bias, rows=200)
    for step in range(1, 6):
        grow_once(found)
        assert found.modules[1].tensor_s.samples in (0, 200)
        assert found.modules[0].out_neurons == 2 + 2 * step


def test_statistics_of_the_old_width_are_gone_after_growth() -> None:
    found = chain(5, 3, 4)
    found.gather()
    first, second = found.modules
    second.compute_optimal_updates(dtype=F64)
    second.apply_change(scaling_factor=0.1)
    assert second.tensor_s.samples == second.tensor_m.samples == second.cross_covariance.samples == 0
    assert first.tensor_m.samples == 0
    assert first.tensor_s.samples == 80  # its input has not changed


@pytest.mark.parametrize("bias", [True, False])
def test_complete_growth_is_not_scaled_by_zero(bias: bool) -> None:
    first, second = chain(5, 3, 4, bias=bias).modules
    second.target_in_neurons = 6
    second.set_scaling_factor(0.0)
    second.complete_growth({})
    assert second.weight[:, 3:].abs().min() > 0
    assert first.weight[3:].abs().min() > 0


def test_complete_growth_leaves_a_pending_delta_unapplied() -> None:
    found = chain(5, 3, 4)
    found.gather()
    second = found.modules[1]
    second.target_in_neurons = 6
    second.compute_optimal_delta(dtype=F64)
    old = second.weight.detach().clone()
    second.complete_growth({})
    assert torch.equal(second.weight[:, :3], old)


def test_a_negative_factor_reverses_the_neurons_and_not_the_delta() -> None:
    results = []
    for factor in (0.3, -0.3):
        found = chain(5, 3, 4)
        found.gather()
        second = found.modules[1]
        second.compute_optimal_updates(dtype=F64)
        second.apply_change(scaling_factor=factor)
        results.append((second.weight.detach(), found.modules[0].weight.detach()))
    (plus, plus_first), (minus, minus_first) = results
    assert torch.equal(plus[:, :3], minus[:, :3])
    assert torch.equal(plus[:, 3:], -minus[:, 3:])
    assert torch.equal(plus_first[3:], -minus_first[3:])


def test_pending_growth_is_no_part_of_the_module() -> None:
    found = chain(5, 3, 4)
    keys, parameters = list(found.net.state_dict()), len(list(found.net.parameters()))
    assert keys == ["0.layer.weight", "0.layer.bias", "1.layer.weight", "1.layer.bias"]
    found.gather()
    for module in found.modules:
        module.compute_optimal_updates(dtype=F64)
        module.set_scaling_factor(torch.nn.Parameter(torch.tensor(0.1, dtype=F64)))
    assert list(found.net.state_dict()) == keys
    assert len(list(found.net.parameters())) == parameters
    assert len(list(found.net.modules())) == 1 + 2 * 3
    assert len(list(found.modules[1].parameters())) == 2


def test_storing_without_gradients_does_not_crash() -> None:
    found = chain(5, 3, 4)
    for module in found.modules:
        module.init_computation()
    with torch.no_grad():
        found.net(found.x)
    assert found.modules[1].input.shape == (80, 3)
    assert not found.modules[1].pre_activity.requires_grad
    with torch.inference_mode():
        found.net(found.x)


def test_no_identity_is_shared() -> None:
    one, two = (GrowingModule(torch.nn.Linear(2, 2)) for _ in range(2))
    assert one.post_layer_function is not two.post_layer_function
    assert MergeGrowingModule().post_merge_function is not MergeGrowingModule().post_merge_function


def test_extending_does_not_change_the_caller_s_tensors() -> None:
    found = chain(5, 3, 4)
    first, second = found.modules
    weight, bias = torch.ones(2, 5, dtype=F64), torch.ones(2, dtype=F64)
    omega = torch.ones(4, 2, dtype=F64)
    second.set_extension(weight, bias, omega)
    second.scale_layer_extension(3.0, None, None)
    second.sub_select_optimal_added_parameters(1, zeros_if_not_enough=True, zeros_fan_out=True)
    layer = second.layer_of_tensor(omega[:, :1], omega[:, 0])
    GrowingModule.scale_layer(layer, 5.0)
    first.layer_out_extension(weight, bias)
    second.layer_in_extension(omega)
    first.parameter_step(torch.ones(5, 5, dtype=F64), torch.ones(5, dtype=F64))
    for tensor in (weight, bias, omega):
        assert torch.equal(tensor, torch.ones_like(tensor))


def test_deleting_a_module_does_not_unlink_its_neighbours() -> None:
    found = chain(5, 3, 4)
    first, second = found.modules
    clone = copy.deepcopy(found.net)
    del clone
    assert first.next_module is second
    assert second.previous_module is first


def test_ill_conditioned_inputs_are_solved() -> None:
    found = chain(6, 3, 4)
    found.x[:, 3:] = found.x[:, :3]  # duplicated features
    found.x[:, 0] *= 1e-9
    found.net.float()
    found.x, found.y = found.x.float(), found.y.float()
    found.gather()
    for module in found.modules:
        module.compute_optimal_updates()
        assert torch.isfinite(module.optimal_delta_layer.weight).all()
        assert module.parameter_update_decrease >= 0
    first, second = found.modules
    assert first.delta_solver == "eigh"
    assert second.extension_solver == "eigh"
    assert torch.isfinite(second.extended_input_layer.weight).all()
    assert torch.isfinite(first.extended_output_layer.weight).all()


def test_one_sample_is_enough_not_to_crash() -> None:
    found = chain(5, 3, 4, rows=1)
    found.gather()
    for module in found.modules:
        module.compute_optimal_updates(dtype=F64)
        module.set_scaling_factor(0.1)
    predicted = found.predicted_output()
    for module in found.modules:
        module.apply_change()
    torch.testing.assert_close(found.net(found.x), predicted)


def test_growth_draws_no_random_numbers_where_it_solves() -> None:
    found = chain(5, 3, 4)
    found.gather()
    state = torch.get_rng_state()
    second = found.modules[1]
    second.compute_optimal_updates(dtype=F64)
    second.sub_select_optimal_added_parameters(1)
    second.apply_change(scaling_factor=0.1)
    assert torch.equal(state, torch.get_rng_state())
