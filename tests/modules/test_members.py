"""Every member of the API document for linear layers: test_<member> proves <member>.

The class itself is test_growing_module; misuse of the members is in test_misuse.py, growth as a whole
(predictions, slopes) in test_growth.py.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gromo_graph.modules import GrowingModule, LinearGrowingModule
from tests import reference
from tests.modules.chains import Chain, chain

F64 = torch.float64
close = torch.testing.assert_close


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def pair(request: pytest.FixtureRequest) -> Chain:
    """Two layers 5-3-4 with statistics gathered; the second can grow."""
    found = chain(5, 3, 4, bias=request.param)
    found.gather()
    return found


def gradient(pair: Chain) -> Tensor:
    g = pair.modules[1].pre_activity.grad
    assert g is not None
    return g


def dense(pair: Chain) -> reference.Statistics:
    second = pair.modules[1]
    bias = second.use_bias
    return reference.statistics(pair.x, second.input, gradient(pair), prev_bias=bias, bias=bias)


def grown(pair: Chain, keep: int | None = None) -> GrowingModule:
    """The second module with optimal pending growth."""
    second = pair.modules[1]
    second.compute_optimal_updates(dtype=F64, maximum_added_neurons=keep)
    return second


def test_growing_module() -> None:
    layer = torch.nn.Linear(3, 2)
    module = GrowingModule(
        layer,
        (4, 4),
        (4, 2),
        post_layer_function=torch.nn.ReLU(),
        name="stem",
        target_in_neurons=9,
        initial_in_neurons=1,
        device=torch.device("cpu"),
        growth_kernel="centre",
    )
    assert module.layer is layer
    assert (module.in_features, module.out_features, module.use_bias) == (3, 2, True)
    assert (module.name, module.target_in_neurons, module.initial_in_neurons) == ("stem", 9, 1)
    assert module.previous_module is None
    assert module.next_module is None
    linear = LinearGrowingModule(3, 2, use_bias=False, name="stem", dtype=F64)
    assert (linear.number_of_parameters(), linear.weight.dtype, linear.bias) == (6, F64, None)


def test_activation_gradient() -> None:
    for activation, slope in (("relu", 1.0), ("gelu", 0.5), ("selu", 1.0507009873554805)):
        _, second = chain(2, 3, 1, activation=activation).modules
        assert second.activation_gradient.item() == pytest.approx(slope)
    first, second = chain(2, 3, 1).modules
    first.post_layer_function = torch.nn.Sigmoid()
    assert second.activation_gradient.item() == pytest.approx(0.25)  # measured anew
    assert second.activation_gradient.dtype == F64


def test_add_parameters() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2))
    old = module.weight.detach().clone()
    module.add_parameters(matrix_extension=torch.ones(2, 2), bias_extension=None, added_in_features=2)
    assert torch.equal(module.weight, torch.cat((old, torch.ones(2, 2)), dim=1))
    module.add_parameters(added_out_features=3)
    assert module.weight.shape == (5, 5)
    assert torch.equal(module.weight[2:], torch.zeros(3, 5))
    assert torch.equal(module.bias[2:], torch.zeros(3))


def test_apply_change(pair: Chain) -> None:
    first, second = pair.modules
    grown(pair)
    before = [tensor.detach().clone() for tensor in (first.weight, second.weight)]
    delta, omega, alpha = (
        layer.weight.detach().clone()
        for layer in (second.optimal_delta_layer, second.extended_input_layer, first.extended_output_layer)
    )
    second.apply_change(scaling_factor=0.3)
    close(second.weight.detach(), torch.cat((before[1] - 0.09 * delta, 0.3 * omega), dim=1))
    assert torch.equal(first.weight[:3], before[0])
    close(first.weight[3:].detach(), 0.3 * alpha)
    pair.net(pair.x)  # the sizes fit


def test_apply_change_in_parts(pair: Chain) -> None:
    first, second = pair.modules
    grown(pair)
    second.set_scaling_factor(0.5)
    old = second.weight.detach().clone()
    second.apply_change(apply_delta=False, apply_extension=False)
    assert torch.equal(second.weight, old)
    second.apply_change(apply_extension=False)
    assert second.weight.shape == old.shape
    assert not torch.equal(second.weight, old)
    second.apply_change(apply_delta=False, apply_previous=False)
    assert second.in_neurons > first.out_neurons == 3
    size = second.in_neurons - 3
    first.layer_out_extension(*first.extended_output_layer.parameters())
    assert first.out_neurons == 3 + size
    pair.net(pair.x)


def test_complete_growth() -> None:
    for bias in (True, False):
        pair = chain(5, 3, 4, bias=bias)
        first, second = pair.modules
        second.target_in_neurons = 10
        second.complete_growth({"output_extension_init": "copy_uniform", "input_extension_init": "zeros"})
        assert (first.out_neurons, second.in_neurons, second.missing_neurons()) == (10, 10, 0)
        assert second.extended_input_layer is None
        assert first.extended_output_layer is None
        assert first.weight[3:].abs().min() > 0  # not scaled to nothing
        pair.net(pair.x)
        second.complete_growth({})
        assert second.in_neurons == 10


def test_compute_cross_covariance_update(pair: Chain) -> None:
    total, n = pair.modules[1].compute_cross_covariance_update()
    assert n == 80
    close(total / n, dense(pair).cross)
    close(pair.modules[1].cross_covariance(), dense(pair).cross)


def test_compute_m_prev_update(pair: Chain) -> None:
    total, n = pair.modules[1].compute_m_prev_update()
    assert n == 80
    close(total / n, dense(pair).m_prev)
    close(pair.modules[1].tensor_m_prev(), dense(pair).m_prev)
    close(pair.modules[1].compute_m_prev_update(2 * gradient(pair))[0], 2 * total)


def test_compute_m_update(pair: Chain) -> None:
    total, n = pair.modules[1].compute_m_update()
    assert n == 80
    close(total / n, dense(pair).m)
    close(pair.modules[1].tensor_m(), dense(pair).m)
    close(pair.modules[1].compute_m_update(2 * gradient(pair))[0], 2 * total)


def test_compute_n_update(pair: Chain) -> None:
    second = pair.modules[1]
    second.compute_optimal_delta(dtype=F64)
    update = second.compute_n_update()
    close(update / 80, second.tensor_n)


def test_compute_optimal_added_parameters(pair: Chain) -> None:
    first, second = pair.modules
    second.compute_optimal_delta(dtype=F64)
    alpha_weight, alpha_bias, omega, values = second.compute_optimal_added_parameters(dtype=F64)
    expected = reference.neurons(dense(pair).s_growth, reference.tensor_n(dense(pair)))
    k = len(values)
    assert k == int((expected.values >= 1e-3).sum())
    assert (alpha_bias is not None) == first.use_bias
    alpha = alpha_weight if alpha_bias is None else torch.cat((alpha_weight, alpha_bias[:, None]), dim=1)
    close(values, expected.values[:k])
    for one, other in zip(
        reference.products(alpha, omega), reference.products(expected.alpha, expected.omega), strict=False
    ):
        close(one, other)
    assert torch.equal(second.extended_input_layer.weight, omega)
    assert torch.equal(first.extended_output_layer.weight, alpha_weight)
    assert torch.equal(second.eigenvalues_extension, values)


def test_compute_optimal_added_parameters_options(pair: Chain) -> None:
    first, second = pair.modules
    raw = second.compute_optimal_added_parameters(dtype=F64, use_projected_gradient=False)  # needs no delta
    close(raw[3], reference.neurons(dense(pair).s_growth, -dense(pair).m_prev).values[: len(raw[3])])
    second.delete_update()
    second.compute_optimal_delta()
    second.compute_optimal_added_parameters(maximum_added_neurons=2, update_previous=False)
    assert first.extended_output_layer is None
    assert second.extended_input_layer.in_features == 2
    assert second.compute_optimal_added_parameters(statistical_threshold=1e9)[3].shape == (0,)
    stronger = second.compute_optimal_added_parameters(dtype=F64, ridge=1.0)[3]
    assert (stronger < second.compute_optimal_added_parameters(dtype=F64)[3][: len(stronger)]).all()


def test_compute_optimal_delta(pair: Chain) -> None:
    second = pair.modules[1]
    weight, bias, decrease = second.compute_optimal_delta(update=False, dtype=F64)
    assert second.optimal_delta_layer is None
    assert second.parameter_update_decrease is None
    expected = reference.delta(dense(pair).s, dense(pair).m)
    found = weight if bias is None else torch.cat((weight, bias[:, None]), dim=1)
    close(found, expected)
    close(decrease, torch.trace(dense(pair).m @ expected))
    second.compute_optimal_delta(dtype=F64, force_pseudo_inverse=True)
    close(second.optimal_delta_layer.weight.detach(), weight)
    assert second.delta_solver == "eigh"
    close(second.parameter_update_decrease, decrease)
    single = second.compute_optimal_delta()[0]
    assert single.dtype == F64
    close(single, weight, rtol=1e-4, atol=1e-5)


def test_compute_optimal_updates(pair: Chain) -> None:
    first, second = pair.modules
    alpha_weight, alpha_bias = second.compute_optimal_updates(dtype=F64)
    assert torch.equal(alpha_weight, first.extended_output_layer.weight)
    assert (alpha_bias is not None) == first.use_bias
    assert second.optimal_delta_layer is not None
    assert first.compute_optimal_updates(dtype=F64) == (None, None)  # nothing before it: a delta alone
    assert first.optimal_delta_layer is not None
    assert first.extended_input_layer is None


def test_compute_s_update(pair: Chain) -> None:
    total, n = pair.modules[1].compute_s_update()
    assert n == 80
    close(total / n, dense(pair).s)


def test_copy_uniform_initialization() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2))
    reference_tensor = torch.randn(100) * 0.1
    tensor = torch.zeros(50, 50)
    module.copy_uniform_initialization(tensor, reference_tensor, 3)
    bound = math.sqrt(reference_tensor.std())
    assert 0.9 * bound < tensor.abs().max() <= bound
    module.copy_uniform_initialization(tensor, torch.ones(4), 16)
    assert 0.2 < tensor.abs().max() <= 0.25


def test_create_layer_extensions() -> None:
    first, second = chain(5, 3, 4).modules
    second.create_layer_extensions(2, output_extension_init="copy_uniform", input_extension_init="zeros")
    assert first.extended_output_layer.weight.shape == (2, 5)
    assert first.extended_output_layer.bias.shape == (2,)
    assert torch.equal(second.extended_input_layer.weight, torch.zeros(4, 2, dtype=F64))
    assert first.extended_output_layer.weight.abs().min() > 0
    second.create_layer_extensions(2, output_extension_size=3, input_extension_size=6)
    assert first.extended_output_layer.weight.shape == (3, 5)
    assert second.extended_input_layer.weight.shape == (4, 6)


def test_create_layer_in_extension() -> None:
    _, second = chain(5, 3, 4).modules
    second.create_layer_in_extension(2)
    assert second.extended_input_layer.weight.shape == (4, 2)
    assert second.extended_input_layer.bias is None


def test_create_layer_out_extension() -> None:
    for bias in (True, False):
        first, _ = chain(5, 3, 4, bias=bias).modules
        first.create_layer_out_extension(2)
        assert first.extended_output_layer.weight.shape == (2, 5)
        assert (first.extended_output_layer.bias is not None) == bias


def test_delete_update(pair: Chain) -> None:
    first, second = pair.modules
    grown(pair)
    second.delete_update(delete_input=False)
    assert second.optimal_delta_layer is None
    assert second.parameter_update_decrease is None
    assert second.extended_input_layer is not None
    assert first.extended_output_layer is not None
    second.delete_update(include_previous=False)
    assert second.extended_input_layer is None
    assert second.eigenvalues_extension is None
    assert first.extended_output_layer is not None
    first.delete_update()
    assert first.extended_output_layer is not None  # the next module might need it
    first.delete_update(delete_output=True)
    assert first.extended_output_layer is None
    grown(pair)
    second.set_scaling_factor(2.0)
    second.delete_update()
    assert first.extended_output_layer is None
    assert second.scaling_factor == 0


def test_delete_update_of_a_foreign_neighbour() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2), previous_module=torch.nn.ReLU(), name="odd")
    with pytest.raises(TypeError, match="odd is a ReLU"):
        module.delete_update()
    module.delete_update(include_previous=False)


def test_extended_forward(pair: Chain) -> None:
    first, second = pair.modules
    grown(pair)
    second.set_scaling_factor(0.3)
    h, further = first.extended_forward(pair.x)
    close(h, first(pair.x))
    alpha = first.extended_output_layer
    close(further, torch.tanh(0.3 * alpha(pair.x)))
    out, nothing = second.extended_forward(h, further)
    assert nothing is None
    change = -0.09 * second.optimal_delta_layer(h) + 0.3 * second.extended_input_layer(further)
    close(out, second.layer(h) + change)
    plain, _ = second.extended_forward(h, further, use_optimal_delta=False, use_extended_input=False)
    close(plain, second.layer(h))
    assert first.extended_forward(pair.x, use_extended_output=False)[1] is None


def test_extended_forward_uses_the_extended_function_and_stores_nothing() -> None:
    first = GrowingModule(
        torch.nn.Linear(2, 3),
        post_layer_function=torch.nn.ReLU(),
        extended_post_layer_function=torch.nn.Tanh(),
    )
    second = GrowingModule(torch.nn.Linear(3, 1), previous_module=first)
    second.create_layer_extensions(2)
    second.set_scaling_factor(1.0)
    x = torch.randn(4, 2)
    first.store_input = True
    h, further = first.extended_forward(x)
    close(h, torch.relu(first.layer(x)))
    close(further, torch.tanh(first.extended_output_layer(x)))
    assert first.capture.input is None


def test_first_order_improvement(pair: Chain) -> None:
    second = grown(pair)
    expected = second.parameter_update_decrease + second.eigenvalues_extension.square().sum()
    close(second.first_order_improvement, expected)  # tanh'(0) = 1
    second.delete_update(delete_delta=False)
    close(second.first_order_improvement, second.parameter_update_decrease)


def test_forward(pair: Chain) -> None:
    first = pair.modules[0]
    first.reset_computation()
    first.needed_by_next = False
    close(first(pair.x), torch.tanh(first.layer(pair.x)))
    assert first.capture.input is None
    first.store_input = first.store_pre_activity = True
    first(pair.x)
    close(first.input, pair.x)
    close(first.pre_activity, first.layer(pair.x))


def test_get_fan_in_from_layer() -> None:
    assert GrowingModule.get_fan_in_from_layer(torch.nn.Linear(7, 2)) == 7
    assert GrowingModule.get_fan_in_from_layer(torch.nn.Linear(7, 2, bias=False)) == 7


def test_input_extended(pair: Chain) -> None:
    second = pair.modules[1]
    found = second.input_extended
    if second.use_bias:
        close(found[:, :-1], second.input)
        assert (found[:, -1] == 1).all()
    else:
        close(found, second.input)


def test_layer_in_extension() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2))
    old = module.weight.detach().clone()
    extension = torch.randn(2, 4)
    module.layer_in_extension(extension)
    assert torch.equal(module.weight, torch.cat((old, extension), dim=1))
    assert (module.in_neurons, module.layer.in_features) == (7, 7)


def test_layer_of_tensor() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2).requires_grad_(False))
    weight, bias = torch.randn(5, 4), torch.randn(5)
    layer = module.layer_of_tensor(weight, bias)
    assert isinstance(layer, torch.nn.Linear)
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.bias, bias)
    assert not layer.weight.requires_grad
    weight += 1
    assert not torch.equal(layer.weight, weight)  # a copy
    assert module.layer_of_tensor(weight, force_bias=False).bias is None


def test_layer_out_extension() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2))
    old = module.weight.detach().clone(), module.bias.detach().clone()
    weight, bias = torch.randn(4, 3), torch.randn(4)
    module.layer_out_extension(weight, bias)
    assert torch.equal(module.weight, torch.cat((old[0], weight)))
    assert torch.equal(module.bias, torch.cat((old[1], bias)))
    assert (module.out_neurons, module.layer.out_features) == (6, 6)


def test_missing_neurons() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2), target_in_neurons=10)
    assert module.missing_neurons() == 7
    module.layer_in_extension(torch.zeros(2, 2))
    assert module.missing_neurons() == 5


def stds(pair: Chain) -> tuple[float, float, float]:
    first, second = pair.modules
    layers = (second.optimal_delta_layer, second.extended_input_layer, first.extended_output_layer)
    return tuple(float(layer.weight.detach().std()) for layer in layers)  # type: ignore[return-value]


def test_normalize_optimal_updates(pair: Chain) -> None:
    second = grown(pair)
    delta, omega, alpha = stds(pair)
    second.normalize_optimal_updates(0.1, "equalize_second_layer")
    found = stds(pair)
    assert found == pytest.approx((0.1, 0.1, alpha * omega / delta))
    improvement = second.first_order_improvement
    second.normalize_optimal_updates(0.1, "equalize_second_layer")
    close(second.first_order_improvement, improvement)  # it is there already


def test_normalize_equalize_extensions(pair: Chain) -> None:
    second = grown(pair)
    delta, omega, alpha = stds(pair)
    before = second.eigenvalues_extension
    second.normalize_optimal_updates(0.2, "equalize_extensions")
    assert stds(pair) == pytest.approx((delta * 0.04 / (omega * alpha), 0.2, 0.2))
    close(second.eigenvalues_extension, before * (0.04 / (omega * alpha)) ** 0.5)


def test_normalize_legacy_takes_the_std_of_the_layer(pair: Chain) -> None:
    second = grown(pair)
    delta, omega, alpha = stds(pair)
    target = float(second.weight.detach().std())
    decrease = second.parameter_update_decrease
    second.normalize_optimal_updates()
    assert stds(pair) == pytest.approx((target, omega, alpha * target / omega))
    close(second.parameter_update_decrease, decrease * target / delta)


def test_number_of_neurons_to_add() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2), target_in_neurons=13, initial_in_neurons=3)
    assert module.number_of_neurons_to_add() == 10
    assert module.number_of_neurons_to_add("fixed_proportional", 4) == 2
    assert module.number_of_neurons_to_add(number_of_growth_steps=3) == 3
    module.layer_in_extension(torch.zeros(2, 9))
    assert module.number_of_neurons_to_add(number_of_growth_steps=3) == 1  # never beyond the target


def test_number_of_parameters() -> None:
    assert GrowingModule(torch.nn.Linear(3, 2)).number_of_parameters() == 8
    assert GrowingModule(torch.nn.Linear(3, 2, bias=False)).number_of_parameters() == 6


def test_parameter_step() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2))
    weight, bias = module.weight, module.bias
    old = weight.detach().clone(), bias.detach().clone()
    module.parameter_step(torch.ones(2, 3), torch.ones(2))
    assert torch.equal(module.weight, old[0] + 1)
    assert torch.equal(module.bias, old[1] + 1)
    module.parameter_step(torch.ones(2, 3))
    assert torch.equal(module.bias, old[1] + 1)
    assert module.weight is weight  # an optimizer keeps its hold on it


def test_parameters(pair: Chain) -> None:
    second = grown(pair)
    assert [id(p) for p in second.parameters()] == [id(p) for p in second.layer.parameters()]
    assert len(list(second.parameters(recurse=False))) == len(list(second.layer.parameters()))
    with_slope = GrowingModule(torch.nn.Linear(2, 2), post_layer_function=torch.nn.PReLU())
    assert len(list(with_slope.parameters())) == 3


def test_projected_v_goal(pair: Chain) -> None:
    second = pair.modules[1]
    second.compute_optimal_delta(dtype=F64)
    projected = second.projected_v_goal(second.input)
    close(projected, gradient(pair) - second.optimal_delta_layer(second.input).detach())
    # what remains has nothing to do with the layer's input any more
    assert second.compute_m_update(projected)[0].abs().max() < 1e-9


def test_scale_layer() -> None:
    layer = torch.nn.Linear(3, 2)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    assert GrowingModule.scale_layer(layer, 2.0) is layer
    assert torch.equal(layer.weight, 2 * weight)
    assert torch.equal(layer.bias, 2 * bias)
    GrowingModule.scale_layer(torch.nn.Linear(3, 2, bias=False), 2.0)
    GrowingModule.scale_layer(torch.nn.ReLU(), 2.0)


def test_scale_layer_extension(pair: Chain) -> None:
    first, second = pair.modules
    grown(pair)
    alpha, omega = first.extended_output_layer.weight.clone(), second.extended_input_layer.weight.clone()
    values = second.eigenvalues_extension
    second.scale_layer_extension(None, scale_output=2.0, scale_input=8.0)
    close(first.extended_output_layer.weight, 2 * alpha)
    close(second.extended_input_layer.weight, 8 * omega)
    close(second.eigenvalues_extension, 4 * values)
    second.scale_layer_extension(0.5, 7.0, 7.0)  # scale replaces the others
    close(first.extended_output_layer.weight, alpha)


def test_scale_parameter_update(pair: Chain) -> None:
    second = grown(pair)
    weight, decrease = second.optimal_delta_layer.weight.clone(), second.parameter_update_decrease
    second.scale_parameter_update(3.0)
    close(second.optimal_delta_layer.weight, 3 * weight)
    close(second.parameter_update_decrease, 3 * decrease)
    second.delete_update()
    second.scale_parameter_update(3.0)  # nothing pending, nothing to scale


def test_set_scaling_factor(pair: Chain) -> None:
    first, second = pair.modules
    assert second.scaling_factor == 0
    for factor in (0.5, torch.tensor(0.5), torch.tensor([0.5])):
        second.set_scaling_factor(factor)
        assert second.scaling_factor == 0.5
        assert float(first.output_factor) == 0.5
    second.scaling_factor = 0.25
    assert second.scaling_factor == 0.25
    assert first.scaling_factor == 0  # its own growth is another matter


def test_sub_select_optimal_added_parameters(pair: Chain) -> None:
    first, second = pair.modules
    grown(pair)
    alpha, omega = first.extended_output_layer.weight.clone(), second.extended_input_layer.weight.clone()
    values = second.eigenvalues_extension.clone()
    second.sub_select_optimal_added_parameters(threshold=float(values[1]))
    assert torch.equal(second.eigenvalues_extension, values[:2])
    assert torch.equal(second.extended_input_layer.weight, omega[:, :2])
    assert torch.equal(first.extended_output_layer.weight, alpha[:2])
    second.sub_select_optimal_added_parameters(1, sub_select_previous=False)
    assert first.extended_output_layer.out_features == 2
    assert second.extended_input_layer.in_features == 1


def test_sub_select_with_zeros(pair: Chain) -> None:
    first, second = pair.modules
    grown(pair)
    alpha, omega = first.extended_output_layer.weight.clone(), second.extended_input_layer.weight.clone()
    values = second.eigenvalues_extension.clone()
    second.sub_select_optimal_added_parameters(1, zeros_if_not_enough=True)
    assert torch.equal(first.extended_output_layer.weight[:1], alpha[:1])
    assert first.extended_output_layer.weight[1:].abs().max() == 0
    if first.use_bias:
        assert first.extended_output_layer.bias[1:].abs().max() == 0
    assert torch.equal(second.extended_input_layer.weight, omega)
    assert torch.equal(second.eigenvalues_extension[:1], values[:1])
    assert second.eigenvalues_extension[1:].abs().max() == 0
    second.sub_select_optimal_added_parameters(
        1, zeros_if_not_enough=True, zeros_fan_in=False, zeros_fan_out=True
    )
    assert second.extended_input_layer.weight[:, 1:].abs().max() == 0


def test_tensor_n(pair: Chain) -> None:
    second = pair.modules[1]
    second.compute_optimal_delta(dtype=F64)
    close(second.tensor_n, reference.tensor_n(dense(pair)))
    second.scale_parameter_update(5.0)
    close(second.tensor_n, reference.tensor_n(dense(pair)))  # the solved delta, not the scaled one


def test_tensor_s(pair: Chain) -> None:
    second = pair.modules[1]
    close(second.tensor_s(), dense(pair).s)
    assert second.tensor_s.samples == 80


def test_tensor_s_growth(pair: Chain) -> None:
    first, second = pair.modules
    assert second.tensor_s_growth is first.tensor_s
    close(second.tensor_s_growth(), dense(pair).s_growth)


def test_update_input_size() -> None:
    first, second = chain(5, 3, 4).modules
    assert second.update_input_size() is None
    assert second.update_input_size((7, 3)) == (7, 3)
    assert second.update_input_size(compute_from_previous=True, force_update=False) == (7, 3)
    assert second.update_input_size(compute_from_previous=True) == (3,)
    assert second.input_size == (3,)
    first.store_input = True
    first(torch.zeros(2, 6, 5, dtype=F64))
    assert first.update_input_size() == (6, 5)
