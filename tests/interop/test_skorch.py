"""A network that is the module of a skorch net grows as in a loop of one's own."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split

from gromo_graph import GrowthError, GrowthScheduler, compile_network, dump_spec, parse_spec
from gromo_graph.interop.skorch import GrowthCallback
from gromo_graph.spec.settings import Growth, Neurons
from tests.interop.nets import MOONS, moons, tensors

LOSS = torch.nn.functional.cross_entropy
X, Y = (tensor.numpy() for tensor in tensors(moons(160)))
HELD_X, HELD_Y = (tensor.numpy() for tensor in tensors(moons(60, seed=1)))


def net(callback: GrowthCallback, **options: Any) -> NeuralNetClassifier:
    given = {
        "module": compile_network,
        "module__spec": parse_spec(MOONS),
        "module__seed": 0,
        "criterion": torch.nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.05,
        "batch_size": 40,
        "max_epochs": 6,
        "train_split": predefined_split(Dataset(HELD_X, HELD_Y)),
        "callbacks": [("growth", callback)],
        "verbose": 0,
    }
    return NeuralNetClassifier(**{**given, **options})


def growth_of(fitted: NeuralNetClassifier) -> GrowthCallback:
    callback = dict(fitted.callbacks_)["growth"]
    assert isinstance(callback, GrowthCallback)
    return callback


def test_it_grows_as_in_a_loop_of_one_s_own() -> None:
    fitted = net(GrowthCallback()).fit(X, Y)

    network = compile_network(parse_spec(MOONS), seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=6)
    x, y = torch.tensor(X), torch.tensor(Y)
    train = list(zip(x.split(40), y.split(40), strict=True))
    held_out = list(zip(torch.tensor(HELD_X).split(40), torch.tensor(HELD_Y).split(40), strict=True))
    for _ in range(6):
        for batch, target in train:
            optimizer.zero_grad()
            LOSS(network(batch), target).backward()
            optimizer.step()
        scheduler.step(train, held_out)

    assert scheduler.applied >= 2
    assert fitted.module_.spec == network.spec
    assert torch.equal(fitted.module_(x), network(x))
    assert growth_of(fitted).scheduler_.applied == scheduler.applied
    assert fitted.history[-1, "parameters"] == network.graph.parameter_count
    assert fitted.history[0, "parameters"] < fitted.history[-1, "parameters"]


def test_each_fit_begins_anew_and_a_partial_one_goes_on() -> None:
    fitted = net(GrowthCallback(), max_epochs=4).fit(X, Y)
    events, width = growth_of(fitted).events_, fitted.module_.graph.features("hidden")
    fitted.fit(X, Y)
    assert growth_of(fitted).events_ is not events
    assert [event.gamma for event in growth_of(fitted).events_] == [event.gamma for event in events]
    assert fitted.module_.graph.features("hidden") == width
    scheduler = growth_of(fitted).scheduler_
    fitted.partial_fit(X, Y)
    assert growth_of(fitted).scheduler_ is scheduler
    assert scheduler is not None
    assert scheduler.epoch == 8


def test_it_works_where_estimators_do() -> None:
    told: list[Any] = []

    def tell(event: Any) -> None:  # a function stays what it is in a clone
        told.append(event)

    policy = Growth(neurons=Neurons(per_step=1))
    narrow = net(GrowthCallback(policy, tell))
    assert dict(clone(narrow).callbacks)["growth"].policy == policy
    assert cross_val_score(narrow, X, Y, cv=2).mean() > 0.7
    assert told
    assert {event.decision.neurons for event in told if event.decision} == {1}


def test_a_pickle_predicts_the_same_and_grows_on() -> None:
    fitted = net(GrowthCallback()).fit(X, Y)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - our own
    assert vars(growth_of(again))["scheduler_"] is None  # it would bring the samples with it
    assert np.array_equal(again.predict_proba(HELD_X), fitted.predict_proba(HELD_X))
    assert len(growth_of(again).events_) == len(growth_of(fitted).events_)
    again.partial_fit(X, Y)
    assert len(growth_of(again).events_) > len(growth_of(fitted).events_)


def test_what_cannot_be_followed_is_refused() -> None:
    with pytest.raises(GrowthError, match="the net has train_split=None"):
        net(GrowthCallback(), train_split=None).fit(X, Y)
    plain = net(GrowthCallback(), module=torch.nn.Linear, module__in_features=2, module__out_features=2)
    del plain.module__spec, plain.module__seed
    with pytest.raises(GrowthError, match="the module of the net is a Linear: expected a GrowingNetwork"):
        plain.fit(X, Y)
    with pytest.raises(GrowthError, match="reduction='sum'"):
        net(GrowthCallback(), criterion__reduction="sum").fit(X, Y)


def test_a_fitted_net_can_be_cloned_and_searched() -> None:
    fitted = net(GrowthCallback(), max_epochs=2, train_split=ValidSplit(4)).fit(X, Y)
    again = clone(fitted)
    assert not hasattr(again, "module_")
    search = GridSearchCV(fitted, {"lr": [0.01, 0.05]}, cv=2, error_score="raise").fit(X, Y)
    assert growth_of(search.best_estimator_).events_


class Best(Callback):
    """Takes the weights of one epoch for the best, as EarlyStopping and Checkpoint do."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, fitted: NeuralNetClassifier, **kwargs: Any) -> None:
        if len(fitted.history) == self.epoch:
            self.weights_ = copy.deepcopy(fitted.module_.state_dict())
            self.spec_ = fitted.module_.spec

    def on_train_end(self, fitted: NeuralNetClassifier, **kwargs: Any) -> None:
        fitted.module_.load_state_dict(self.weights_)


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("first", [False, True])
def test_the_network_takes_the_width_of_the_best_epoch_back(epoch: int, first: bool) -> None:
    growth, best = ("growth", GrowthCallback()), ("best", Best(epoch))
    fitted = net(GrowthCallback(), callbacks=[best, growth] if first else [growth, best]).fit(X, Y)
    found = dict(fitted.callbacks_)["best"]
    widest = growth_of(fitted).events_[-1].parameters
    assert fitted.module_.graph.parameter_count < widest
    assert fitted.module_.spec == found.spec_
    for key, value in fitted.module_.state_dict().items():
        assert torch.equal(value, found.weights_[key])
    held = {p for group in fitted.optimizer_.param_groups for p in group["params"]}
    assert held == set(fitted.module_.parameters())
    fitted.partial_fit(X, Y)
    pickle.loads(pickle.dumps(fitted)).predict(X)  # noqa: S301 - our own


def test_early_stopping_and_checkpoints_load_the_best(tmp_path: Path) -> None:
    stopping = ("stopping", EarlyStopping(patience=2, load_best=True, threshold=0.5))
    kept = ("kept", Checkpoint(dirname=str(tmp_path), load_best=True))
    for callback in (stopping, kept):
        fitted = net(GrowthCallback(), callbacks=[callback, ("growth", GrowthCallback())], max_epochs=8).fit(
            X, Y
        )
        assert np.isfinite(fitted.predict_proba(HELD_X)).all()
        held = {p for group in fitted.optimizer_.param_groups for p in group["params"]}
        assert held == set(fitted.module_.parameters())


def test_weights_of_classes_are_counted() -> None:
    losses = []
    for size in (160, 20):
        weights = torch.tensor([1.0, 30.0])
        callback = GrowthCallback()
        fitted = net(
            callback, max_epochs=4, lr=0.0, criterion__weight=weights, iterator_valid__batch_size=size
        )
        losses.append(growth_of(fitted.fit(X, Y)).events_[0].loss_before)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_weights_of_a_grown_net_are_loaded_into_a_net_of_its_spec_and_told_in_others(tmp_path: Path) -> None:
    fitted = net(GrowthCallback()).fit(X, Y)
    file = str(tmp_path / "weights.pt")
    fitted.save_params(f_params=file)
    with pytest.raises(RuntimeError, match=r"size mismatch[^$]*weights of another network.*`network\.spec`"):
        net(GrowthCallback()).initialize().load_params(f_params=file)
    text = dump_spec(fitted.module_.spec)
    again = net(GrowthCallback(), module__spec=parse_spec(text)).initialize()
    again.load_params(f_params=file)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
