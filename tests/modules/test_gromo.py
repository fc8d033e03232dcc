"""Chains of linear layers against gromo 0.1.0, an independent implementation of the same API."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests import reference
from tests.modules.chains import Chain, chain

F64 = torch.float64
THRESHOLDS = {"numerical_threshold": 1e-12, "statistical_threshold": 1e-6}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The other library warns a lot; and it takes its device from a global."""
    pytest.importorskip("gromo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gromo.utils.utils import reset_device, set_device

        set_device("cpu")
        yield
        reset_device()


def twin(found: Chain) -> list[Any]:
    """The same layers, linked and measured on the same data by the other library."""
    from gromo.modules.linear_growing_module import LinearGrowingModule

    others: list[Any] = []
    for module in found.modules:
        other = LinearGrowingModule(
            module.in_neurons,
            module.out_neurons,
            use_bias=module.use_bias,
            post_layer_function=module.post_layer_function,
            allow_growing=bool(others),
            previous_module=others[-1] if others else None,
            name=module.name,
        )
        other.double()
        other.layer.load_state_dict(module.layer.state_dict())
        others.append(other)
    for other in others:
        other.init_computation()
    out = found.x
    for other in others:
        out = other(out)
    (out - found.y).square().sum().backward()
    for other in others:
        other.update_computation()
    for other in others[1:]:
        other.compute_optimal_updates(dtype=F64, **THRESHOLDS)
    return others


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("bias", [True, False])
def test_chain(activation: str, bias: bool) -> None:
    found = chain(7, 5, 4, 3, activation=activation, bias=bias, rows=120, seed=3)
    others = twin(found)
    found.gather()
    for module, other in zip(found.modules[1:], others[1:], strict=True):
        module.compute_optimal_updates(dtype=F64, **THRESHOLDS)
        near = {"rtol": 1e-4, "atol": 1e-7}
        for mine, theirs in (
            (module.tensor_s(), other.tensor_s()),
            (module.tensor_m(), other.tensor_m()),
            (module.tensor_n, other.tensor_n),
            (module.optimal_delta_layer.weight, other.optimal_delta_layer.weight),
            (module.eigenvalues_extension, other.eigenvalues_extension),
            (module.parameter_update_decrease, other.parameter_update_decrease),
            (module.first_order_improvement, other.first_order_improvement),
        ):
            torch.testing.assert_close(mine.detach(), theirs.detach().to(F64), **near)
        for mine, theirs in zip(
            reference.products(both_weights(module), module.extended_input_layer.weight),
            reference.products(both_weights(other), other.extended_input_layer.weight),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs.to(F64), rtol=1e-4, atol=1e-6)


def both_weights(module: Any) -> torch.Tensor:
    """[weight | bias] of the neurons that the previous module would gain."""
    layer = module.previous_module.extended_output_layer
    if layer.bias is None:
        return layer.weight.detach()
    return torch.cat((layer.weight, layer.bias[:, None]), dim=1).detach()
