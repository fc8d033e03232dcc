"""What a scheduler is given: a growing network with plain weights, or a reason in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from gromo_graph import (
    GrowthError,
    GrowthScheduler,
    TorchImportError,
    compile_network,
    edit,
    from_torch,
    parse_spec,
)
from gromo_graph.network import GrowingNetwork

SPEC = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 3, activation: tanh}
  y: {kind: linear, from: h, features: 2}
output: y
growth: {when: {every: 1, until: 1.0}}
"""
X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
LOADER = [(X, (X[:, 0] > 0).long())]
LOSS = nn.functional.cross_entropy


def network_of() -> GrowingNetwork:
    return compile_network(parse_spec(SPEC), seed=0)


def test_a_plain_model_has_to_be_imported_first() -> None:
    with pytest.raises(
        GrowthError, match=r"found a Sequential, expected .* from_torch\(model, example_input\)"
    ):
        GrowthScheduler(nn.Sequential(nn.Linear(4, 2)), LOSS)  # type: ignore[arg-type]
    with pytest.raises(GrowthError, match=r"found a Spec, expected .* compile_network"):
        GrowthScheduler(parse_spec(SPEC), LOSS)  # type: ignore[arg-type]


def test_a_wrapper_with_parameters_of_its_own_is_refused() -> None:
    with pytest.raises(GrowthError, match=r"wrapped in DataParallel.*`\.module`"):
        GrowthScheduler(nn.DataParallel(network_of()), LOSS)  # type: ignore[arg-type]


def test_a_compiled_network_grows_as_the_one_inside() -> None:
    network = network_of()
    compiled = torch.compile(network, backend="eager")
    scheduler = GrowthScheduler(compiled, LOSS, optimizer=torch.optim.SGD(compiled.parameters(), lr=0.1))
    assert scheduler.network is network
    assert scheduler.step(LOADER, LOADER) is not None
    torch.testing.assert_close(compiled(X), network(X))


def test_a_network_without_weights_cannot_grow() -> None:
    network = from_torch(nn.Sequential(nn.Flatten(), nn.ReLU()), torch.zeros(2, 3, 2))
    with pytest.raises(GrowthError, match="has no weights: there is nothing that can grow"):
        GrowthScheduler(network, nn.functional.mse_loss)


REPARAMETRIZED: dict[str, Callable[[nn.Module], object]] = {
    "weight_norm": nn.utils.parametrizations.weight_norm,
    "spectral_norm": nn.utils.parametrizations.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
    "old weight_norm": nn.utils.weight_norm,
    "old spectral_norm": nn.utils.spectral_norm,
    "prune": lambda layer: nn.utils.prune.l1_unstructured(layer, "weight", 0.5),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("change", REPARAMETRIZED.values(), ids=REPARAMETRIZED)
def test_weights_that_are_computed_from_others_are_refused_by_name(change: Callable) -> None:
    network = network_of()
    scheduler = GrowthScheduler(network, LOSS)
    change(network.parts["h"])
    for refused in (
        lambda: GrowthScheduler(network, LOSS),
        lambda: scheduler.plan(LOADER),
        lambda: edit(network),
    ):
        with pytest.raises(
            GrowthError, match=r"`h` cannot change: its weights are (parametrized|masked).*plain"
        ):
            refused()
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    change(model[2])
    with pytest.raises(TorchImportError, match=r"`2`: .*its weights are (parametrized|masked).*plain"):
        from_torch(model, X[:2])
