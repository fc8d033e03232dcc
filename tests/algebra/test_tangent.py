from __future__ import annotations

import pytest
import torch

from gromo_graph.algebra import Tangent, tangent_of
from gromo_graph.errors import GrowthError

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@pytest.mark.parametrize(
    ("function", "value", "left", "right"),
    [
        (torch.nn.Identity(), 0.0, 1.0, 1.0),
        (torch.nn.ReLU(), 0.0, 0.0, 1.0),
        (torch.nn.ReLU(inplace=True), 0.0, 0.0, 1.0),
        (torch.nn.LeakyReLU(0.01), 0.0, 0.01, 1.0),
        (torch.nn.GELU(), 0.0, 0.5, 0.5),
        (torch.nn.SELU(), 0.0, SELU_SCALE * SELU_ALPHA, SELU_SCALE),
        (torch.nn.SiLU(), 0.0, 0.5, 0.5),
        (torch.nn.Tanh(), 0.0, 1.0, 1.0),
        (torch.nn.Sigmoid(), 0.5, 0.25, 0.25),
        (torch.nn.Softplus(), 0.6931471805599453, 0.5, 0.5),
        (torch.nn.ELU(), 0.0, 1.0, 1.0),
        (torch.nn.Hardtanh(), 0.0, 1.0, 1.0),
        (torch.nn.PReLU(init=0.25), 0.0, 0.25, 1.0),
        (torch.nn.Dropout(0.5), 0.0, 1.0, 1.0),
        (torch.abs, 0.0, -1.0, 1.0),
    ],
)
def test_known_functions(function: torch.nn.Module, value: float, left: float, right: float) -> None:
    found = tangent_of(function)
    assert (found.value, found.left, found.right) == pytest.approx((value, left, right), abs=1e-9)


def test_at_another_point() -> None:
    assert tangent_of(torch.nn.ReLU(), at=2.0) == Tangent(2.0, 1.0, 1.0)
    assert tangent_of(torch.nn.Identity(), at=2.0).value == 2.0


def test_sequential_takes_each_tangent_where_the_one_before_left_the_value() -> None:
    found = tangent_of(torch.nn.Sequential(torch.nn.Sigmoid(), torch.nn.Tanh()))
    assert found.right == pytest.approx(0.25 * (1 - torch.tanh(torch.tensor(0.5)).item() ** 2), abs=1e-6)
    assert found.value == pytest.approx(torch.tanh(torch.tensor(0.5)).item(), abs=1e-6)


def test_composition_with_decreasing_functions_swaps_the_sides() -> None:
    class Minus(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -x

    sequence = torch.nn.Sequential(Minus(), torch.nn.ReLU())
    composed = tangent_of(sequence)
    direct = tangent_of(lambda x: torch.relu(-x))
    assert (composed.left, composed.right) == (direct.left, direct.right) == (-1.0, 0.0)


def test_apply_is_the_limit_of_the_function() -> None:
    t = torch.linspace(-2, 2, 9, dtype=torch.float64)
    for function in (torch.nn.SELU(), torch.nn.GELU(), torch.nn.LeakyReLU(), torch.nn.Softplus()):
        tangent = tangent_of(function)
        scaled = (function(1e-7 * t) - tangent.value) / 1e-7
        torch.testing.assert_close(tangent.apply(t), scaled, rtol=1e-5, atol=1e-6)


def test_the_module_itself_is_left_alone() -> None:
    module = torch.nn.Sequential(torch.nn.PReLU(), torch.nn.Dropout(0.9)).train()
    tangent_of(module)
    assert module.training
    assert module[0].weight.dtype == torch.float32


@pytest.mark.parametrize("function", [torch.nn.Softmax(dim=-1), torch.nn.LayerNorm(4), torch.nn.PReLU(3)])
def test_functions_that_are_not_elementwise_are_refused(function: torch.nn.Module) -> None:
    with pytest.raises(GrowthError, match="acts on each element alone"):
        tangent_of(function)


@pytest.mark.parametrize("function", [torch.sign, lambda x: x.abs().sqrt()])
def test_no_derivative_is_told(function: torch.nn.Module) -> None:
    with pytest.raises(GrowthError, match="no one-sided derivative"):
        tangent_of(function)


def test_a_measured_tangent_is_measured_again_where_the_function_has_changed() -> None:
    class Steep(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.public, self._private = 2.0, 3.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.public * self._private * x

    steep = Steep().eval()
    assert tangent_of(steep).right == pytest.approx(6.0)
    steep.public = 4.0
    assert tangent_of(steep).right == pytest.approx(12.0)
    steep._private = 5.0
    assert tangent_of(steep).right == pytest.approx(20.0)
    assert tangent_of(steep, 1.0).value == pytest.approx(20.0)
    leaky = torch.nn.LeakyReLU(0.1)
    assert tangent_of(leaky).left == pytest.approx(0.1)
    leaky.negative_slope = 0.3
    assert tangent_of(leaky).left == pytest.approx(0.3)
