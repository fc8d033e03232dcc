"""The sign of a new neuron does not hang on the last digit of a sum."""

from __future__ import annotations

import pytest
import torch

from gromo_graph.algebra.optimal_neurons import optimal_extension
from gromo_graph.growth.candidates.slope_scores import best_signs


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_give_columns_of_two_entries_that_are_equally_large(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(6, 1, generator=generator, dtype=torch.float64)
    n = direction @ torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    s = torch.eye(6, dtype=torch.float64)
    signs = set()
    for _ in range(20):  # as sums in another order would be
        noise = 1e-7 * torch.randn(n.shape, generator=generator, dtype=torch.float64)
        found = optimal_extension(s, n * (1.0 + noise), maximum_neurons=1)
        signs.add(tuple(found.omega[:, 0].sign().tolist()))
    assert signs == {(1.0, -1.0)}


def test_slopes_that_are_equal_but_for_rounding_keep_the_sign() -> None:
    slopes = torch.tensor([1.0, 1e-9, 3.0, -1.0])
    _, signs = best_signs(slopes, slopes * (1.0 + 1e-6) + torch.tensor([0.0, 0.0, 0.1, 0.0]))
    assert signs.tolist() == [1.0, 1.0, -1.0, 1.0]
