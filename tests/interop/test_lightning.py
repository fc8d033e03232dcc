"""A network in a LightningModule grows as in a loop of one's own, and goes on from a checkpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from gromo_graph import GrowthError, GrowthScheduler, RunError, compile_network, dump_spec, parse_spec
from gromo_graph.growth.observe import batches
from gromo_graph.interop.lightning import GrowthCallback, spec_of_checkpoint
from tests.interop.nets import LIGHTNING_WORDS, MOONS, PATHS, moons

LOSS = torch.nn.functional.cross_entropy

pytestmark = [*LIGHTNING_WORDS, pytest.mark.usefixtures("quiet_lightning")]


class Module(pl.LightningModule):
    def __init__(self, spec: str = MOONS, lr: float = 0.05) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = compile_network(parse_spec(spec), seed=0)
        self.lr, self.seen = lr, []

    def training_step(self, batch: Any, index: int) -> Any:
        loss = LOSS(self.network(batch[0]), batch[1])
        self.seen.append(float(loss.detach()))
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("held_out", LOSS(self.network(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    return DataLoader(moons(160), 40), DataLoader(moons(60, seed=1), 60)


def trainer(folder: Path, *callbacks: Any, epochs: int = 6, **options: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"enable_checkpointing": False, "accelerator": "cpu", **quiet, **options}
    return pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), default_root_dir=folder, **options)


def test_it_grows_as_in_a_loop_of_one_s_own(tmp_path: Path) -> None:
    module, callback = Module(), GrowthCallback(LOSS)
    train, held_out = loaders()
    fitted = trainer(tmp_path, callback)
    fitted.fit(module, train, held_out)

    network = compile_network(parse_spec(MOONS), seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=6)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            LOSS(network(x), y).backward()
            optimizer.step()
        scheduler.step(train, held_out)

    assert scheduler.applied >= 2
    assert module.network.spec == network.spec
    x = moons(20, seed=2).tensors[0]
    assert torch.equal(module.network(x), network(x))
    applied = [event for event in callback.events if event.decision is not None]
    assert len(applied) == scheduler.applied == fitted.callback_metrics["growth_steps"]
    assert fitted.callback_metrics["parameters"] == network.graph.parameter_count
    trained = {parameter for group in fitted.optimizers[0].param_groups for parameter in group["params"]}
    assert trained == set(module.parameters())


@pytest.mark.parametrize(("spec", "done"), [(MOONS, 2), (PATHS, 4)], ids=["widen", "new_edge"])
def test_training_goes_on_from_a_checkpoint(spec: str, done: int, tmp_path: Path) -> None:
    train, held_out = loaders()
    whole, all_of_it = Module(spec), GrowthCallback(LOSS)
    keep = pl.callbacks.ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    trainer(tmp_path, all_of_it, keep, epochs=8, enable_checkpointing=True).fit(whole, train, held_out)

    file = tmp_path / f"epoch={done - 1}.ckpt"
    rest, later = Module(spec), GrowthCallback(LOSS)
    trainer(tmp_path, later, epochs=8).fit(rest, train, held_out, ckpt_path=file)
    tried = [(event.step, event.epoch, event.loss_after) for event in all_of_it.events]
    assert [(event.step, event.epoch, event.loss_after) for event in later.events] == tried[done:]
    assert any(event.decision for event in later.events)
    assert spec_of_checkpoint(file) == parse_spec(all_of_it.events[done - 1].spec) != parse_spec(spec)
    assert rest.network.spec == whole.network.spec
    x = moons(20, seed=2).tensors[0]
    assert torch.equal(rest.network(x), whole.network(x))
    targets = [event.decision.target for event in all_of_it.events[:done] if event.decision]
    assert spec == MOONS or "point->deep" in targets


def test_a_checkpoint_is_loaded_into_a_module_of_its_own(tmp_path: Path) -> None:
    module = Module()
    fitted = trainer(tmp_path, GrowthCallback(LOSS))
    fitted.fit(module, *loaders())
    fitted.save_checkpoint(tmp_path / "end.ckpt")
    text = dump_spec(spec_of_checkpoint(tmp_path / "end.ckpt"))
    again = Module.load_from_checkpoint(tmp_path / "end.ckpt", spec=text)
    x = moons(20, seed=2).tensors[0]
    assert torch.equal(again.network(x), module.network(x))
    (tested,) = trainer(tmp_path, GrowthCallback(LOSS)).validate(
        Module(), loaders()[1], ckpt_path=tmp_path / "end.ckpt", verbose=False
    )
    x, y = next(iter(loaders()[1]))
    assert tested["held_out"] == pytest.approx(float(LOSS(module.network(x), y).detach()), rel=1e-6)


def test_the_module_s_own_hook_is_called_and_left_alone(tmp_path: Path) -> None:
    class Hooked(Module):
        def on_load_checkpoint(self, checkpoint: Any) -> None:
            self.loaded = checkpoint["epoch"]

    trained = trainer(tmp_path, GrowthCallback(LOSS), epochs=2)
    trained.fit(Module(), *loaders())
    trained.save_checkpoint(tmp_path / "two.ckpt")
    module = Hooked()
    trainer(tmp_path, GrowthCallback(LOSS), epochs=3).fit(module, *loaders(), ckpt_path=tmp_path / "two.ckpt")
    assert module.loaded == 2
    assert "on_load_checkpoint" not in vars(module)


def test_batches_go_through_the_hooks_and_limits_of_the_trainer(tmp_path: Path) -> None:
    class Doubled(Module):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return {"x": batch[0] * 2, "y": batch[1]} if self.trainer.training else batch

        def training_step(self, batch: Any, index: int) -> Any:
            return super().training_step((batch["x"], batch["y"]), index)

    seen: list[Any] = []

    def pairs(batch: Any) -> Any:
        seen.append(batch)
        return (batch["x"], batch["y"]) if isinstance(batch, dict) else batch

    callback = GrowthCallback(LOSS, batch=pairs)
    fitted = trainer(tmp_path, callback, epochs=2, limit_train_batches=2)
    train, held_out = loaders()
    fitted.fit(Doubled(), train, held_out)
    assert callback.scheduler is not None
    given = callback._loaders["train"]
    assert len(given) == 2
    assert len(list(batches(given, callback.scheduler.network))) == 2
    of_training = [batch["x"] for batch in seen if isinstance(batch, dict)]
    assert torch.equal(of_training[0], next(iter(train))[0] * 2)


def test_held_out_data_of_one_s_own(tmp_path: Path) -> None:
    train, held_out = loaders()
    callback = GrowthCallback(LOSS, validation=list(held_out))
    trainer(tmp_path, callback, epochs=2).fit(Module(), train)
    assert callback.events
    with pytest.raises(GrowthError, match="the trainer has no validation data"):
        trainer(tmp_path, GrowthCallback(LOSS), epochs=2).fit(Module(), train)


def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    class Two(Module):
        def __init__(self) -> None:
            super().__init__()
            self.other = compile_network(parse_spec(MOONS), seed=1)

    class None_(Module):  # noqa: N801
        def configure_optimizers(self) -> Any:
            self.free = torch.nn.Parameter(torch.zeros(1))
            return torch.optim.Adam([self.free])

    with pytest.raises(GrowthError, match=r"Two, which holds `network`, `other`: say which one"):
        trainer(tmp_path, GrowthCallback(LOSS)).fit(Two(), *loaders())
    callback = GrowthCallback(LOSS, network="network")
    two = Two()
    trainer(tmp_path, callback, epochs=2).fit(two, *loaders())
    assert two.network.graph.features("hidden") > two.other.graph.features("hidden") == 1
    with pytest.raises(GrowthError, match="`nothing` is no GrowingNetwork"):
        trainer(tmp_path, GrowthCallback(LOSS, network="nothing")).fit(Two(), *loaders())
    with pytest.raises(GrowthError, match="none of 1 optimizers trains the network"):
        trainer(tmp_path, GrowthCallback(LOSS)).fit(None_(), *loaders())
    several = [loaders()[0], loaders()[0]]
    with pytest.raises(GrowthError, match="several train loaders"):
        trainer(tmp_path, GrowthCallback(LOSS)).fit(TakesFirst(), several, loaders()[1])
    (tmp_path / "no.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(RunError, match="this checkpoint cannot be read"):
        spec_of_checkpoint(tmp_path / "no.ckpt")
    torch.save({"callbacks": {}}, tmp_path / "plain.ckpt")
    with pytest.raises(RunError, match="there is no spec in this checkpoint"):
        spec_of_checkpoint(tmp_path / "plain.ckpt")


class TakesFirst(Module):
    def training_step(self, batch: Any, index: int) -> Any:
        return super().training_step(batch[0], index)


@pytest.mark.parametrize("package", ["lightning", "skorch"])
def test_a_missing_package_is_named_with_what_to_install(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import gromo_graph.interop.{package}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"is missing: pip install 'gromo_graph[{package}]'" in done.stderr.splitlines()[-1]
