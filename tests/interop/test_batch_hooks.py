"""Growth at shares of the training steps inside other trainers: the training itself is as it would be without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.dataset import Dataset as SkorchDataset
from skorch.helper import predefined_split
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from gromo_graph import GrowthError, GrowthScheduler, compile_network, parse_spec
from gromo_graph.interop.estimators import GrowingClassifier
from gromo_graph.interop.lightning import GrowthCallback
from gromo_graph.interop.skorch import GrowthCallback as SkorchCallback
from tests.interop.nets import LIGHTNING_WORDS, MOONS, moons, tensors

LOSS = torch.nn.functional.cross_entropy
TICKS = MOONS.replace(
    "growth: {neurons: {per_step: 2}, when: {every: 1, until: 0.5}}",
    "growth: {neurons: {per_step: 2}, when: {until: 0.5, steps: 4}}",
)
EVERY = {"growth.when": "{every: 1}"}
EPOCHS = 4

pytestmark = [*LIGHTNING_WORDS, pytest.mark.usefixtures("quiet_lightning")]


class Module(pl.LightningModule):
    """Notes every sample that it is trained on."""

    def __init__(self, spec: str = TICKS) -> None:
        super().__init__()
        self.network = compile_network(parse_spec(spec), seed=0)
        self.seen: list[float] = []

    def training_step(self, batch: Any, index: int) -> Any:
        self.seen += batch[0][:, 0].tolist()
        return LOSS(self.network(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("held_out", LOSS(self.network(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.05)


def trainer(folder: Path, *callbacks: Any, **options: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    given = {"enable_checkpointing": False, "accelerator": "cpu", "max_epochs": EPOCHS, **quiet, **options}
    return pl.Trainer(callbacks=list(callbacks), default_root_dir=folder, **given)


def shuffled(*, workers: int = 0) -> DataLoader[Any]:
    order = torch.Generator().manual_seed(3)
    return DataLoader(
        moons(160), 40, shuffle=True, generator=order, num_workers=workers, persistent_workers=workers > 0
    )


def held_out() -> DataLoader[Any]:
    return DataLoader(moons(60, seed=1), 60)


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_trains_on_every_sample_in_the_same_order(workers: int, tmp_path: Path) -> None:
    grown, alone, callback = Module(), Module(), GrowthCallback(LOSS)
    trainer(tmp_path, callback).fit(grown, shuffled(workers=workers), held_out())
    trainer(tmp_path).fit(alone, shuffled(workers=workers), held_out())
    assert grown.seen == alone.seen
    assert sorted(grown.seen) == sorted(EPOCHS * moons(160).tensors[0][:, 0].tolist())
    assert [event.batch for event in callback.events] == [2, 4, 6, 8]
    assert grown.network.graph.parameter_count > alone.network.graph.parameter_count


def test_lightning_grows_as_a_loop_with_after_batch(tmp_path: Path) -> None:
    module, callback = Module(), GrowthCallback(LOSS)
    trainer(tmp_path, callback).fit(module, DataLoader(moons(160), 40), held_out())
    network = compile_network(parse_spec(TICKS), seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=EPOCHS, training_steps=4 * EPOCHS)
    for _ in range(EPOCHS):
        for x, y in DataLoader(moons(160), 40):
            optimizer.zero_grad()
            LOSS(network(x), y).backward()
            optimizer.step()
            scheduler.after_batch(x, y, list(held_out()))
    assert scheduler.applied >= 3
    assert module.network.spec == network.spec
    x = moons(20, seed=2).tensors[0]
    assert torch.equal(module.network(x), network(x))


def test_lightning_counts_steps_and_not_batches_that_are_accumulated(tmp_path: Path) -> None:
    callback = GrowthCallback(LOSS)
    trainer(tmp_path, callback, accumulate_grad_batches=2).fit(Module(), shuffled(), held_out())
    assert [event.batch for event in callback.events] == [1, 2, 3, 4]


def test_lightning_goes_on_at_the_ticks_that_are_left(tmp_path: Path) -> None:
    whole, keep = GrowthCallback(LOSS), pl.callbacks.ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    trainer(tmp_path, whole, keep, enable_checkpointing=True).fit(Module(), shuffled(), held_out())
    rest = GrowthCallback(LOSS)
    trainer(tmp_path, rest).fit(Module(), shuffled(), held_out(), ckpt_path=tmp_path / "epoch=0.ckpt")
    assert [event.batch for event in rest.events] == [6, 8]


class Endless(IterableDataset[Any]):
    """Samples without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(moons(160))


def test_lightning_refuses_a_training_of_unknown_length_at_the_start(tmp_path: Path) -> None:
    loader: DataLoader[Any] = DataLoader(Endless(), 40)
    module = Module()
    with pytest.raises(GrowthError, match="max_steps="):
        trainer(tmp_path, GrowthCallback(LOSS)).fit(module, loader, held_out())
    assert module.seen == []
    bounded = GrowthCallback(LOSS)
    trainer(tmp_path, bounded, max_steps=16).fit(Module(), loader, held_out())
    assert [event.batch for event in bounded.events] == [2, 4, 6, 8]
    by_epochs = GrowthCallback(LOSS, policy=parse_spec(MOONS).growth)
    trainer(tmp_path, by_epochs).fit(Module(), loader, held_out())
    assert by_epochs.events


class Noting(NeuralNetClassifier):
    """Notes every sample that it is trained on."""

    def train_step(self, batch: Any, **options: Any) -> Any:
        vars(self).setdefault("noted", []).extend(batch[0][:, 0].tolist())
        return super().train_step(batch, **options)


def net(*callbacks: Any, **options: Any) -> Noting:
    x, y = (tensor.numpy() for tensor in tensors(moons(60, seed=1)))
    given: dict[str, Any] = {
        "module": compile_network,
        "module__spec": parse_spec(TICKS),
        "module__seed": 0,
        "criterion": torch.nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.05,
        "batch_size": 40,
        "max_epochs": EPOCHS,
        "train_split": predefined_split(SkorchDataset(x, y)),
        "callbacks": [("growth", callback) for callback in callbacks],
        "verbose": 0,
        "iterator_train__shuffle": True,
    }
    return Noting(**{**given, **options})


@pytest.mark.parametrize("workers", [0, 2])
def test_skorch_trains_on_every_sample_in_the_same_order(workers: int) -> None:
    x, y = (tensor.numpy() for tensor in tensors(moons(160)))
    noted, callback = [], SkorchCallback()
    for callbacks in ((callback,), ()):
        options = {"iterator_train__num_workers": workers} if workers else {}
        order = torch.Generator().manual_seed(3)
        fitted = net(*callbacks, **options, iterator_train__generator=order)
        noted.append(fitted.fit(x, y).noted)
    assert noted[0] == noted[1]
    assert sorted(noted[0]) == sorted(EPOCHS * x[:, 0].tolist())


def test_skorch_grows_at_shares_of_the_steps() -> None:
    x, y = (tensor.numpy() for tensor in tensors(moons(160)))
    fitted = net(SkorchCallback()).fit(x, y)
    events = dict(fitted.callbacks_)["growth"].events_
    assert [event.batch for event in events] == [2, 4, 6, 8]
    assert fitted.history[0, "parameters"] < fitted.history[-1, "parameters"]


def test_skorch_refuses_data_of_unknown_length_at_the_start() -> None:
    fitted = net(SkorchCallback())
    fitted.initialize()
    growth = dict(fitted.callbacks_)["growth"]

    class Unsized:
        def __iter__(self) -> Iterator[Any]:
            return iter(())

    fitted.get_iterator = lambda dataset, training=False: Unsized()
    with pytest.raises(GrowthError, match="has no length"):
        growth.on_epoch_begin(fitted, dataset_train=TensorDataset(), dataset_valid=TensorDataset())


def test_the_estimators_grow_at_shares_of_the_steps() -> None:
    x, y = (tensor.numpy() for tensor in tensors(moons(160)))
    model = GrowingClassifier(TICKS, epochs=EPOCHS, batch_size=32, random_state=0).fit(x, y)
    assert [event.batch for event in model.events_] == [2, 4, 6, 8]
    assert np.isfinite(model.predict_proba(x)).all()
