"""Growth as a whole: what is predicted is what happens, for outputs and for slopes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph.algebra import signed_slopes, slope_parts, tangent_of
from gromo_graph.modules import GrowingModule
from tests import reference
from tests.modules.chains import ACTIVATIONS, Chain, chain

F64 = torch.float64


def solved(found: Chain) -> Chain:
    """With optimal pending growth in every module."""
    found.gather()
    for module in found.modules:
        module.compute_optimal_updates(dtype=F64)
    return found


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("factor", [0.4, -0.4])
def test_forward_after_growth_is_what_extended_forward_predicted(activation: str, factor: float) -> None:
    for order in (slice(None), slice(None, None, -1)):
        found = solved(chain(5, 3, 4, 2, activation=activation))
        for module in found.modules:
            module.set_scaling_factor(factor)
        predicted = found.predicted_output()
        for module in found.modules[order]:  # all layers at once, in either order
            module.apply_change()
        assert found.modules[1].in_neurons > 3
        if activation != "identity":  # two linear layers in a row leave nothing to gain between them
            assert found.modules[1].out_neurons > 4
        torch.testing.assert_close(found.net(found.x), predicted)


@settings(max_examples=12)
@given(
    widths=st.lists(st.integers(1, 5), min_size=3, max_size=5),
    bias=st.booleans(),
    rows=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_any_chain_grows_as_predicted(widths: list[int], bias: bool, rows: int, seed: int) -> None:
    found = solved(chain(*widths, bias=bias, rows=rows, seed=seed, activation="relu"))
    for module in found.modules:
        module.set_scaling_factor(0.1)
    predicted = found.predicted_output()
    for module in found.modules:
        module.apply_change()
        module.delete_update()
    torch.testing.assert_close(found.net(found.x), predicted)


def test_leading_dimensions_are_rows_and_samples_are_the_first() -> None:
    found = chain(5, 3, 4)
    found.x, found.y = found.x.reshape(20, 2, 2, 5), found.y.reshape(20, 2, 2, 4)
    flat = chain(5, 3, 4)
    solved(found)
    solved(flat)
    second, other = found.modules[1], flat.modules[1]
    assert second.tensor_s.samples == 20
    torch.testing.assert_close(second.tensor_s(), 4 * other.tensor_s())
    torch.testing.assert_close(second.optimal_delta_layer.weight, other.optimal_delta_layer.weight)
    assert second.input_extended.shape == (20, 2, 2, 4)
    second.set_scaling_factor(0.3)
    predicted = found.predicted_output()
    second.apply_change()
    torch.testing.assert_close(found.net(found.x), predicted)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slope_of_the_delta_is_the_predicted_decrease(activation: str) -> None:
    found = chain(5, 3, 4, activation=activation)
    found.gather()
    for module in found.modules:
        decrease = module.compute_optimal_delta(dtype=F64)[2]

        def loss(gamma: float, module: GrowingModule = module) -> float:
            module.set_scaling_factor(gamma**0.5)
            with torch.no_grad():
                out = found.x
                for each in found.modules:
                    out = each.extended_forward(out)[0]
            return float((out - found.y).square().sum()) / found.x.shape[0]

        assert reference.finite_difference(loss, 1e-6) == pytest.approx(float(decrease), rel=2e-4)
        module.delete_update()


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"sigmoid", "softplus"}))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_exact_slope_of_new_neurons_is_the_finite_difference(activation: str, sign: float) -> None:
    found = chain(5, 3, 4, activation=activation)
    found.gather()
    first, second = found.modules
    second.compute_optimal_delta(dtype=F64)
    g = second.pre_activity.grad
    rows = first.input_extended
    alpha_weight, alpha_bias, omega, _ = second.compute_optimal_added_parameters(dtype=F64)
    alpha = torch.cat((alpha_weight, alpha_bias[:, None]), dim=1)
    slopes = signed_slopes(
        slope_parts(rows @ alpha.T, g @ omega), tangent_of(first.post_layer_function), rows.shape[0]
    )
    exact = float((slopes.kept if sign > 0 else slopes.flipped).sum())

    def loss(gamma: float) -> float:
        second.set_scaling_factor(sign * gamma**0.5)
        with torch.no_grad():
            h, further = first.extended_forward(found.x)
            out, _ = second.extended_forward(h, further, use_optimal_delta=False)
        return float((out - found.y).square().sum()) / found.x.shape[0]

    # One-sided curvature makes an error of order √γ, so γ is small.
    assert reference.finite_difference(loss, 1e-8) == pytest.approx(exact, rel=2e-4)


def test_first_order_improvement_of_a_smooth_network_is_its_slope_on_the_projected_gradient() -> None:
    # With δ = 0 (an optimum of the layer's own weights) nothing is projected and the promise is exact.
    found = chain(5, 3, 4)
    second = found.modules[1]
    with torch.no_grad():
        h = found.modules[0](found.x)
        b = torch.cat((h, torch.ones(len(h), 1, dtype=F64)), dim=1)
        best = torch.linalg.lstsq(b, found.y).solution
        second.weight.copy_(best[:-1].T)
        second.bias.copy_(best[-1])
    found.gather()
    second.compute_optimal_updates(dtype=F64)
    promised = float(second.first_order_improvement)
    before = found.mean_loss()
    second.apply_change(scaling_factor=1e-3)
    assert (before - found.mean_loss()) / 1e-6 == pytest.approx(promised, rel=1e-4)


def test_several_batches_are_one_sample() -> None:
    whole, parts = chain(5, 3, 4), chain(5, 3, 4)
    whole.gather()
    x, y = parts.x, parts.y
    for module in parts.modules:
        module.init_computation()
    for piece in (slice(0, 30), slice(30, 50), slice(50, 80)):
        parts.x, parts.y = x[piece], y[piece]
        parts.total_loss().backward()
        for module in parts.modules:
            module.update_computation()
    for one, two in zip(whole.modules, parts.modules, strict=True):
        torch.testing.assert_close(one.tensor_s(), two.tensor_s())
        torch.testing.assert_close(one.tensor_m(), two.tensor_m())
        assert two.tensor_s.samples == 80
    torch.testing.assert_close(whole.modules[1].tensor_m_prev(), parts.modules[1].tensor_m_prev())
    torch.testing.assert_close(whole.modules[1].cross_covariance(), parts.modules[1].cross_covariance())


@pytest.mark.parametrize("bias", [True, False])
def test_m_is_free_where_the_gradients_of_the_parameters_are_at_hand(bias: bool) -> None:
    usual, free = chain(5, 3, 4, bias=bias), chain(5, 3, 4, bias=bias)
    usual.gather()
    for module in free.modules:
        module.init_computation()
    loss = free.total_loss()
    pre = [module.pre_activity for module in free.modules]
    weights = [module.weight for module in free.modules]
    biases = [module.bias for module in free.modules if module.use_bias]
    found = torch.autograd.grad(loss, [*pre, *weights, *biases])
    for place, module in enumerate(free.modules):
        module.update_computation(found[place], found[2 + place], found[4 + place] if bias else None)
    for one, two in zip(usual.modules, free.modules, strict=True):
        torch.testing.assert_close(one.tensor_m(), two.tensor_m())
        assert two.weight.grad is None
    torch.testing.assert_close(usual.modules[1].tensor_m_prev(), free.modules[1].tensor_m_prev())
    free.modules[1].compute_optimal_delta(dtype=F64)
    assert free.modules[1].projected_v_goal(free.modules[1].input).shape == (80, 4)


def test_only_one_module_needs_to_be_asked() -> None:
    found = chain(5, 3, 4)
    first, second = found.modules
    second.init_computation()
    found.total_loss().backward()
    second.update_computation()
    both = chain(5, 3, 4)
    both.gather()
    torch.testing.assert_close(second.tensor_s_growth(), both.modules[1].tensor_s_growth())
    assert first.tensor_s.samples == both.modules[0].tensor_s.samples == 80  # counted once, not twice
    second.reset_computation()
    assert first.capture.input is None
    found.net(found.x)
    assert first.capture.input is None


def test_set_extension_puts_chosen_neurons() -> None:
    for bias in (True, False):
        found = chain(5, 3, 4, bias=bias)
        first, second = found.modules
        alpha, omega = torch.randn(2, 5, dtype=F64), torch.randn(4, 2, dtype=F64)
        alpha_bias = torch.randn(2, dtype=F64) if bias else None
        values = torch.tensor([2.0, 1.0], dtype=F64)
        second.set_extension(alpha, alpha_bias, omega, values)
        alpha += 1
        values += 1  # copied: the caller may go on with them
        assert second.eigenvalues_extension.tolist() == [2.0, 1.0]
        second.set_scaling_factor(0.5)
        predicted = found.predicted_output()
        second.apply_change()
        torch.testing.assert_close(found.net(found.x), predicted)
        torch.testing.assert_close(first.weight[3:], 0.5 * (alpha - 1))


def test_scaling_factor_of_zero_or_nothing_pending_changes_nothing() -> None:
    found = solved(chain(5, 3, 4))
    first, second = found.modules
    before = second.weight, first.weight, found.net(found.x)
    second.apply_change(scaling_factor=0.0)
    assert second.weight is before[0]
    assert first.weight is before[1]
    assert torch.equal(found.net(found.x), before[2])
    second.delete_update()
    second.apply_change(scaling_factor=1.0)
    second.apply_change()
    assert second.weight is before[0]


def test_no_neuron_worth_adding_leaves_the_parameters_alone() -> None:
    found = chain(5, 3, 4)
    found.gather()
    first, second = found.modules
    second.compute_optimal_updates(dtype=F64, maximum_added_neurons=0)
    weight = first.weight
    second.set_scaling_factor(0.5)
    predicted = found.predicted_output()
    second.apply_change()
    assert first.weight is weight
    assert second.in_neurons == 3
    torch.testing.assert_close(found.net(found.x), predicted)


def test_what_is_pending_stays_until_it_is_deleted() -> None:
    found = solved(chain(5, 3, 4))
    second = found.modules[1]
    second.apply_change(scaling_factor=0.5)
    assert second.extended_input_layer is not None
    assert second.optimal_delta_layer is not None
    second.delete_update()
    h, _ = found.modules[0].extended_forward(found.x)
    torch.testing.assert_close(second.extended_forward(h)[0], found.net(found.x))


def test_gradient_flows_into_the_scaling_factor() -> None:
    found = solved(chain(5, 3, 4))
    first, second = found.modules
    s = torch.tensor(0.1, dtype=F64, requires_grad=True)
    second.set_scaling_factor(s)
    out, _ = second.extended_forward(*first.extended_forward(found.x))
    out.sum().backward()
    assert s.grad is not None
    second.apply_change()
    assert not second.weight.grad_fn


def test_frozen_and_trained_parameters_keep_what_they_are() -> None:
    found = solved(chain(5, 3, 4))
    first, second = found.modules
    first.layer.requires_grad_(False)
    old = second.weight, first.bias
    second.apply_change(scaling_factor=0.5)
    assert not first.weight.requires_grad
    assert second.weight.requires_grad
    assert isinstance(second.weight, torch.nn.Parameter)
    assert second.weight is not old[0]
    assert torch.equal(first.bias[:3], old[1])


def test_frozen_layers_can_be_measured() -> None:
    found = chain(5, 3, 4)
    usual = chain(5, 3, 4)
    usual.gather()
    for module in found.modules:
        module.layer.requires_grad_(False)
    found.gather()
    torch.testing.assert_close(found.modules[1].tensor_m(), usual.modules[1].tensor_m())
    torch.testing.assert_close(found.modules[0].tensor_m(), usual.modules[0].tensor_m())


def test_an_activation_in_place_does_not_spoil_what_is_stored() -> None:
    usual, in_place = (chain(5, 3, 4, activation="relu") for _ in range(2))
    in_place.modules[0].post_layer_function = torch.nn.ReLU(inplace=True)
    usual.gather()
    in_place.gather()
    torch.testing.assert_close(in_place.modules[0].pre_activity, usual.modules[0].pre_activity)
    torch.testing.assert_close(in_place.modules[0].tensor_m(), usual.modules[0].tensor_m())


def test_widths_of_nought_and_one() -> None:
    first = GrowingModule(torch.nn.utils.skip_init(torch.nn.Linear, 3, 1, dtype=F64), name="first")
    second = GrowingModule(torch.nn.Linear(1, 2, dtype=F64), previous_module=first, name="second")
    with torch.no_grad():
        first.weight.zero_()
        first.bias.zero_()
    second.layer.weight = torch.nn.Parameter(second.weight[:, :0].detach())
    first.layer.weight = torch.nn.Parameter(first.weight[:0].detach())
    first.layer.bias = torch.nn.Parameter(first.bias[:0].detach())
    x = torch.randn(9, 3, dtype=F64)
    for module in (first, second):
        module.init_computation()
    (second(first(x)) - torch.sin(x[:, :2])).square().sum().backward()
    second.update_computation()
    second.compute_optimal_updates(dtype=F64)
    second.apply_change(scaling_factor=0.1)
    assert first.out_neurons == second.in_neurons == 2
    assert second(first(x)).shape == (9, 2)
