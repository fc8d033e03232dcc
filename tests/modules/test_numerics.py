"""Numbers that are hard: singular S, nothing to gain, half precision, few samples, NaN, no width, odd scales."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Linear, Parameter, Sequential, Tanh

from gromo_graph import GrowthScheduler
from gromo_graph.errors import GrowthError
from gromo_graph.modules import GrowingModule
from tests import reference
from tests.growth.problems import batches
from tests.growth.problems import chain as small_network
from tests.modules.dense import dense, omega_matrix, pulls_of, rows_of
from tests.modules.networks import many, problem
from tests.modules.pairs import F64, KINDS, Pair, pair

close = torch.testing.assert_close
F32 = torch.float32
# One of each kind of rows: features, features at positions, images, sequences, images read by features.
ROWS = (
    "linear",
    "linear, no bias",
    "linear, positions",
    "conv2d",
    "conv2d, no bias",
    "conv1d",
    "conv2d to linear",
)
EVERY_KIND = pytest.mark.parametrize("kind", sorted(KINDS))
EVERY_ROW = pytest.mark.parametrize("kind", ROWS)


def finite(*tensors: Tensor | None) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor is not None)


def cast(found: Pair, dtype: torch.dtype) -> Pair:
    found.net.to(dtype)
    found.x, found.y = found.x.to(dtype), found.y.to(dtype)
    return found


def gathered(found: Pair) -> Pair:
    """Statistics; in evaluation mode, so that norms do not learn from it."""
    found.net.eval()
    found.gather()
    return found


def solved(found: Pair, **options: object) -> GrowingModule:
    """The second module with everything it can find pending."""
    found.second.compute_optimal_updates(
        **{"dtype": F64, "statistical_threshold": 1e-9, "numerical_threshold": 0.0, **options}  # type: ignore[arg-type]
    )
    return found.second


def change(module: GrowingModule, x: Tensor) -> Tensor:
    """The effect of the pending delta on the layer's output: the same for every solution of a singular S."""
    with torch.no_grad():
        return module.optimal_delta_layer(x)


def products(found: Pair) -> Tensor:
    """Σ over the pending neurons of ω α, (out · readings, columns), whatever their order and sign."""
    second, first = found.second, found.first
    if second.extended_input_layer is None:
        return torch.zeros(())
    layer = first.extended_output_layer
    alpha = first.adapter.matrix(layer.weight, layer.bias).detach()
    return omega_matrix(found, second.extended_input_layer.weight.detach()) @ alpha


# Singular S.


def with_a_dead_unit(found: Pair) -> None:
    with torch.no_grad():
        for parameter in found.first.layer.parameters():
            parameter[0] = 0.0


def with_a_duplicated_unit(found: Pair) -> None:
    with torch.no_grad():
        for parameter in found.first.layer.parameters():
            parameter[1] = parameter[0]


def with_duplicated_inputs(found: Pair) -> None:
    dim = found.first.adapter.feature_dim
    found.x.select(dim, 1).copy_(found.x.select(dim, 0))


def with_few_samples(found: Pair) -> None:
    found.x, found.y = found.x[:1], found.y[:1]


CAUSES: dict[str, Callable[[Pair], None]] = {
    "dead unit": with_a_dead_unit,
    "duplicated unit": with_a_duplicated_unit,
    "duplicated inputs": with_duplicated_inputs,
    "few samples": with_few_samples,
}


@EVERY_ROW
@pytest.mark.parametrize("cause", ["dead unit", "duplicated unit", "few samples"])
def test_a_singular_s_gives_the_delta_of_the_pseudo_inverse(kind: str, cause: str) -> None:
    found = pair(kind)
    CAUSES[cause](found)
    gathered(found)
    second = found.second
    expected = dense(found, second.pre_activity.grad)
    assert torch.linalg.matrix_rank(expected.s, hermitian=True) < len(expected.s)
    _, _, decrease = second.compute_optimal_delta(dtype=F64)
    assert second.delta_solver == "eigh"
    delta = reference.delta(expected.s, expected.m)
    wanted = rows_of(second, second.input) @ delta.T
    close(pulls_of(second, change(second, second.input)), wanted, rtol=1e-6, atol=1e-8)
    close(decrease, torch.trace(expected.m @ delta), rtol=1e-6, atol=1e-10)
    assert decrease >= 0
    if cause == "dead unit":
        width = second.in_neurons // found.first.out_neurons
        assert not second.optimal_delta_layer.weight[:, :width].any()  # what is always zero is left alone


@EVERY_ROW
@pytest.mark.parametrize("cause", CAUSES)
def test_a_singular_s_of_the_producers_gives_the_neurons_of_the_pseudo_inverse(kind: str, cause: str) -> None:
    found = pair(kind)
    CAUSES[cause](found)
    gathered(found)
    second = found.second
    expected = dense(found, second.pre_activity.grad)
    second.compute_optimal_added_parameters(
        dtype=F64, statistical_threshold=0.0, numerical_threshold=0.0, use_projected_gradient=False
    )
    wanted = reference.neurons(expected.s_growth, -expected.m_prev)
    values = second.eigenvalues_extension
    close(values.square().sum(), wanted.values.square().sum(), rtol=1e-5, atol=1e-12)
    singular = cause == "duplicated inputs" or (cause == "few samples" and kind.startswith("linear"))
    assert not singular or second.extension_solver == "eigh"
    rows = rows_of(found.first, found.first.input).flatten(0, 1)
    # On the rows there are, the neurons do what those of the dense computation do.
    close(rows @ products(found).T, rows @ (wanted.omega @ wanted.alpha).T, rtol=1e-4, atol=1e-6)
    assert finite(products(found))


@EVERY_ROW
@pytest.mark.parametrize("cause", CAUSES)
def test_single_precision_of_a_singular_s_is_near_double(kind: str, cause: str) -> None:
    exact, single = pair(kind), pair(kind)
    for found in (exact, single):
        CAUSES[cause](found)
    solved(gathered(exact))
    second = solved(gathered(cast(single, F32)), dtype=F32, statistical_threshold=1e-4)
    layers = (second.optimal_delta_layer, second.extended_input_layer, single.first.extended_output_layer)
    assert finite(*(p for layer in layers if layer is not None for p in layer.parameters()))
    assert second.parameter_update_decrease >= 0
    close(
        float(second.parameter_update_decrease),
        float(exact.second.parameter_update_decrease),
        rtol=2e-2,
        atol=1e-4,
    )
    second.set_scaling_factor(0.1)
    predicted = single.predicted_output()
    second.apply_change()
    with torch.no_grad():
        close(single.net(single.x), predicted, rtol=1e-3, atol=1e-4)


# Nothing to gain.


@EVERY_KIND
@pytest.mark.parametrize("dtype", [F32, F64])
def test_without_a_gradient_nothing_is_found_and_nothing_changes(kind: str, dtype: torch.dtype) -> None:
    found = cast(pair(kind), dtype)
    with torch.no_grad():
        found.y = found.net(found.x).flatten(1)
    second = gathered(found).second
    assert not second.pre_activity.grad.any()
    second.compute_optimal_updates(dtype=dtype)
    assert not second.optimal_delta_layer.weight.any()
    assert second.parameter_update_decrease == 0
    assert second.extended_input_layer is None
    assert found.first.extended_output_layer is None
    assert second.eigenvalues_extension.shape == (0,)
    assert second.first_order_improvement == 0
    before = [p.detach().clone() for p in found.net.parameters()]
    second.set_scaling_factor(0.5)
    predicted = found.predicted_output()
    second.apply_change()
    assert finite(predicted)
    assert all(torch.equal(a, b) for a, b in zip(before, found.net.parameters(), strict=True))
    *_, omega, values = second.compute_optimal_added_parameters(criterion="gradmax", maximum_added_neurons=2)
    assert omega.shape[1] == len(values) == 0


def test_the_scheduler_finds_nothing_where_there_is_no_gradient() -> None:
    network = small_network()
    data = [(x, network(x).detach()) for x, _ in batches()]
    state = copy.deepcopy(network.state_dict())
    event = GrowthScheduler(network, torch.nn.functional.mse_loss).step(data, data)
    assert event.decision is None
    assert event.loss_after == event.loss_before == 0
    reasons = {candidate.target: candidate.reason for candidate in event.candidates}
    assert reasons["h1"] == reasons["h2"] == "no new neuron would lower the loss"
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@EVERY_ROW
def test_a_zero_input_leaves_the_bias_alone_to_be_changed(kind: str) -> None:
    found = pair(kind)
    found.x = torch.zeros_like(found.x)
    first = gathered(found).first
    weight, bias, decrease = first.compute_optimal_delta(dtype=F64)
    assert finite(weight, bias, decrease)
    assert not weight.any()
    assert (decrease > 0) == first.use_bias


# Half precision.


def halved(kind: str, dtype: torch.dtype) -> Pair:
    """In half precision, or skipped where torch has no such kernel on the CPU."""
    found = cast(pair(kind), dtype)
    try:
        with torch.no_grad():
            found.net(found.x)
        gathered(found)
    except RuntimeError as error:
        if "not implemented for" not in str(error):
            raise
        pytest.skip(str(error))
    return found


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@EVERY_KIND
def test_half_precision_is_measured_and_solved_in_single(kind: str, dtype: torch.dtype) -> None:
    found = halved(kind, dtype)
    # The same rounded weights and data, computed in double precision.
    exact = pair(kind)
    exact.net.load_state_dict(found.net.state_dict())
    exact.x, exact.y = found.x.double(), found.y.double()
    gathered(exact)
    coarse = 4 * torch.finfo(dtype).eps
    second, other = found.second, exact.second
    for half, double in (
        (second.tensor_s, other.tensor_s),
        (second.tensor_m, other.tensor_m),
        (second.tensor_s_growth, other.tensor_s_growth),
        (second.tensor_m_prev, other.tensor_m_prev),
        (second.cross_covariance, other.cross_covariance),
    ):
        assert half().dtype == F32
        assert relative(half(), double()) < coarse
    second.compute_optimal_updates(maximum_added_neurons=2)
    other.compute_optimal_updates(dtype=F64, maximum_added_neurons=2)
    weight, alpha = second.optimal_delta_layer.weight, found.first.extended_output_layer.weight
    assert {weight.dtype, alpha.dtype, second.eigenvalues_extension.dtype} == {dtype}
    assert second.delta_solver == second.extension_solver == "cholesky"
    assert relative(weight, other.optimal_delta_layer.weight) < 30 * coarse
    assert float(second.parameter_update_decrease) == pytest.approx(
        float(other.parameter_update_decrease), rel=10 * coarse
    )
    close(second.eigenvalues_extension.double(), other.eigenvalues_extension, rtol=10 * coarse, atol=0)
    second.set_scaling_factor(0.1)
    predicted = found.predicted_output()
    second.apply_change()
    with torch.no_grad():
        assert relative(found.net(found.x), predicted) < 2 * coarse
    assert {p.dtype for p in found.net.parameters()} == {dtype}


def relative(half: Tensor, double: Tensor) -> float:
    return float((half.detach().double() - double.detach()).norm() / double.detach().norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_in_half_precision_do_not_stop_growing(dtype: torch.dtype) -> None:
    """bfloat16 cannot count beyond 256: the constant's own second moment is the number of samples."""
    module = GrowingModule(Linear(3, 2).to(dtype), name="stem")
    module.init_computation()
    x = torch.ones(80, 3, dtype=dtype)
    for _ in range(20):
        module(x).sum().backward()
        module.update_computation()
    assert torch.equal(module.tensor_s.total, torch.full((4, 4), 1600.0))
    assert torch.equal(module.tensor_m.total, torch.full((4, 2), 1600.0))


def test_a_decrease_beyond_the_range_of_half_precision_is_not_infinite() -> None:
    """The loss is a sum over a batch in no unit in particular: 65,504 is soon passed."""
    found = cast(pair("linear"), torch.float16)
    found.y = found.y * 400
    second = gathered(found).second
    assert finite(second.tensor_m())
    *_, decrease = second.compute_optimal_delta()
    second.compute_optimal_added_parameters(maximum_added_neurons=2)
    assert finite(second.optimal_delta_layer.weight, second.extended_input_layer.weight)
    assert finite(torch.as_tensor(decrease), second.parameter_update_decrease, second.first_order_improvement)


def test_layers_in_single_precision_under_autocast() -> None:
    found = cast(pair("linear"), F32)
    for module in found.modules:
        module.init_computation()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = found.net(found.x)
        (out.float() - found.y).square().sum().backward()
    for module in found.modules:
        module.update_computation()
    second = solved(found, dtype=F32)
    exact = solved(gathered(pair("linear")))
    assert second.tensor_s().dtype == second.tensor_m().dtype == F32
    assert second.optimal_delta_layer.weight.dtype == F32
    assert relative(second.optimal_delta_layer.weight, exact.optimal_delta_layer.weight) < 0.1


# One sample.


@EVERY_KIND
def test_one_sample_is_enough(kind: str) -> None:
    found = gathered(pair(kind, rows=1))
    second = solved(found, statistical_threshold=1e-6)
    assert second.tensor_s.samples == 1
    assert finite(second.optimal_delta_layer.weight, products(found))
    second.set_scaling_factor(0.1)
    predicted = found.predicted_output()
    second.apply_change()
    with torch.no_grad():
        close(found.net(found.x), predicted)


# Numbers that are none.

CALLS: dict[str, Callable[[GrowingModule], object]] = {
    "updates": lambda m: m.compute_optimal_updates(),
    "tiny": lambda m: m.compute_optimal_added_parameters(use_projected_gradient=False),
    "gradmax": lambda m: m.compute_optimal_added_parameters(criterion="gradmax", maximum_added_neurons=2),
}
NOT_FINITE = pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])


def with_one(kind: str, where: str, value: float) -> Pair:
    """Statistics of data with one value that is not finite, among the inputs or among the targets."""
    found = pair(kind)
    (found.x if where == "activation" else found.y).view(-1)[0] = value
    return gathered(found)


@NOT_FINITE
@pytest.mark.parametrize("where", ["activation", "gradient"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["linear", "linear, merge", "conv2d", "conv2d to linear"])
def test_neurons_of_numbers_that_are_not_finite_are_refused_by_name(
    kind: str, call: str, where: str, value: float
) -> None:
    found = with_one(kind, where, value)
    with pytest.raises(GrowthError, match=r"second: \w+ holds NaN or infinite values.*look at the data"):
        CALLS[call](found.second)
    assert found.second.extended_input_layer is None
    assert found.first.extended_output_layer is None


@NOT_FINITE
@EVERY_ROW
def test_a_delta_of_numbers_that_are_not_finite_is_refused_by_name(kind: str, value: float) -> None:
    for where, name in (("activation", "first"), ("gradient", "second")):
        found = with_one(kind, where, value)
        module = found.first if name == "first" else found.second
        with pytest.raises(
            GrowthError, match=rf"{name}: [SM] holds NaN or infinite values.*look at the data"
        ):
            module.compute_optimal_delta()
        assert module.optimal_delta_layer is None
        assert module.parameter_update_decrease is None


def test_a_joint_delta_of_numbers_that_are_not_finite_names_the_merge() -> None:
    found = problem(many(2, 2))
    merge = found.network.unit("y")
    merge.init_computation()
    found.y[0, 0] = math.nan
    found.total(found.network(found.x)).backward()
    merge.update_computation()
    with pytest.raises(GrowthError, match="y: M holds NaN or infinite values"):
        merge.compute_optimal_delta()
    assert all(layer.optimal_delta_layer is None for layer in merge.joint_modules)


@pytest.mark.parametrize("criterion", ["tiny", "gradmax"])
def test_the_scheduler_names_the_layer_and_leaves_the_network_alone(criterion: str) -> None:
    """The loss itself is finite here; its derivative is not."""
    network = small_network(growth=f"{{criterion: {criterion}}}")
    state = copy.deepcopy(network.state_dict())

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().mean() + (0.0 * prediction).sqrt().sum()

    with pytest.raises(GrowthError, match=r"(h1|h2|y): \w holds NaN or infinite values"):
        GrowthScheduler(network, loss).step(batches(), batches())
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert network.training


def test_statistics_are_sound_again_after_starting_anew() -> None:
    found, other = pair("conv2d"), solved(gathered(pair("conv2d")))
    x = found.x
    found.x = torch.full_like(x, math.nan)
    gathered(found)
    found.x = x
    second = solved(gathered(found))
    assert torch.equal(second.optimal_delta_layer.weight, other.optimal_delta_layer.weight)


# Widths of 0 and 1.


def narrowed(kind: str, inputs: int, hidden: int, outputs: int) -> Pair:
    """A pair of these widths; torch's constructors refuse some of them, its operations do not."""
    template = pair(kind, rows=20)
    generator = torch.Generator().manual_seed(1)
    for module, (width_in, width_out) in zip(
        template.modules, ((inputs, hidden), (hidden, outputs)), strict=True
    ):
        shape = (width_out, width_in, *module.weight.shape[2:])
        module.layer.weight = Parameter(torch.randn(shape, generator=generator, dtype=F64))
        module.layer.bias = Parameter(torch.randn(width_out, generator=generator, dtype=F64))
        module.adapter.write_sizes(module.layer)
    template.x = torch.randn(20, inputs, *template.x.shape[2:], generator=generator, dtype=F64)
    with torch.no_grad():
        out = template.net(template.x).flatten(1)
    template.y = out + torch.randn(out.shape, generator=generator, dtype=F64)
    return template


@pytest.mark.parametrize(
    ("kind", "widths"),
    [
        *(("linear", widths) for widths in ((0, 3, 4), (5, 0, 4), (5, 3, 0), (0, 0, 4), (5, 0, 0))),
        # torch computes no convolution of no channels: 1 is the least there
        *((kind, widths) for kind in ("linear", "conv2d", "conv1d") for widths in ((1, 3, 4), (2, 1, 4), (2, 3, 1))),
        *((kind, (1, 1, 1)) for kind in ("linear", "conv2d", "conv1d")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("criterion", ["tiny", "gradmax", "random", "variance_transfer"])
def test_widths_of_nought_and_one(kind: str, widths: tuple[int, int, int], criterion: str) -> None:
    found = gathered(narrowed(kind, *widths))
    first, second = found.modules
    for module in found.modules:
        weight, bias, decrease = module.compute_optimal_delta(update=False, dtype=F64)
        assert weight.shape == module.weight.shape
        assert finite(weight, bias, decrease)
    second.compute_optimal_added_parameters(
        dtype=F64, criterion=criterion, maximum_added_neurons=2, statistical_threshold=1e-9,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    added = (
        0 if second.extended_input_layer is None else second.adapter.in_neurons(second.extended_input_layer)
    )
    second.set_scaling_factor(0.3)
    predicted = found.predicted_output()
    second.apply_change()
    assert (first.out_neurons, second.in_neurons) == (widths[1] + added, widths[1] + added)
    assert (first.in_neurons, second.out_neurons) == (widths[0], widths[2])
    with torch.no_grad():
        close(found.net(found.x), predicted)
    assert finite(predicted)
    if widths[1] <= 1 < widths[0] and widths[2] > 1:
        assert added == 2  # a bottleneck leaves something to gain


def test_created_extensions_and_targets_of_layers_without_width() -> None:
    found = narrowed("linear", 5, 0, 4)
    first, second = found.modules
    second.target_in_neurons = 3
    second.complete_growth({})
    assert first.out_neurons == second.in_neurons == 3
    assert finite(first.weight, second.weight)
    assert first.weight.any()
    assert second.weight.any()


# Scales.


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize("kind", ROWS)
def test_inputs_in_another_unit_give_the_same_growth(kind: str, scale: float, dtype: torch.dtype) -> None:
    """The first weights take the unit back, so the function is the same: so must be what is gained."""
    usual, other = (cast(in_unit(pair(kind), unit), dtype) for unit in (1.0, scale))
    for found in (usual, other):
        gathered(found).first.compute_optimal_delta(dtype=dtype)
        found.second.compute_optimal_updates(
            dtype=dtype, statistical_threshold=1e-4, numerical_threshold=0.0, maximum_added_neurons=3
        )
    rtol = 1e-3 if dtype == F32 else 1e-6
    assert other.first.delta_solver == usual.first.delta_solver == "cholesky"
    assert other.second.extension_solver == usual.second.extension_solver == "cholesky"
    close(other.first.parameter_update_decrease, usual.first.parameter_update_decrease, rtol=rtol, atol=0)
    changes = [change(each.first, each.x) for each in (other, usual)]
    close(*changes, rtol=rtol, atol=1e-2 * rtol * float(changes[1].abs().max()))
    close(other.second.eigenvalues_extension, usual.second.eigenvalues_extension, rtol=rtol, atol=1e-5)


def in_unit(found: Pair, unit: float) -> Pair:
    found.x *= unit
    found.first.layer.weight.data /= unit
    return found


@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize("cause", ["duplicated inputs", "few samples"])
@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_inputs_in_another_unit_give_the_same_growth_where_s_is_singular(
    kind: str, cause: str, scale: float
) -> None:
    """Inputs in a small unit are no rounding beside the constant of a bias, nor is the constant beside large ones."""
    found: list[Pair] = []
    for unit in (1.0, scale):
        each = pair(kind)
        CAUSES[cause](each)
        found.append(gathered(cast(in_unit(each, unit), F32)))
        each.first.compute_optimal_delta()
        each.second.compute_optimal_added_parameters(
            statistical_threshold=1e-4, numerical_threshold=0.0, use_projected_gradient=False
        )
    usual, other = found
    close(other.first.parameter_update_decrease, usual.first.parameter_update_decrease, rtol=2e-2, atol=0)
    gains = [each.second.eigenvalues_extension.square().sum() for each in (other, usual)]
    close(*gains, rtol=2e-2, atol=0)


@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize("kind", ["linear", "conv2d", "conv1d"])
def test_a_loss_in_another_unit_scales_what_is_solved(kind: str, scale: float) -> None:
    """δ and λ are linear in the gradient, the decrease is quadratic; the neurons are the same up to their length."""
    found = gathered(pair(kind))
    second = found.second
    other = pair(kind)
    for module in other.modules:
        module.init_computation()
    (scale * other.total_loss()).backward()
    for module in other.modules:
        module.update_computation()
    usual = solved(found, statistical_threshold=1e-6, maximum_added_neurons=2)
    scaled = solved(other, statistical_threshold=1e-6 * scale, maximum_added_neurons=2)
    close(scaled.optimal_delta_layer.weight / scale, usual.optimal_delta_layer.weight, rtol=1e-6, atol=1e-12)
    close(scaled.parameter_update_decrease / scale**2, usual.parameter_update_decrease, rtol=1e-6, atol=0)
    close(scaled.eigenvalues_extension / scale, usual.eigenvalues_extension, rtol=1e-6, atol=1e-12)
    close(products(other) / scale, products(found), rtol=1e-5, atol=1e-10)
    assert second.delta_solver == scaled.delta_solver


# Ridge.


@EVERY_ROW
@pytest.mark.parametrize("ridge", [1e-3, 0.5])
def test_the_ridge_is_relative_to_the_mean_of_the_diagonal(kind: str, ridge: float) -> None:
    found = gathered(pair(kind))
    second = found.second
    expected = dense(found, second.pre_activity.grad)
    shifted = [
        s + ridge * s.diagonal().mean() * torch.eye(len(s), dtype=F64)
        for s in (expected.s, expected.s_growth)
    ]
    weight, bias, decrease = second.compute_optimal_delta(dtype=F64, ridge=ridge)
    wanted = reference.delta(shifted[0], expected.m)
    close(second.adapter.matrix(weight, bias), wanted)
    close(decrease, torch.trace(expected.m @ wanted))
    *_, values = second.compute_optimal_added_parameters(
        dtype=F64, ridge=ridge, use_projected_gradient=False, statistical_threshold=0.0
    )
    neurons = reference.neurons(shifted[1], -expected.m_prev)
    close(values, neurons.values[: len(values)], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize("kind", ["linear, no bias", "conv2d, no bias"])
def test_the_ridge_has_the_unit_of_the_inputs(kind: str, scale: float) -> None:
    """Without a constant column S is scaled as a whole, and so is its ridge: nothing else changes."""
    usual, other = (cast(in_unit(pair(kind), unit), F64) for unit in (1.0, scale))
    decreases, gains = [], []
    for found in (usual, other):
        gathered(found)
        decreases.append(found.first.compute_optimal_delta(dtype=F64, ridge=0.1)[2])
        *_, values = found.second.compute_optimal_added_parameters(
            dtype=F64, ridge=0.1, numerical_threshold=0.0, use_projected_gradient=False
        )
        gains.append(values)
    close(*decreases, rtol=1e-9, atol=0)
    close(*gains, rtol=1e-9, atol=1e-12)
    close(change(usual.first, usual.x), change(other.first, other.x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_a_ridge_makes_a_singular_s_regular(kind: str, cause: str) -> None:
    found = pair(kind)
    CAUSES[cause](found)
    second = solved(gathered(found), ridge=0.1)
    assert second.delta_solver == second.extension_solver == "cholesky"
    assert finite(second.optimal_delta_layer.weight, products(found))


# Which way was taken is part of the result.


def test_the_solver_of_the_delta_can_be_read() -> None:
    found = gathered(pair("conv2d"))
    second = found.second
    assert second.delta_solver is None
    second.compute_optimal_delta(dtype=F64)
    assert second.delta_solver == "cholesky"
    second.compute_optimal_delta(dtype=F64, force_pseudo_inverse=True)
    assert second.delta_solver == "eigh"


@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_where_eigenvalues_do_not_converge_singular_values_are_taken(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = pair(kind)
    with_duplicated_inputs(found)
    with_a_dead_unit(found)
    second = solved(gathered(found))
    assert (second.delta_solver, second.extension_solver) == ("eigh", "eigh")
    expected = change(second, second.input), products(found)
    usual, calls = torch.linalg.eigh, []

    def fails_first(matrix: Tensor) -> object:
        calls.append(matrix)
        if len(calls) == 1:
            raise torch.linalg.LinAlgError("did not converge")
        return usual(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", fails_first)
    second.compute_optimal_delta(dtype=F64)
    assert second.delta_solver == "svd"
    close(change(second, second.input), expected[0], rtol=1e-6, atol=1e-9)
    calls.clear()
    second.compute_optimal_added_parameters(dtype=F64, statistical_threshold=1e-9, numerical_threshold=0.0)
    assert second.extension_solver == "svd"
    rows = rows_of(found.first, found.first.input).flatten(0, 1)
    close(rows @ products(found).T, rows @ expected[1].T, rtol=1e-5, atol=1e-7)


def test_few_neurons_of_a_wide_layer_are_found_by_iteration_and_the_result_says_so() -> None:
    generator = torch.Generator().manual_seed(0)
    first = GrowingModule(Linear(300, 4, dtype=F64), post_layer_function=Tanh(), name="first")
    second = GrowingModule(Linear(4, 280, dtype=F64), previous_module=first, name="second")
    net = Sequential(first, second)
    x = torch.randn(400, 300, generator=generator, dtype=F64)
    # A gradient of a few strong directions and much noise.
    mix = torch.randn(300, 8, generator=generator, dtype=F64) @ torch.randn(
        8, 280, generator=generator, dtype=F64
    )
    y = x @ mix + torch.randn(400, 280, generator=generator, dtype=F64)
    for module in net:
        module.init_computation()
    (net(x) - y).square().sum().backward()
    second.update_computation()

    def gain(maximum: int | None) -> Tensor:
        *_, values = second.compute_optimal_added_parameters(
            dtype=F64, maximum_added_neurons=maximum, use_projected_gradient=False, statistical_threshold=0.0
        )
        return values

    few = gain(6)
    assert (second.extension_solver, second.extension_decomposition) == ("cholesky", "leading")
    every = gain(None)
    assert second.extension_decomposition == "full"
    close(few.square().sum(), every[:6].square().sum(), rtol=2e-3, atol=0)
    gain(100)
    assert second.extension_decomposition == "full"  # too many for the iteration to pay


def test_what_was_drawn_was_not_solved() -> None:
    second = pair("conv2d").second
    for criterion in ("random", "variance_transfer"):
        *_, values = second.compute_optimal_added_parameters(criterion=criterion, maximum_added_neurons=2)
        assert second.extension_solver == "none"
        assert not values.any()
        assert second.eigenvalues_extension is None
