"""GrowthCallback beside other things that Lightning offers: precision, averages, checkpoints of weights, optimizers."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from torch.optim.swa_utils import get_ema_avg_fn

from gromo_graph import GrowthError, dump_spec
from gromo_graph.interop.lightning import GrowthCallback, spec_of_checkpoint
from tests.interop import test_lightning as base
from tests.interop.test_lightning import LOSS, Module, loaders, trainer

pytestmark = base.pytestmark


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "32-true"])
def test_inputs_are_those_that_the_precision_makes(precision: str, tmp_path: Path) -> None:
    module, callback = Module(), GrowthCallback(LOSS)
    trainer(tmp_path, callback, precision=precision).fit(module, *loaders())
    assert module.network.graph.features("hidden") > 1
    wanted = torch.float64 if precision == "64-true" else torch.float32
    assert {p.dtype for p in module.parameters()} == {wanted}


def averages(name: str) -> pl.Callback:
    if name == "swa":
        return StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=2)
    return WeightAveraging(avg_fn=get_ema_avg_fn()) if name == "ema" else WeightAveraging()


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", ["swa", "ema", "mean"])
def test_averages_begin_anew_at_the_grown_width(name: str, first: bool, tmp_path: Path) -> None:
    module, growth, average = Module(), GrowthCallback(LOSS), averages(name)
    callbacks = [average, growth] if first else [growth, average]
    trainer(tmp_path, *callbacks).fit(module, *loaders())
    grown = [event.epoch for event in growth.events if event.decision is not None]
    assert grown
    mean: Any = vars(average)["_average_model"]
    network = mean.module.network if name != "swa" else mean.network
    assert network.graph.parameter_count == module.network.graph.parameter_count
    for mine, its in zip(module.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, its)  # at the end the module has the average
    assert network is not module.network


def test_averages_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    first = trainer(tmp_path, GrowthCallback(LOSS), WeightAveraging(), epochs=3)
    first.fit(Module(), *loaders())
    first.save_checkpoint(tmp_path / "three.ckpt")
    module = Module()
    trainer(tmp_path, GrowthCallback(LOSS), WeightAveraging(), epochs=5).fit(
        module, *loaders(), ckpt_path=tmp_path / "three.ckpt", weights_only=False
    )
    assert module.network.graph.features("hidden") > 1


@pytest.mark.parametrize("weights_only", [False, True])
def test_a_checkpoint_knows_its_spec(weights_only: bool, tmp_path: Path) -> None:
    module = Module()
    fitted = trainer(tmp_path, GrowthCallback(LOSS))
    fitted.fit(module, *loaders())
    path = tmp_path / "saved.ckpt"
    fitted.save_checkpoint(path, weights_only=weights_only)
    spec = spec_of_checkpoint(path)
    assert dump_spec(spec) == dump_spec(module.network.spec)
    again = Module.load_from_checkpoint(path, spec=dump_spec(spec), weights_only=True)
    x = torch.randn(5, 2)
    torch.testing.assert_close(again.network(x), module.network(x))
    torch.testing.assert_close(copy.deepcopy(module).network(x), module.network(x))
    loaded = pickle.loads(pickle.dumps(module))  # noqa: S301 - our own
    assert loaded.network.spec == module.network.spec


class Several(Module):
    """Weights and biases by an optimizer each."""

    left_out = False

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, index: int) -> None:
        optimizers: Any = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        for optimizer in optimizers:
            optimizer.zero_grad()
        self.manual_backward(LOSS(self.network(batch[0]), batch[1]))
        for optimizer in optimizers:
            optimizer.step()

    def configure_optimizers(self) -> Any:
        weights = torch.optim.SGD([p for p in self.parameters() if p.dim() > 1], lr=0.1)
        biases = torch.optim.Adam([p for p in self.parameters() if p.dim() == 1], lr=0.05)
        return weights if self.left_out else [weights, biases]


def test_several_optimizers_follow(tmp_path: Path) -> None:
    module = Several()
    fitted = trainer(tmp_path, GrowthCallback(LOSS))
    fitted.fit(module, *loaders())
    assert module.network.graph.features("hidden") > 1
    held = [p for optimizer in fitted.optimizers for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in module.parameters()}


def test_what_no_optimizer_trains_has_to_be_named(tmp_path: Path) -> None:
    module = Several()
    module.left_out = True
    with pytest.raises(GrowthError, match="no optimizer trains"):
        trainer(tmp_path, GrowthCallback(LOSS)).fit(module, *loaders())
    untrained = [p for p in module.network.parameters() if p.dim() == 1]
    trainer(tmp_path, GrowthCallback(LOSS, untrained=untrained)).fit(module, *loaders())
    assert module.network.graph.features("hidden") > 1
