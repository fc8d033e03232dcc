"""Every member of the API document, for every kind of layer and link: test_<member> proves <member>.

The class itself is test_growing_module. Members that do not look at a neighbour are proved for each kind of layer, the
others for each kind of link (tests/modules/pairs.py). Misuse is in test_misuse.py, growth as a whole (predictions,
slopes) in test_growth.py, growth through merges of several layers in test_groups.py.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import Conv1d, Conv2d, Linear

from gromo_graph.modules import (
    Conv1dGrowingModule,
    Conv2dGrowingModule,
    GrowingModule,
    LinearGrowingModule,
)
from tests import reference
from tests.modules.chains import chain
from tests.modules.dense import Dense, dense, omega_matrix
from tests.modules.pairs import F64, KINDS, ROWS, Pair, pair

close = torch.testing.assert_close

LAYERS = {
    "linear": lambda: Linear(3, 2),
    "linear, no bias": lambda: Linear(3, 2, bias=False),
    "conv2d": lambda: Conv2d(3, 2, (3, 2), stride=2, padding=1),
    "conv2d, no bias": lambda: Conv2d(3, 2, 2, bias=False),
    "conv1d": lambda: Conv1d(3, 2, 3, padding="same", dilation=2),
}


@pytest.fixture(params=sorted(KINDS))
def linked(request: pytest.FixtureRequest) -> Pair:
    """Two layers of every kind of link, with statistics gathered; the second can grow."""
    found = pair(request.param)
    found.gather()
    return found


@pytest.fixture(params=sorted(LAYERS))
def single(request: pytest.FixtureRequest) -> GrowingModule:
    """A module around every kind of layer."""
    torch.manual_seed(0)
    return GrowingModule(LAYERS[request.param](), name="stem")


def gradient(linked: Pair) -> Tensor:
    g = linked.second.pre_activity.grad
    assert g is not None
    return g


def expected(linked: Pair) -> Dense:
    return dense(linked, gradient(linked))


def alpha_matrix(linked: Pair) -> Tensor:
    """[weight | bias] of the pending outputs of the first layer."""
    layer = linked.first.extended_output_layer
    return linked.first.adapter.matrix(layer.weight, layer.bias).detach()


def grown(linked: Pair, keep: int | None = None) -> GrowingModule:
    """The second module with optimal pending growth."""
    linked.second.compute_optimal_updates(dtype=F64, maximum_added_neurons=keep)
    return linked.second


def rest(module: GrowingModule) -> tuple[int, ...]:
    """Sizes of the kernel."""
    return tuple(module.weight.shape[2:])


def repeat_of(linked: Pair) -> int:
    """Inputs of the second layer that one output of the first becomes."""
    return linked.second.in_neurons // linked.first.out_neurons


def test_growing_module() -> None:
    layer = Linear(3, 2)
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
    conv = Conv2dGrowingModule(3, 4, (3, 2), padding=1, input_size=(5, 6), dtype=F64, name="conv")
    assert (conv.weight.shape, conv.input_size, conv.in_features, conv.out_features) == (
        *((4, 3, 3, 2), (3, 5, 6)),
        *(3, 4),
    )
    assert Conv1dGrowingModule(3, 4, 5, use_bias=False, input_size=9).input_size == (3, 9)
    assert GrowingModule(Conv2d(2, 3, 3), (19, 19), (19, 3)).out_neurons == 3


def test_activation_gradient(linked: Pair) -> None:
    assert linked.second.activation_gradient.item() == pytest.approx(1.0)  # tanh'(0)
    assert linked.second.activation_gradient.dtype == F64
    for activation, slope in (("relu", 1.0), ("gelu", 0.5), ("selu", 1.0507009873554805)):
        _, second = chain(2, 3, 1, activation=activation).modules
        assert second.activation_gradient.item() == pytest.approx(slope)
    first, second = chain(2, 3, 1).modules
    first.post_layer_function = torch.nn.Sigmoid()
    assert second.activation_gradient.item() == pytest.approx(0.25)  # measured anew


def test_add_parameters(single: GrowingModule) -> None:
    old, kernel = single.weight.detach().clone(), rest(single)
    single.add_parameters(matrix_extension=torch.ones(2, 2, *kernel), added_in_features=2)
    assert torch.equal(single.weight, torch.cat((old, torch.ones(2, 2, *kernel)), dim=1))
    single.add_parameters(added_out_features=3)
    assert single.weight.shape == (5, 5, *kernel)
    assert not single.weight[2:].any()
    assert single.bias is None or not single.bias[2:].any()


def test_apply_change(linked: Pair) -> None:
    first, second = linked.first, linked.second
    grown(linked)
    before = [tensor.detach().clone() for tensor in (first.weight, second.weight)]
    delta, omega, alpha = (
        layer.weight.detach().clone()
        for layer in (second.optimal_delta_layer, second.extended_input_layer, first.extended_output_layer)
    )
    second.set_scaling_factor(0.3)
    predicted = linked.predicted_output()
    second.apply_change()
    close(second.weight.detach(), torch.cat((before[1] - 0.09 * delta, 0.3 * omega), dim=1))
    assert torch.equal(first.weight[:3], before[0])
    close(first.weight[3:].detach(), 0.3 * alpha)
    close(linked.net(linked.x).detach(), predicted)
    second.apply_change(apply_delta=False)  # it has become weights already
    assert second.in_neurons == (3 + alpha.shape[0]) * repeat_of(linked)


def test_apply_change_in_parts(linked: Pair) -> None:
    first, second = linked.first, linked.second
    grown(linked)
    second.set_scaling_factor(0.5)
    old = second.weight.detach().clone()
    second.apply_change(apply_delta=False, apply_extension=False)
    assert torch.equal(second.weight, old)
    second.apply_change(apply_extension=False)
    assert second.weight.shape == old.shape
    assert not torch.equal(second.weight, old)
    second.apply_change(apply_delta=False, apply_previous=False)
    assert first.out_neurons == 3
    size = first.extended_output_layer.weight.shape[0]
    assert second.in_neurons == old.shape[1] // 3 * (3 + size)
    if "norm" not in linked.kind:  # whose channels somebody else would have to add
        first.layer_out_extension(*first.extended_output_layer.parameters())
        linked.net(linked.x)


def test_complete_growth(linked: Pair) -> None:
    first, second = linked.first, linked.second
    repeat = repeat_of(linked)
    second.target_in_neurons = 10 * repeat
    second.complete_growth({"output_extension_init": "copy_uniform", "input_extension_init": "zeros"})
    assert (first.out_neurons, second.in_neurons, second.missing_neurons()) == (10, 10 * repeat, 0)
    assert second.extended_input_layer is None
    assert first.extended_output_layer is None
    assert first.weight[3:].abs().min() > 0  # not scaled to nothing
    linked.net(linked.x)
    second.complete_growth({})
    assert second.in_neurons == 10 * repeat


def test_compute_cross_covariance_update(linked: Pair) -> None:
    total, n = linked.second.compute_cross_covariance_update()
    assert n == ROWS
    close(total / n, expected(linked).cross)
    close(linked.second.cross_covariance(), expected(linked).cross)


def test_compute_m_prev_update(linked: Pair) -> None:
    total, n = linked.second.compute_m_prev_update()
    assert n == ROWS
    close(total / n, expected(linked).m_prev)
    close(linked.second.tensor_m_prev(), expected(linked).m_prev)
    close(linked.second.compute_m_prev_update(2 * gradient(linked))[0], 2 * total)


def test_compute_m_update(linked: Pair) -> None:
    total, n = linked.second.compute_m_update()
    assert n == ROWS
    close(total / n, expected(linked).m)
    close(linked.second.tensor_m(), expected(linked).m)
    close(linked.second.compute_m_update(2 * gradient(linked))[0], 2 * total)


def test_compute_n_update(linked: Pair) -> None:
    linked.second.compute_optimal_delta(dtype=F64)
    close(linked.second.compute_n_update() / ROWS, linked.second.tensor_n)


def test_compute_optimal_added_parameters(linked: Pair) -> None:
    first, second = linked.first, linked.second
    second.compute_optimal_delta(dtype=F64)
    alpha_weight, alpha_bias, omega, values = second.compute_optimal_added_parameters(dtype=F64)
    found = expected(linked)
    wanted = reference.neurons(found.s_growth, found.n)
    k = len(values)
    assert k == int((wanted.values >= 1e-3).sum())
    assert k >= 3
    assert (alpha_bias is not None) == first.use_bias
    close(values, wanted.values[:k])
    alpha, matrix = alpha_matrix(linked), omega_matrix(linked, omega)
    for one, other in zip(
        reference.products(alpha, matrix), reference.products(wanted.alpha, wanted.omega), strict=False
    ):
        close(one, other)
    assert torch.equal(second.extended_input_layer.weight, omega)
    assert torch.equal(first.extended_output_layer.weight, alpha_weight)
    assert torch.equal(second.eigenvalues_extension, values)
    assert (second.extension_solver, second.extension_decomposition) == ("cholesky", "full")


def test_compute_optimal_added_parameters_options(linked: Pair) -> None:
    first, second = linked.first, linked.second
    raw = second.compute_optimal_added_parameters(dtype=F64, use_projected_gradient=False)  # needs no delta
    found = expected(linked)
    close(raw[3], reference.neurons(found.s_growth, -found.m_prev).values[: len(raw[3])])
    second.delete_update()
    second.compute_optimal_delta()
    second.compute_optimal_added_parameters(maximum_added_neurons=2, update_previous=False)
    assert first.extended_output_layer is None
    assert second.extended_input_layer.weight.shape[1] == 2 * repeat_of(linked)
    assert second.compute_optimal_added_parameters(statistical_threshold=1e9)[3].shape == (0,)
    assert second.extended_input_layer is None
    stronger = second.compute_optimal_added_parameters(dtype=F64, ridge=1.0)[3]
    assert (stronger < second.compute_optimal_added_parameters(dtype=F64)[3][: len(stronger)]).all()


def test_compute_optimal_delta(linked: Pair) -> None:
    second = linked.second
    weight, bias, decrease = second.compute_optimal_delta(update=False, dtype=F64)
    assert second.optimal_delta_layer is None
    assert second.parameter_update_decrease is None
    found = expected(linked)
    wanted = reference.delta(found.s, found.m)
    close(second.adapter.matrix(weight, bias), wanted)
    close(decrease, torch.trace(found.m @ wanted))
    second.compute_optimal_delta(dtype=F64, force_pseudo_inverse=True)
    close(second.optimal_delta_layer.weight.detach(), weight)
    assert second.delta_solver == "eigh"
    close(second.parameter_update_decrease, decrease)
    single_precision = second.compute_optimal_delta()[0]
    assert single_precision.dtype == F64
    close(single_precision, weight, rtol=1e-3, atol=1e-4)


def test_compute_optimal_updates(linked: Pair) -> None:
    first, second = linked.first, linked.second
    alpha_weight, alpha_bias = second.compute_optimal_updates(dtype=F64)
    assert torch.equal(alpha_weight, first.extended_output_layer.weight)
    assert (alpha_bias is not None) == first.use_bias
    assert second.optimal_delta_layer is not None
    assert first.compute_optimal_updates(dtype=F64) == (None, None)  # nothing before it: a delta alone
    assert first.optimal_delta_layer is not None
    assert first.extended_input_layer is None


def test_the_two_sets_of_default_thresholds() -> None:
    """`compute_optimal_updates` keeps smaller directions than `compute_optimal_added_parameters`."""
    found = pair("linear")
    found.gather()
    second = found.second
    with torch.no_grad():
        scale = 1e-4 / float(second.compute_optimal_added_parameters(use_projected_gradient=False)[3].max())
    found.y = found.net(found.x).detach() + scale * (found.y - found.net(found.x).detach())
    found.gather()
    second.compute_optimal_delta()
    assert len(second.compute_optimal_added_parameters()[3]) == 0
    second.compute_optimal_updates()
    assert len(second.eigenvalues_extension) > 0


def test_compute_s_update(linked: Pair) -> None:
    total, n = linked.second.compute_s_update()
    assert n == ROWS
    close(total / n, expected(linked).s)


def test_copy_uniform_initialization() -> None:
    module = GrowingModule(Linear(3, 2))
    reference_tensor = torch.randn(100) * 0.1
    tensor = torch.zeros(50, 50)
    module.copy_uniform_initialization(tensor, reference_tensor, 3)
    bound = math.sqrt(reference_tensor.std())
    assert 0.9 * bound < tensor.abs().max() <= bound
    module.copy_uniform_initialization(tensor, torch.ones(4), 16)
    assert 0.2 < tensor.abs().max() <= 0.25


def test_create_layer_extensions(linked: Pair) -> None:
    first, second, repeat = linked.first, linked.second, repeat_of(linked)
    second.create_layer_extensions(2, output_extension_init="copy_uniform", input_extension_init="zeros")
    assert first.extended_output_layer.weight.shape == (2, *first.weight.shape[1:])
    bias = first.extended_output_layer.bias
    assert (bias is not None) == first.use_bias
    assert second.extended_input_layer.weight.shape == (4, 2 * repeat, *rest(second))
    assert not second.extended_input_layer.weight.any()
    assert first.extended_output_layer.weight.abs().min() > 0
    second.create_layer_extensions(2, output_extension_size=3, input_extension_size=6)
    assert first.extended_output_layer.weight.shape[0] == 3
    assert second.extended_input_layer.weight.shape[1] == 6


def test_create_layer_in_extension(single: GrowingModule) -> None:
    single.create_layer_in_extension(4)
    assert single.extended_input_layer.weight.shape == (2, 4, *rest(single))
    assert single.extended_input_layer.bias is None
    assert single.extended_input_layer.weight.abs().min() > 0


def test_create_layer_out_extension(single: GrowingModule) -> None:
    single.create_layer_out_extension(4)
    assert single.extended_output_layer.weight.shape == (4, 3, *rest(single))
    assert (single.extended_output_layer.bias is not None) == single.use_bias


def test_delete_update(linked: Pair) -> None:
    first, second = linked.first, linked.second
    grown(linked)
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
    grown(linked)
    second.set_scaling_factor(2.0)
    second.delete_update()
    assert first.extended_output_layer is None
    assert second.scaling_factor == 0


def test_delete_update_of_a_foreign_neighbour() -> None:
    module = GrowingModule(Linear(3, 2), previous_module=torch.nn.ReLU(), name="odd")
    for include_previous in (True, False):
        with pytest.raises(TypeError, match="odd is a ReLU"):
            module.delete_update(include_previous)


def test_extended_forward(linked: Pair) -> None:
    """Against the two layers computed apart; between them stand tanh and pools, which treat channels alone."""
    first, second = linked.first, linked.second
    grown(linked)
    second.set_scaling_factor(0.3)
    h, further = first.extended_forward(linked.x)
    close(h, first(linked.x))
    between = torch.nn.Identity() if "norm" in linked.kind else first.post_layer_function
    if "norm" in linked.kind:
        between = first.post_layer_function[1]  # a new channel of a norm starts as the identity
    close(further, between(0.3 * first.extended_output_layer(linked.x)))
    if len(linked.net) == 3:
        h, further = linked.net[1].extended_forward((h, further))
    out, nothing = second.extended_forward(h, further)
    assert nothing is None
    change = -0.09 * second.optimal_delta_layer(h) + 0.3 * second.extended_input_layer(further)
    close(out, second.layer(h) + change)
    plain, _ = second.extended_forward(h, further, use_optimal_delta=False, use_extended_input=False)
    close(plain, second.layer(h))
    assert first.extended_forward(linked.x, use_extended_output=False)[1] is None


def test_extended_forward_uses_the_extended_function_and_stores_nothing() -> None:
    first = GrowingModule(
        Linear(2, 3),
        post_layer_function=torch.nn.ReLU(),
        extended_post_layer_function=torch.nn.Tanh(),
    )
    second = GrowingModule(Linear(3, 1), previous_module=first)
    second.create_layer_extensions(2)
    second.set_scaling_factor(1.0)
    x = torch.randn(4, 2)
    first.store_input = True
    h, further = first.extended_forward(x)
    close(h, torch.relu(first.layer(x)))
    close(further, torch.tanh(first.extended_output_layer(x)))
    assert first.capture.input is None


def test_first_order_improvement(linked: Pair) -> None:
    second = grown(linked)
    wanted = second.parameter_update_decrease + second.eigenvalues_extension.square().sum()
    close(second.first_order_improvement, wanted)  # tanh'(0) = 1
    second.delete_update(delete_delta=False)
    close(second.first_order_improvement, second.parameter_update_decrease)


def test_forward(linked: Pair) -> None:
    first = linked.first
    first.reset_computation()
    first.needed_by_next = False
    close(first(linked.x), first.post_layer_function(first.layer(linked.x)))
    assert first.capture.input is None
    first.store_input = first.store_pre_activity = True
    first(linked.x)
    close(first.input, linked.x)
    close(first.pre_activity, first.layer(linked.x))


def test_get_fan_in_from_layer() -> None:
    assert GrowingModule.get_fan_in_from_layer(Linear(7, 2)) == 7
    assert GrowingModule.get_fan_in_from_layer(Linear(7, 2, bias=False)) == 7
    assert GrowingModule.get_fan_in_from_layer(Conv2d(7, 2, (3, 2))) == 42
    assert GrowingModule.get_fan_in_from_layer(Conv1d(7, 2, 3, bias=False)) == 21


def test_input_extended(linked: Pair) -> None:
    second = linked.second
    dim = second.adapter.feature_dim
    found = second.input_extended
    if second.use_bias:
        close(found.narrow(dim, 0, second.in_neurons), second.input)
        assert (found.select(dim, second.in_neurons) == 1).all()
    else:
        close(found, second.input)


def test_layer_in_extension(single: GrowingModule) -> None:
    old = single.weight.detach().clone()
    extension = torch.randn(2, 4, *rest(single))
    single.layer_in_extension(extension)
    assert torch.equal(single.weight, torch.cat((old, extension), dim=1))
    written = single.layer.in_channels if rest(single) else single.layer.in_features
    assert (single.in_neurons, written) == (7, 7)


def test_layer_of_tensor(single: GrowingModule) -> None:
    single.layer.requires_grad_(False)
    weight, bias = torch.randn(5, 4, *rest(single)), torch.randn(5) if single.use_bias else None
    layer = single.layer_of_tensor(weight, bias)
    assert type(layer) is type(single.layer)
    assert torch.equal(layer.weight, weight)
    assert (layer.bias is None) if bias is None else torch.equal(layer.bias, bias)
    assert not layer.weight.requires_grad
    options = ("stride", "padding", "dilation", "kernel_size")
    assert [getattr(layer, o, None) for o in options] == [getattr(single.layer, o, None) for o in options]
    weight += 1
    assert not torch.equal(layer.weight, weight)  # a copy
    assert single.layer_of_tensor(weight, force_bias=False).bias is None


def test_layer_out_extension(single: GrowingModule) -> None:
    old = single.weight.detach().clone()
    weight, bias = torch.randn(4, 3, *rest(single)), torch.randn(4) if single.use_bias else None
    single.layer_out_extension(weight, bias)
    assert torch.equal(single.weight, torch.cat((old, weight)))
    assert bias is None or torch.equal(single.bias[2:], bias)
    written = single.layer.out_channels if rest(single) else single.layer.out_features
    assert (single.out_neurons, written) == (6, 6)


def test_missing_neurons(single: GrowingModule) -> None:
    single.target_in_neurons = 10
    assert single.missing_neurons() == 7
    single.layer_in_extension(torch.zeros(2, 2, *rest(single)))
    assert single.missing_neurons() == 5


def stds(linked: Pair) -> tuple[float, float, float]:
    first, second = linked.first, linked.second
    layers = (second.optimal_delta_layer, second.extended_input_layer, first.extended_output_layer)
    return tuple(float(layer.weight.detach().std()) for layer in layers)  # type: ignore[return-value]


def test_normalize_optimal_updates(linked: Pair) -> None:
    second = grown(linked)
    delta, omega, alpha = stds(linked)
    second.normalize_optimal_updates(0.1, "equalize_second_layer")
    assert stds(linked) == pytest.approx((0.1, 0.1, alpha * omega / delta))
    improvement = second.first_order_improvement
    second.normalize_optimal_updates(0.1, "equalize_second_layer")
    close(second.first_order_improvement, improvement)  # it is there already


def test_normalize_equalize_extensions(linked: Pair) -> None:
    second = grown(linked)
    delta, omega, alpha = stds(linked)
    before = second.eigenvalues_extension
    second.normalize_optimal_updates(0.2, "equalize_extensions")
    assert stds(linked) == pytest.approx((delta * 0.04 / (omega * alpha), 0.2, 0.2))
    close(second.eigenvalues_extension, before * (0.04 / (omega * alpha)) ** 0.5)


def test_normalize_legacy_takes_the_std_of_the_layer(linked: Pair) -> None:
    second = grown(linked)
    delta, omega, alpha = stds(linked)
    target = float(second.weight.detach().std())
    decrease = second.parameter_update_decrease
    second.normalize_optimal_updates()
    assert stds(linked) == pytest.approx((target, omega, alpha * target / omega))
    close(second.parameter_update_decrease, decrease * target / delta)


def test_number_of_neurons_to_add(single: GrowingModule) -> None:
    single.target_in_neurons, single.initial_in_neurons = 13, 3
    assert single.number_of_neurons_to_add() == 10
    assert single.number_of_neurons_to_add("fixed_proportional", 4) == 2
    assert single.number_of_neurons_to_add(number_of_growth_steps=3) == 3
    single.layer_in_extension(torch.zeros(2, 9, *rest(single)))
    assert single.number_of_neurons_to_add(number_of_growth_steps=3) == 1  # never beyond the target


def test_number_of_parameters(single: GrowingModule) -> None:
    assert single.number_of_parameters() == sum(p.numel() for p in single.layer.parameters())
    assert GrowingModule(Linear(3, 2)).number_of_parameters() == 8


def test_parameter_step(single: GrowingModule) -> None:
    weight, bias = single.weight, single.bias
    old = weight.detach().clone()
    single.parameter_step(torch.ones_like(old), None if bias is None else torch.ones(2))
    assert torch.equal(single.weight, old + 1)
    old_bias = None if bias is None else bias.detach().clone()
    single.parameter_step(torch.ones_like(old))
    assert old_bias is None or torch.equal(single.bias, old_bias)
    assert single.weight is weight  # an optimizer keeps its hold on it


def test_parameters(linked: Pair) -> None:
    second = grown(linked)
    assert [id(p) for p in second.parameters()] == [id(p) for p in second.layer.parameters()]
    assert len(list(second.parameters(recurse=False))) == len(list(second.layer.parameters()))
    own = len(list(linked.first.layer.parameters()))
    assert len(list(linked.first.parameters())) == own + (2 if "norm" in linked.kind else 0)
    with_slope = GrowingModule(Linear(2, 2), post_layer_function=torch.nn.PReLU())
    assert len(list(with_slope.parameters())) == 3


def test_projected_v_goal(linked: Pair) -> None:
    second = linked.second
    second.compute_optimal_delta(dtype=F64)
    projected = second.projected_v_goal(second.input)
    close(projected, gradient(linked) - second.optimal_delta_layer(second.input).detach())
    # what remains has nothing to do with the layer's input any more
    assert second.compute_m_update(projected)[0].abs().max() < 1e-9


def test_scale_layer(single: GrowingModule) -> None:
    weight = single.layer.weight.detach().clone()
    bias = None if single.bias is None else single.bias.detach().clone()
    assert GrowingModule.scale_layer(single.layer, 2.0) is single.layer
    assert torch.equal(single.layer.weight, 2 * weight)
    assert bias is None or torch.equal(single.layer.bias, 2 * bias)
    GrowingModule.scale_layer(torch.nn.ReLU(), 2.0)


def test_scale_layer_extension(linked: Pair) -> None:
    first, second = linked.first, linked.second
    grown(linked)
    alpha, omega = first.extended_output_layer.weight.clone(), second.extended_input_layer.weight.clone()
    values = second.eigenvalues_extension
    second.scale_layer_extension(None, scale_output=2.0, scale_input=8.0)
    close(first.extended_output_layer.weight, 2 * alpha)
    close(second.extended_input_layer.weight, 8 * omega)
    close(second.eigenvalues_extension, 4 * values)
    second.scale_layer_extension(0.5, 7.0, 7.0)  # scale replaces the others
    close(first.extended_output_layer.weight, alpha)


def test_scale_parameter_update(linked: Pair) -> None:
    second = grown(linked)
    weight, decrease = second.optimal_delta_layer.weight.clone(), second.parameter_update_decrease
    second.scale_parameter_update(3.0)
    close(second.optimal_delta_layer.weight, 3 * weight)
    close(second.parameter_update_decrease, 3 * decrease)
    second.delete_update()
    second.scale_parameter_update(3.0)  # nothing pending, nothing to scale


def test_set_scaling_factor(linked: Pair) -> None:
    first, second = linked.first, linked.second
    assert second.scaling_factor == 0
    for factor in (0.5, torch.tensor(0.5), torch.tensor([0.5])):
        second.set_scaling_factor(factor)
        assert second.scaling_factor == 0.5
        assert float(first.output_factor) == 0.5
    second.scaling_factor = 0.25
    assert second.scaling_factor == 0.25
    assert first.scaling_factor == 0  # its own growth is another matter


def test_sub_select_optimal_added_parameters(linked: Pair) -> None:
    first, second, repeat = linked.first, linked.second, repeat_of(linked)
    grown(linked)
    alpha, omega = first.extended_output_layer.weight.clone(), second.extended_input_layer.weight.clone()
    values = second.eigenvalues_extension.clone()
    second.sub_select_optimal_added_parameters(threshold=float(values[1]))
    assert torch.equal(second.eigenvalues_extension, values[:2])
    assert torch.equal(second.extended_input_layer.weight, omega[:, : 2 * repeat])
    assert torch.equal(first.extended_output_layer.weight, alpha[:2])
    second.sub_select_optimal_added_parameters(1, sub_select_previous=False)
    assert first.extended_output_layer.weight.shape[0] == 2
    assert second.extended_input_layer.weight.shape[1] == repeat


def test_sub_select_with_zeros(linked: Pair) -> None:
    first, second, repeat = linked.first, linked.second, repeat_of(linked)
    grown(linked)
    alpha, omega = first.extended_output_layer.weight.clone(), second.extended_input_layer.weight.clone()
    values = second.eigenvalues_extension.clone()
    second.sub_select_optimal_added_parameters(1, zeros_if_not_enough=True)
    assert torch.equal(first.extended_output_layer.weight[:1], alpha[:1])
    assert not first.extended_output_layer.weight[1:].any()
    assert not first.use_bias or not first.extended_output_layer.bias[1:].any()
    assert torch.equal(second.extended_input_layer.weight, omega)
    assert torch.equal(second.eigenvalues_extension[:1], values[:1])
    assert not second.eigenvalues_extension[1:].any()
    second.sub_select_optimal_added_parameters(
        1, zeros_if_not_enough=True, zeros_fan_in=False, zeros_fan_out=True
    )
    assert not second.extended_input_layer.weight[:, repeat:].any()


def test_tensor_n(linked: Pair) -> None:
    second = linked.second
    second.compute_optimal_delta(dtype=F64)
    close(second.tensor_n, expected(linked).n)
    second.scale_parameter_update(5.0)
    close(second.tensor_n, expected(linked).n)  # the solved delta, not the scaled one


def test_tensor_s(linked: Pair) -> None:
    close(linked.second.tensor_s(), expected(linked).s)
    assert linked.second.tensor_s.samples == ROWS


def test_tensor_s_growth(linked: Pair) -> None:
    first, second = linked.first, linked.second
    read_once = linked.kind.startswith("linear") or linked.kind in (
        *("conv2d, centre", "conv2d, norm"),
        "conv2d to linear",
    )
    assert (second.tensor_s_growth is first.tensor_s) == read_once
    close(second.tensor_s_growth(), expected(linked).s_growth)


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


def test_update_input_size_of_convolutions() -> None:
    found = pair("conv2d")
    assert found.second.update_input_size(compute_from_previous=True) is None
    assert found.first.update_input_size((2, 4, 5)) == (2, 4, 5)
    assert found.second.update_input_size(compute_from_previous=True) == (3, 4, 5)
    other = pair("conv1d")
    other.gather()
    assert other.first.update_input_size() == (2, 7)
    assert other.second.input_size == (3, 7)
    flat = pair("conv2d to linear")
    assert flat.second.update_input_size(compute_from_previous=True) == (18,)
