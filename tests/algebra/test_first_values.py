from __future__ import annotations

import math

import pytest
import torch

from gromo_graph.algebra.initialization import copy_uniform, initialization
from gromo_graph.algebra.rescaling import Spreads, normalization_factors
from gromo_graph.errors import GrowthError


def test_copy_uniform_bound_is_the_root_of_the_deviation() -> None:
    reference = torch.randn(500, generator=torch.Generator().manual_seed(0)) * 0.3
    values = copy_uniform((20000,), reference, 4, generator=torch.Generator().manual_seed(1))
    bound = math.sqrt(reference.std())
    assert values.abs().max() <= bound
    assert values.abs().max() > 0.99 * bound


@pytest.mark.parametrize("reference", [torch.ones(5), torch.zeros(5), torch.ones(1), torch.zeros(0)])
def test_copy_uniform_without_a_spread_uses_the_fan_in(reference: torch.Tensor) -> None:
    values = copy_uniform((20000,), reference, 16, generator=torch.Generator().manual_seed(1))
    assert values.abs().max() <= 0.25
    assert values.abs().max() > 0.24


def test_dtype_of_the_reference_and_repeatable() -> None:
    reference = torch.randn(5, dtype=torch.float64)
    one, two = (
        copy_uniform((3,), reference, 4, generator=torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert one.dtype == torch.float64
    assert torch.equal(one, two)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(GrowthError, match=r"expected one of copy_normal, copy_uniform, .*, zeros"):
        initialization("ones")
    with pytest.raises(
        GrowthError, match=r"equalize_extensions, .*, legacy_normalization, match_extending_layer"
    ):
        normalization_factors("other", Spreads(1.0, 1.0, 1.0), 1.0)


def test_second_layer_keeps_product_in_step_with_delta() -> None:
    factors = normalization_factors("equalize_second_layer", Spreads(0.5, 2.0, 4.0), 1.0)
    assert (factors.delta, factors.fan_out) == (2.0, 0.5)
    assert factors.fan_in == 2.0 / 0.5  # std(ω) / std(δ)


def test_missing_parts_take_factor_one() -> None:
    factors = normalization_factors("equalize_second_layer", Spreads(None, 2.0, 4.0), 1.0)
    assert factors.fan_in * factors.fan_out == 1.0
    assert normalization_factors("legacy_normalization", Spreads(None, None, None), 1.0).fan_in == 1.0


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan])
def test_target_must_be_positive(target: float) -> None:
    with pytest.raises(GrowthError, match="positive"):
        normalization_factors("legacy_normalization", Spreads(1.0, 1.0, 1.0), target)
