"""Misuse is refused with the module's name, what was found, what was expected, and what to do first."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from gromo_graph.errors import GrowthError
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from tests.modules.chains import chain

F64 = torch.float64


def fresh() -> GrowingModule:
    """The second of two layers, nothing measured."""
    return chain(5, 3, 4).modules[1]


def measured() -> GrowingModule:
    found = chain(5, 3, 4)
    found.gather()
    return found.modules[1]


def grown() -> GrowingModule:
    module = measured()
    module.compute_optimal_updates(dtype=F64)
    return module


def alone() -> GrowingModule:
    return GrowingModule(torch.nn.Linear(3, 4), name="layer1")


def forbidden() -> GrowingModule:
    module = fresh()
    module.allow_growing = False
    return module


def behind_a_merge() -> GrowingModule:
    """A module that cannot grow, because the merge also adds the network's input."""
    before = GrowingModule(torch.nn.Linear(2, 3))
    merge = MergeGrowingModule(name="join", previous_modules=[before], outside_features=3)
    return GrowingModule(torch.nn.Linear(3, 4), previous_module=merge, name="layer1")


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=F64)


OUTSIDE = r"layer1 cannot grow through join: join also reads a tensor that comes from no module"

CASES: list[tuple[str, Callable[[], GrowingModule], Callable[[GrowingModule], object], str]] = [
    (
        "delta before statistics",
        fresh,
        lambda m: m.compute_optimal_delta(),
        r"S of layer1 .*init_computation",
    ),
    ("updates before statistics", fresh, lambda m: m.compute_optimal_updates(), r"init_computation"),
    ("neurons before statistics", fresh, lambda m: m.tensor_n, r"layer1 .*compute_optimal_delta\(\) first"),
    (
        "goal before delta",
        measured,
        lambda m: m.projected_v_goal(m.input),
        r"compute_optimal_delta\(\) first",
    ),
    ("improvement before delta", measured, lambda m: m.first_order_improvement, r"compute_optimal_delta\(\)"),
    ("input before forward", fresh, lambda m: m.input, r"layer1 has stored no input: call init_computation"),
    ("pre-activity before forward", fresh, lambda m: m.pre_activity, r"no pre-activity: call init_comp"),
    ("update before forward", fresh, lambda m: m.update_computation(), r"before the forward pass"),
    (
        "neurons without previous",
        alone,
        lambda m: m.compute_optimal_added_parameters(),
        r"no previous module",
    ),
    ("extension without previous", alone, lambda m: m.create_layer_extensions(2), r"assign previous_module"),
    ("S growth without previous", alone, lambda m: m.tensor_s_growth, r"layer1 has no previous module"),
    ("derivative without previous", alone, lambda m: m.activation_gradient, r"layer1 has no previous module"),
    ("M_prev without previous", alone, lambda m: m.compute_m_prev_update(), r"layer1 has no previous module"),
    ("may not grow", forbidden, lambda m: m.create_layer_extensions(2), r"allow_growing=False"),
    (
        "may not grow, set",
        forbidden,
        lambda m: m.set_extension(zeros(1, 5), zeros(1), zeros(4, 1)),
        "may not",
    ),
    ("merge: updates", behind_a_merge, lambda m: m.compute_optimal_updates(), OUTSIDE),
    ("merge: neurons", behind_a_merge, lambda m: m.compute_optimal_added_parameters(), OUTSIDE),
    ("merge: create", behind_a_merge, lambda m: m.create_layer_extensions(2), OUTSIDE),
    ("merge: S growth", behind_a_merge, lambda m: m.tensor_s_growth, OUTSIDE),
    ("merge: C", behind_a_merge, lambda m: m.compute_cross_covariance_update(), OUTSIDE),
    (
        "size of alpha",
        fresh,
        lambda m: m.set_extension(zeros(2, 4), zeros(2), zeros(4, 2)),
        r"\(2, 4\).*\(2, 5\)",
    ),
    (
        "size of omega",
        fresh,
        lambda m: m.set_extension(zeros(2, 5), zeros(2), zeros(4, 3)),
        r"\(4, 3\).*\(4, 2\)",
    ),
    ("bias of alpha", fresh, lambda m: m.set_extension(zeros(2, 5), None, zeros(4, 2)), r"none for a bias"),
    (
        "size of the bias",
        fresh,
        lambda m: m.set_extension(zeros(2, 5), zeros(3), zeros(4, 2)),
        r"\(3,\).*\(2,\)",
    ),
    ("factor: text", fresh, lambda m: m.set_scaling_factor("1"), r"layer1: the scaling factor is '1'"),  # type: ignore[arg-type]
    ("factor: vector", fresh, lambda m: m.set_scaling_factor(torch.ones(2)), r"shape \(2,\)"),  # type: ignore[arg-type]
    ("factor: nan", fresh, lambda m: m.set_scaling_factor(math.nan), r"finite number"),
    ("factor: inf", grown, lambda m: m.apply_change(torch.tensor(math.inf)), r"one finite number"),
    (
        "no factor",
        grown,
        lambda m: m.apply_change(),
        r"layer1 has no scaling factor: call set_scaling_factor",
    ),
    ("size on applying", grown, lambda m: m.apply_change(1.0, extension_size=1), r"4 pending .* asked for 1"),
    ("size, nothing pending", fresh, lambda m: m.apply_change(1.0, extension_size=2), r"0 pending .* for 2"),
    ("no x_ext", grown, lambda m: m.extended_forward(zeros(2, 3)), r"an input extension and got no x_ext"),
    (
        "x_ext",
        fresh,
        lambda m: m.extended_forward(zeros(2, 3), zeros(2, 1)),
        r"no input extension .* an x_ext",
    ),
    (
        "normalization",
        grown,
        lambda m: m.normalize_optimal_updates(None, "other"),
        r"unknown normalization 'o",
    ),
    ("target std", grown, lambda m: m.normalize_optimal_updates(0.0), r"positive number"),
    ("init", fresh, lambda m: m.create_layer_extensions(2, output_extension_init="one"), r"unknown initial"),
    ("negative size", fresh, lambda m: m.create_layer_extensions(-1), r"layer1: .* -1: expected an int"),
    ("select nothing", grown, lambda m: m.sub_select_optimal_added_parameters(), r"expected keep_neurons or"),
    ("select early", fresh, lambda m: m.sub_select_optimal_added_parameters(1), r"no pending neurons"),
    ("select negative", grown, lambda m: m.sub_select_optimal_added_parameters(-1), r"keep_neurons is -1"),
    (
        "no zeros",
        grown,
        lambda m: m.sub_select_optimal_added_parameters(1, zeros_if_not_enough=True, zeros_fan_in=False),
        r"zeros_fan_in or zeros_fan_out",
    ),
    (
        "scale nothing",
        fresh,
        lambda m: m.scale_layer_extension(2.0, None, None),
        r"layer0, which layer1 reads, has no output",
    ),
    ("half a scale", grown, lambda m: m.scale_layer_extension(None, 2.0, None), r"expected scale, or both"),
    ("signs", grown, lambda m: m.scale_layer_extension(None, 2.0, -1.0), r"different signs"),
    ("in extension", fresh, lambda m: m.layer_in_extension(zeros(3, 1)), r"\(3, 1\): expected \(4, 1\)"),
    ("out extension", fresh, lambda m: m.layer_out_extension(zeros(1, 2), zeros(1)), r"expected \(1, 3\)"),
    ("out extension, bias", fresh, lambda m: m.layer_out_extension(zeros(1, 3)), r"a bias .* got none"),
    ("step", fresh, lambda m: m.parameter_step(zeros(4, 4)), r"\(4, 4\): expected \(4, 3\)"),
    ("layer without bias", fresh, lambda m: m.layer_of_tensor(zeros(1, 1)), r"force_bias=False"),
    (
        "add both",
        fresh,
        lambda m: m.add_parameters(added_in_features=1, added_out_features=1),
        r"exactly one",
    ),
    ("add nothing", fresh, lambda m: m.add_parameters(), r"exactly one"),
    ("target", fresh, lambda m: m.missing_neurons(), r"layer1 has no target width: give target_in_neurons"),
    ("method", fresh, lambda m: m.number_of_neurons_to_add("all"), r"unknown method 'all'"),
    ("steps", fresh, lambda m: m.number_of_neurons_to_add(number_of_growth_steps=0), r"at least 1"),
    ("input size", fresh, lambda m: m.update_input_size((7,)), r"layer1: .*\(7,\).*expected 3 features"),
    (
        "gradient shape",
        measured,
        lambda m: m.update_computation(zeros(80, 9)),
        r"layer1: .*expected 4 features",
    ),
    (
        "gradient rows",
        measured,
        lambda m: m.update_computation(zeros(9, 4)),
        r"layer1: .*same number of rows",
    ),
    (
        "weight gradient",
        measured,
        lambda m: m.update_computation(zeros(80, 4), zeros(3, 4), zeros(4)),
        r"layer1: .*\(3, 4\): expected \(4, 3\)",
    ),
    ("ridge", measured, lambda m: m.compute_optimal_delta(ridge=-1.0), r"layer1: the ridge is -1"),
]


@pytest.mark.parametrize(("make", "call", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_misuse(
    make: Callable[[], GrowingModule], call: Callable[[GrowingModule], object], message: str
) -> None:
    with pytest.raises(GrowthError, match=message):
        call(make())


def test_layers_and_options_that_are_not_known() -> None:
    with pytest.raises(
        GrowthError,
        match=r"type Bilinear cannot grow: expected one of Conv1d, Conv2d, Linear, or a layer that compile_network",
    ):
        GrowingModule(torch.nn.Bilinear(2, 2, 2))
    with pytest.raises(GrowthError, match="stem: growth_kernel is 'half'"):
        GrowingModule(torch.nn.Linear(2, 2), growth_kernel="half", name="stem")
    with pytest.raises(GrowthError, match=r"stem: the shape of S is \(2, 2\): expected \(3, 3\)"):
        GrowingModule(torch.nn.Linear(2, 2), (2, 2), name="stem")
    with pytest.raises(GrowthError, match=r"the shape of M is \(2, 2\): expected \(3, 2\)"):
        GrowingModule(torch.nn.Linear(2, 2), None, (2, 2))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_name_the_module(value: float) -> None:
    found = chain(5, 3, 4)
    found.x[0, 0] = value
    found.gather()
    with pytest.raises(GrowthError, match=r"layer0: . holds NaN or infinite"):
        found.modules[0].compute_optimal_delta()


def test_gradients_are_missing_without_backward() -> None:
    found = chain(5, 3, 4)
    for module in found.modules:
        module.init_computation()
    found.net(found.x)
    with pytest.raises(GrowthError, match=r"layer1 has no gradient .* call backward\(\)"):
        found.modules[1].update_computation()


def test_a_module_that_does_not_fit_is_left_as_it_was() -> None:
    module = grown()
    source = module.previous_module
    source.extended_output_layer = None
    before = module.weight, source.weight
    with pytest.raises(
        GrowthError, match=r"pending inputs \(layer1 4\) and pending outputs \(layer0 0\) differ"
    ):
        module.apply_change(1.0)
    assert module.weight is before[0]
    assert source.weight is before[1]


def test_foreign_previous_modules_are_refused() -> None:
    module = GrowingModule(torch.nn.Linear(3, 2), previous_module=torch.nn.ReLU(), name="odd")
    with pytest.raises(GrowthError, match="odd is a ReLU: expected a GrowingModule"):
        module.create_layer_extensions(1)


def test_operations_with_weights_of_their_own_are_refused_unless_known() -> None:
    class Slopes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.prelu(x, self.weight)

    first = GrowingModule(torch.nn.Linear(3, 4), post_layer_function=Slopes(), name="first")
    second = GrowingModule(torch.nn.Linear(4, 2), previous_module=first, name="second")
    with pytest.raises(GrowthError, match="Slopes of first: it has weights for each channel"):
        second.create_layer_extensions(1)
    first.post_layer_function = torch.nn.PReLU()  # one weight for all channels
    second.create_layer_extensions(1)
