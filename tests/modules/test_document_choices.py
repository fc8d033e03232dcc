"""The choices that the documented API leaves open, as docs/from_gromo.md tells them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import BatchNorm2d, Conv1d, Conv2d, Linear, MaxPool2d, ReLU, Sequential, Tanh

from gromo_graph.algebra.initialization import initialization
from gromo_graph.errors import GrowthError
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from tests.modules.chains import Chain, chain

F64 = torch.float64


def close(found: torch.Tensor, expected: torch.Tensor, rtol: float = 1e-9) -> None:
    torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-11)


def solved(*sizes: int) -> tuple[Chain, GrowingModule, GrowingModule]:
    """A chain with pending growth of two neurons and a delta."""
    found = chain(*sizes)
    found.gather()
    first, second = found.modules
    second.compute_optimal_updates(dtype=F64, maximum_added_neurons=2)
    return found, first, second


# A module without a previous one


def test_inputs_of_a_module_that_stands_alone_are_applied() -> None:
    module = GrowingModule(Linear(3, 2), name="alone")
    module.create_layer_in_extension(2)
    x, further = torch.randn(4, 3), torch.randn(4, 2)
    module.set_scaling_factor(0.5)
    expected, _ = module.extended_forward(x, further)
    module.apply_change(apply_previous=False, extension_size=2)
    torch.testing.assert_close(module(torch.cat((x, further), dim=1)), expected)
    module.apply_change(apply_previous=False)  # what has been applied is not applied again
    assert module.in_neurons == 5
    module.delete_update(include_previous=False)
    assert module.extended_input_layer is None


def test_inputs_of_a_module_that_stands_alone_are_checked() -> None:
    module = GrowingModule(Linear(3, 2), name="alone")
    module.create_layer_in_extension(2)
    with pytest.raises(GrowthError, match="alone has no scaling factor"):
        module.apply_change(apply_previous=False)
    with pytest.raises(GrowthError, match="alone has 2 pending neurons and apply_change was asked for 3"):
        module.apply_change(1.0, apply_previous=False, extension_size=3)
    with pytest.raises(GrowthError, match="alone has no previous module"):
        module.apply_change(1.0)
    assert module.in_neurons == 3


@pytest.mark.parametrize("zeros", [False, True])
def test_inputs_of_a_module_that_stands_alone_are_selected(zeros: bool) -> None:
    module = GrowingModule(Conv2d(3, 2, 3), name="alone")
    module.create_layer_in_extension(3)
    assert module.extended_input_layer is not None
    weight = module.extended_input_layer.weight.clone()
    module.eigenvalues_extension = torch.tensor([3.0, 2.0, 1.0])
    module.sub_select_optimal_added_parameters(
        threshold=1.5, sub_select_previous=False, zeros_if_not_enough=zeros, zeros_fan_out=True
    )
    kept = module.extended_input_layer.weight
    assert torch.equal(kept[:, :2], weight[:, :2])
    assert kept.shape[1] == (3 if zeros else 2)
    assert not kept[:, 2:].any()


# Scaling factors


def test_factors_apart_are_applied_as_predicted() -> None:
    found, first, second = solved(5, 3, 4)
    second.set_scaling_factors(
        optimal_delta_scaling=0.3, input_extension_scaling=-0.5, output_extension_scaling=0.25
    )
    parts = second.optimal_delta_scaling, second.input_extension_scaling, first.output_extension_scaling
    assert [round(float(part), 6) for part in parts] == [0.3, -0.5, 0.25]
    expected = found.predicted_output()
    weight, delta = second.weight.detach().clone(), second.optimal_delta_layer
    alpha, omega = first.extended_output_layer, second.extended_input_layer
    assert delta is not None
    assert alpha is not None
    assert omega is not None
    alpha_weight, omega_weight = alpha.weight.clone(), omega.weight.clone()
    second.apply_change()
    close(found.net(found.x), expected)
    close(second.weight[:, :3], weight - 0.3 * delta.weight[:, :3])
    close(second.weight[:, 3:], -0.5 * omega_weight)
    close(first.weight[3:], 0.25 * alpha_weight)


@pytest.mark.parametrize("part", ["optimal_delta", "input_extension", "output_extension"])
def test_slopes_of_factors_apart_are_those_of_the_loss(part: str) -> None:
    """The gradient of a factor, against a central difference."""
    found, _, second = solved(4, 3, 2)
    apart = {f"{name}_scaling": 0.2 for name in ("optimal_delta", "input_extension", "output_extension")}

    def loss() -> torch.Tensor:
        h, further = found.x, None
        for module in found.modules:
            h, further = module.extended_forward(h, further)
        return (h - found.y).square().sum()

    ends = []
    for shift in (1e-6, -1e-6):
        second.set_scaling_factors(**{**apart, f"{part}_scaling": 0.2 + shift})  # type: ignore[arg-type]
        ends.append(float(loss().detach()))
    factor = torch.tensor(0.2, dtype=F64, requires_grad=True)
    second.set_scaling_factors(**{**apart, f"{part}_scaling": factor})  # type: ignore[arg-type]
    loss().backward()
    assert factor.grad is not None
    assert float(factor.grad) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


def test_one_factor_sets_all_again() -> None:
    _, first, second = solved(5, 3, 4)
    second.set_scaling_factor(2.0)
    second.set_scaling_factors(optimal_delta_scaling=0.0)
    assert (float(second.optimal_delta_scaling), float(first.output_extension_scaling)) == (0.0, 2.0)
    second.set_scaling_factor(0.5)
    assert float(second.optimal_delta_scaling) == 0.25
    second.set_scaling_factors(input_extension_scaling=3.0)  # the delta keeps the factor that it had
    assert float(second.optimal_delta_scaling) == 0.25
    second.delete_update()
    assert float(second.optimal_delta_scaling) == float(first.output_extension_scaling) == 0.0


def test_a_fan_out_of_zero_changes_no_output() -> None:
    found, first, second = solved(5, 3, 4)
    before = found.net(found.x).detach()
    second.apply_change(
        apply_delta=False, scaling_factor=1.0, input_extension_scaling=0.0, output_extension_scaling=2.0
    )
    assert (first.out_neurons, second.in_neurons) == (5, 5)
    close(found.net(found.x), before)
    assert bool(first.weight[3:].any())


def test_the_factor_of_a_delta_alone() -> None:
    _, _, second = solved(5, 3, 4)
    weight, delta = second.weight.detach().clone(), second.optimal_delta_layer
    assert delta is not None
    second.apply_change(apply_extension=False, optimal_delta_scaling=0.5)
    close(second.weight, weight - 0.5 * delta.weight)


def test_factors_apart_go_through_a_merge_and_a_norm() -> None:
    """Channels that a batch norm sees are measured at the factor of the output extension."""
    torch.manual_seed(0)
    first = GrowingModule(Conv2d(2, 3, 3, padding=1), name="first")
    join = MergeGrowingModule(Sequential(BatchNorm2d(3), ReLU()), previous_modules=[first], name="join")
    second = GrowingModule(Conv2d(3, 2, 3, padding=1), previous_module=join, name="second")
    join.set_next_modules([second])
    first.next_module = join
    for module in (first, join, second):
        module.double().eval()
    x = torch.randn(6, 2, 4, 4, dtype=F64)
    second.create_layer_extensions(2)
    second.set_scaling_factor(0.7)
    second.set_scaling_factors(output_extension_scaling=-1.3)
    pairs = join.extended_forward(first.extended_forward(x))
    expected, _ = second.extended_forward(*pairs)
    second.apply_change()
    torch.testing.assert_close(second(join(first(x))), expected, rtol=1e-6, atol=1e-8)


def test_the_gradient_of_a_factor_is_on_the_factor() -> None:
    found, _, second = solved(5, 3, 4)
    second.set_scaling_factor(0.5)
    second.scaling_factor.requires_grad_()
    h, further = found.x, None
    for module in found.modules:
        h, further = module.extended_forward(h, further)
    h.square().sum().backward()
    assert second.scaling_factor.grad is not None
    given = torch.tensor([0.5], requires_grad=True)
    second.set_scaling_factor(given)
    assert second.scaling_factor is given


# Sizes and biases


def test_a_bias_that_a_layer_does_not_need_is_left_out() -> None:
    module = GrowingModule(Linear(3, 2, bias=False))
    module.layer_out_extension(torch.ones(1, 3), torch.ones(1))
    assert (module.out_neurons, module.bias) == (3, None)


@pytest.mark.parametrize(
    ("layer", "given", "expected"),
    [
        (Conv2d(3, 2, 3), (8, 9), (3, 8, 9)),
        (Conv2d(3, 2, 3), (3, 8, 9), (3, 8, 9)),
        (Conv1d(3, 2, 3), (8,), (3, 8)),
        (Linear(3, 2), (3,), (3,)),
    ],
)
def test_input_sizes_with_and_without_channels(
    layer: torch.nn.Module, given: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    module = GrowingModule(layer)
    assert module.update_input_size(given) == expected
    assert module.input_size == expected


def test_a_size_that_is_not_used() -> None:
    """With a size of its own on each side, the size of the extension says nothing."""
    first = GrowingModule(Linear(3, 2))
    second = GrowingModule(Linear(2, 2), previous_module=first)
    second.create_layer_extensions(7, output_extension_size=3, input_extension_size=3)
    second.apply_change(1.0)
    assert (first.out_neurons, second.in_neurons) == (5, 5)


def test_a_threshold_above_every_value_keeps_no_neuron() -> None:
    found = chain(5, 3, 4)
    found.gather()
    _, second = found.modules
    second.compute_optimal_delta(dtype=F64)
    alpha, _, omega, values = second.compute_optimal_added_parameters(dtype=F64, statistical_threshold=1e9)
    assert (len(alpha), omega.shape[1], len(values)) == (0, 0, 0)
    assert second.extended_input_layer is None
    assert float(second.first_order_improvement) == float(second.parameter_update_decrease)


# Beginning with nothing


def hidden(kind: str) -> tuple[GrowingModule, GrowingModule, torch.Tensor]:
    """Two layers with no channels between them."""
    torch.manual_seed(1)
    layers, x = {
        "linear": ((Linear(4, 0), Linear(0, 3)), torch.randn(40, 4)),
        "conv1d": ((Conv1d(2, 0, 3, padding=1), Conv1d(0, 3, 2)), torch.randn(40, 2, 6)),
        "conv2d": ((Conv2d(2, 0, 3), Conv2d(0, 3, 3, stride=2, bias=False)), torch.randn(40, 2, 7, 6)),
    }[kind]
    first = GrowingModule(layers[0].double(), post_layer_function=Tanh(), name="first")
    second = GrowingModule(layers[1].double(), previous_module=first, name="second")
    return first, second, x.double()


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("kind", ["linear", "conv1d", "conv2d"])
def test_layers_grow_from_no_channels(kind: str) -> None:
    first, second, x = hidden(kind)
    target = torch.randn(second(first(x)).shape, dtype=F64)

    def loss() -> torch.Tensor:
        return (second(first(x)) - target).square().sum()

    for module in (first, second):
        module.init_computation()
    loss().backward()
    for module in (first, second):
        module.update_computation()
    second.compute_optimal_updates(dtype=F64, use_projected_gradient=False, maximum_added_neurons=2)
    slope = float(second.first_order_improvement)
    before = loss().item()
    second.apply_change(1e-4)
    assert (first.out_neurons, second.in_neurons) == (2, 2)
    found = (before - loss().item()) / len(x) / 1e-8
    assert slope > 0.0
    assert found == pytest.approx(slope, rel=1e-3)  # identity slope of tanh at 0


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("function", [ReLU, lambda: Sequential(BatchNorm2d(0), ReLU(), MaxPool2d(1))])
def test_a_residual_block_begins_with_no_channels(function: type[torch.nn.Module]) -> None:
    torch.manual_seed(2)
    stem = GrowingModule(Conv2d(2, 3, 3, padding=1), name="stem")
    fork = MergeGrowingModule(previous_modules=[stem], name="fork")
    first = GrowingModule(Conv2d(3, 0, 3, padding=1), post_layer_function=function(), name="first")
    second = GrowingModule(Conv2d(0, 3, 3, padding=1, bias=False), previous_module=first, name="second")
    join = MergeGrowingModule(name="join")
    stem.next_module, first.previous_module, first.next_module = fork, fork, second
    join.set_previous_modules([fork, second])
    fork.set_next_modules([first, join])
    second.next_module = join

    def output(x: torch.Tensor) -> torch.Tensor:
        around = fork(stem(x))
        return join(around, second(first(around)))

    x = torch.randn(5, 2, 4, 4)
    torch.testing.assert_close(output(x), stem(x))
    second.create_layer_extensions(4)
    second.set_scaling_factor(0.5)
    around = fork(stem(x))
    expected, _ = join.extended_forward(
        (around, None), second.extended_forward(*first.extended_forward(around))
    )
    second.apply_change()
    assert (first.out_neurons, second.in_neurons) == (4, 4)
    first.post_layer_function.eval()
    torch.testing.assert_close(output(x), expected, rtol=1e-3, atol=1e-4)


# First values and normalisations


@pytest.mark.parametrize("name", ["copy_variance", "copy_normal"])
def test_copies_have_the_spread_of_the_reference(name: str) -> None:
    torch.manual_seed(0)
    reference = torch.randn(400, 400) * 0.03
    assert float(initialization(name)((300, 300), reference, 400).std()) == pytest.approx(0.03, rel=0.02)


@pytest.mark.parametrize("name", ["kaiming_uniform", "kaiming_normal"])
def test_kaiming_has_the_variance_of_relu(name: str) -> None:
    torch.manual_seed(0)
    found = initialization(name)((300, 300), torch.zeros(1), 50)
    assert float(found.var()) == pytest.approx(2 / 50, rel=0.03)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3, 3)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    matrix = initialization("orthogonal")(shape, torch.zeros(1, dtype=F64), 5).flatten(1)
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    close(gram, torch.eye(len(gram), dtype=F64))


def test_equal_spread_is_offered_beside_the_documented_bounds() -> None:
    """On a layer of 400 with torch's first values the documented bounds give over three times its spread."""
    torch.manual_seed(0)
    module = GrowingModule(Linear(400, 400))
    found = torch.empty(400, 400)
    module.copy_uniform_initialization(found, module.weight, 400)
    assert float(found.abs().max()) <= module.weight.std().sqrt().item()
    assert (found.std() / module.weight.std()).item() == pytest.approx(3.4, abs=0.1)
    module.copy_uniform_initialization(found, module.weight, 400, equal_std=True)
    assert (found.std() / module.weight.std()).item() == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(
    "name", ["copy_normal", "copy_variance", "kaiming_normal", "kaiming_uniform", "orthogonal"]
)
def test_extensions_are_created_by_every_law(name: str) -> None:
    first = GrowingModule(Conv2d(2, 3, 3, padding=1))
    second = GrowingModule(Conv2d(3, 2, 3, padding=1), previous_module=first)
    second.create_layer_extensions(4, output_extension_init=name, input_extension_init=name)
    second.apply_change(1.0)
    assert bool(torch.isfinite(second.weight).all())
    assert bool(first.weight[3:].any())


def test_each_part_takes_the_spread_of_the_layer_it_extends() -> None:
    _, first, second = solved(6, 4, 5)
    second.normalize_optimal_updates(normalization_type="match_extending_layer")
    assert second.optimal_delta_layer is not None
    assert second.extended_input_layer is not None
    assert first.extended_output_layer is not None
    for pending, layer in (
        (second.optimal_delta_layer, second),
        (second.extended_input_layer, second),
        (first.extended_output_layer, first),
    ):
        close(pending.weight.std(), layer.weight.std())


def test_columns_take_the_mean_norm_of_the_layer() -> None:
    _, first, second = solved(6, 4, 5)
    assert second.extended_input_layer is not None
    assert first.extended_output_layer is not None
    assert second.eigenvalues_extension is not None
    alpha, omega = first.extended_output_layer.weight.clone(), second.extended_input_layer.weight.clone()
    values = second.eigenvalues_extension.clone()
    second.normalize_optimal_updates(normalization_type="gradmax_normalization", gradmax_scale=0.5)
    target = 0.5 * second.weight.norm(dim=0).mean()
    factors = target / omega.norm(dim=0)
    close(second.extended_input_layer.weight, omega * factors)
    close(second.eigenvalues_extension, values * factors.sqrt())
    assert torch.equal(first.extended_output_layer.weight, alpha)


def test_columns_need_a_norm_to_take() -> None:
    module = GrowingModule(Linear(2, 2), name="bare")
    with pytest.raises(GrowthError, match="bare has 2 inputs and no pending input extension"):
        module.normalize_optimal_updates(normalization_type="gradmax_normalization")
    module.create_layer_in_extension(1)
    with pytest.raises(GrowthError, match="bare: gradmax_scale is 0: expected a positive number"):
        module.normalize_optimal_updates(normalization_type="gradmax_normalization", gradmax_scale=0)


def test_the_improvement_of_each_neuron() -> None:
    _, _, second = solved(6, 4, 5)
    assert second.eigenvalues_extension is not None
    found = second.improvement_of_neurons
    close(found, second.eigenvalues_extension**2)  # nothing bends on the way
    close(found.sum() + second.parameter_update_decrease, second.first_order_improvement)
    second.delete_update()
    assert second.improvement_of_neurons.shape == (0,)
