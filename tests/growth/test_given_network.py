"""A scheduler takes a growing network with plain weights, and gives a reason for anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

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


@pytest.fixture
def one_process() -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def fsdp(network: nn.Module, **options: Any) -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(network, device_id=torch.device("cpu"), **options)


SHARDED: dict[str, Callable[[Any], object]] = {
    "fully_shard": fully_shard,
    "a part": lambda network: fully_shard(network.parts["h"]),
    "FSDP": fsdp,
    "FSDP, own parameters": lambda network: fsdp(network, use_orig_params=True),
}


@pytest.mark.filterwarnings("ignore:FSDP")
@pytest.mark.parametrize("shard", SHARDED.values(), ids=SHARDED)
def test_a_sharded_network_is_refused(one_process: None, shard: Callable) -> None:
    network = network_of()
    wrapped = shard(network)
    for attempt in (lambda: GrowthScheduler(network, LOSS), lambda: edit(network)):
        with pytest.raises(GrowthError, match=r"sharded .*take the network before it is sharded"):
            attempt()
    if not isinstance(wrapped, GrowingNetwork) and hasattr(wrapped, "module"):
        with pytest.raises(GrowthError, match=r"cuts its weights into shards.*DistributedDataParallel"):
            GrowthScheduler(wrapped, LOSS)


WRAPPED: dict[str, Callable[[Any], nn.Module]] = {
    "DDP": nn.parallel.DistributedDataParallel,
    "compiled DDP": lambda network: torch.compile(nn.parallel.DistributedDataParallel(network)),
    "DDP of compiled": lambda network: nn.parallel.DistributedDataParallel(torch.compile(network)),
    "an average": torch.optim.swa_utils.AveragedModel,
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_around_wrappers_are_refused(one_process: None, wrap: Callable) -> None:
    with pytest.raises(GrowthError, match=r"is wrapped in .*give the network itself, `\.module`"):
        GrowthScheduler(wrap(network_of()), LOSS)


NO_PLAIN_TENSORS: dict[str, tuple[Callable[[Any], object], str]] = {
    "meta": (lambda network: network.to("meta"), "on the meta device"),
    "complex": (lambda network: network.to(torch.complex64), "of torch.complex64"),
    "sparse": (
        lambda network: setattr(
            network.parts["h"], "weight", nn.Parameter(network.parts["h"].weight.detach().to_sparse())
        ),
        r"`nodes\.h\.layer\.weight` cannot change: it is sparse",
    ),
}


@pytest.mark.filterwarnings("ignore:Complex modules are")
@pytest.mark.parametrize(("change", "told"), NO_PLAIN_TENSORS.values(), ids=NO_PLAIN_TENSORS)
def test_weights_that_are_no_plain_numbers_are_refused(change: Callable, told: str) -> None:
    network = network_of()
    change(network)
    with pytest.raises(GrowthError, match=told):
        GrowthScheduler(network, LOSS)


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


WEIGHT_NORMS = (nn.utils.parametrizations.weight_norm, nn.utils.weight_norm)
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
    if change in WEIGHT_NORMS:
        return
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    change(model[2])
    with pytest.raises(TorchImportError, match=r"`2`: .*its weights are (parametrized|masked).*plain"):
        from_torch(model, X[:2])


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("change", WEIGHT_NORMS)
@pytest.mark.parametrize("called", [False, True])
def test_a_weight_norm_is_folded_in(change: Callable, called: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    change(model[2])
    if called:
        model(X[:2])
    assert torch.allclose(from_torch(model, X[:2])(X), model(X), atol=1e-6)
