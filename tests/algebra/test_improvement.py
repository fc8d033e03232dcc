from __future__ import annotations

import pytest
import torch

from gromo_graph.algebra import Tangent, optimal_extension, signed_slopes, slope_parts, tangent_of
from gromo_graph.errors import GrowthError


def test_slopes_are_the_mean_of_what_the_consumers_lose() -> None:
    generator = torch.Generator().manual_seed(0)
    t, pull = (torch.randn(20, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    tangent = tangent_of(torch.nn.SELU())
    found = signed_slopes(slope_parts(t, pull), tangent, 20)
    torch.testing.assert_close(found.kept, -(pull * tangent.apply(t)).mean(dim=0))
    torch.testing.assert_close(found.flipped, (pull * tangent.apply(-t)).mean(dim=0))


def test_parts_of_batches_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    t, pull = (torch.randn(20, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    whole, halves = slope_parts(t, pull), slope_parts(t[:7], pull[:7]) + slope_parts(t[7:], pull[7:])
    torch.testing.assert_close(whole.above, halves.above)
    torch.testing.assert_close(whole.below, halves.below)


@pytest.mark.parametrize("function", [torch.nn.ReLU(), torch.nn.GELU(), torch.nn.SELU()])
def test_both_signs_together_give_the_sum_of_the_derivatives_times_the_square(
    function: torch.nn.Module,
) -> None:
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    g = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    found = optimal_extension(b.T @ b / 60, -b.T @ g / 60, statistical_threshold=0.0)
    tangent = tangent_of(function)
    slopes = signed_slopes(slope_parts(b @ found.alpha.T, g @ found.omega), tangent, 60)
    expected = (tangent.left + tangent.right) * found.singular_values.square()
    torch.testing.assert_close(slopes.kept + slopes.flipped, expected)


def test_misuse() -> None:
    with pytest.raises(GrowthError, match="rows, neurons"):
        slope_parts(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(GrowthError, match="no samples"):
        signed_slopes(slope_parts(torch.zeros(0, 3), torch.zeros(0, 3)), Tangent(0.0, 1.0, 1.0), 0)
