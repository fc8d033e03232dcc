"""Optimizers, schedules, early stopping and best weights of the built-in training, also of a run that is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gromo_graph import grow, load_run, parse_spec, resume
from gromo_graph.errors import RunError
from gromo_graph.run import Run
from gromo_graph.run.data.split import split
from gromo_graph.run.trainer import train_epoch
from gromo_graph.run.training.epoch_watch import EpochWatch
from gromo_graph.run.training.objective import objective_of
from gromo_graph.run.training.optimizers import make_optimizers
from gromo_graph.run.training.schedules import learning_rate
from gromo_graph.spec.optimizer_settings import Optimizer
from gromo_graph.spec.train_settings import Fold, Train
from tests.run.test_resume import broken_off, same_runs

TEXT = """
name: mlp
nodes:
  x: {kind: input, shape: [4]}
  a: {kind: linear, from: x, features: 2, activation: relu}
  y: {kind: linear, from: a, features: 3}
output: y
growth: {when: {until: 0.3, steps: 3}, neurons: {per_step: 2}}
train: {data: iris, epochs: 20, batch_size: 16, TRAIN}
"""


def text(train: str) -> str:
    return TEXT.replace("TRAIN", train)


def watched(values: list[float], **train: Any) -> tuple[EpochWatch, list[int]]:
    """A watch that has seen these values, and the epochs that were the best so far."""
    watch = EpochWatch(Train.model_validate(train))
    best = []
    for epoch, value in enumerate(values, start=1):
        if watch.see(epoch, value, grown=False, growing=False):
            best.append(epoch)
        if watch.stopped is not None:
            break
    return watch, best


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ({"name": "sgd", "momentum": 0.9, "nesterov": True}, ("SGD",)),
        ({"name": "adam", "betas": [0.8, 0.9], "eps": 1e-7, "amsgrad": True}, ("Adam",)),
        ({"name": "rmsprop", "alpha": 0.9, "momentum": 0.1, "centered": True}, ("RMSprop",)),
        ({"name": "adagrad", "eps": 1e-6}, ("Adagrad",)),
        ({"name": "muon", "nesterov": False}, ("Muon", "AdamW")),
    ],
)
def test_optimizers_have_their_options(asked: dict[str, Any], kinds: tuple[str, ...]) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    made = make_optimizers(network, Optimizer.model_validate(asked))
    assert tuple(type(each).__name__ for each in made) == kinds
    group = made[0].param_groups[0]
    for name, value in asked.items():
        if name != "name":
            assert group[name] == (tuple(value) if isinstance(value, list) else value)
    held = [parameter for each in made for group in each.param_groups for parameter in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, network.parameters()))


def rates(epochs: int = 12, **train: Any) -> list[float]:
    asked = Train.model_validate({"epochs": epochs, "optimizer": {"lr": 1.0}, **train})
    return [learning_rate(asked, epoch / epochs) for epoch in range(epochs)]


def test_schedules_are_those_of_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    schedulers: dict[str, tuple[Any, dict[str, Any]]] = {
        "step": (torch.optim.lr_scheduler.StepLR, {"step_size": 5, "gamma": 0.5}),
        "cosine": (torch.optim.lr_scheduler.CosineAnnealingLR, {"T_max": 12}),
        "linear": (
            torch.optim.lr_scheduler.LinearLR,
            {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 12},
        ),
    }
    for name, (kind, options) in schedulers.items():
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        scheduler, expected = kind(optimizer, **options), []
        for _ in range(12):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        schedule = {"name": name, **(options if name == "step" else {})}
        assert rates(schedule=schedule) == pytest.approx(expected), name


def test_one_cycle_rises_and_falls_and_a_warmup_only_rises() -> None:
    cycle = rates(100, schedule={"name": "one_cycle", "pct_start": 0.25})
    assert cycle[0] == pytest.approx(1 / 25)
    assert int(np.argmax(cycle)) == 25
    assert cycle[25] == 1.0
    assert cycle[-1] < 0.01
    warm = rates(100, schedule="linear", warmup=0.1)
    assert warm[0] == pytest.approx(0.01)
    assert warm[5] == pytest.approx(0.505)
    assert warm[10] == 1.0
    assert warm[55] == pytest.approx(0.5)


def test_the_norm_of_the_gradient_is_clipped() -> None:
    network = torch.nn.Linear(3, 1, bias=False)
    before = network.weight.detach().clone()
    x = torch.eye(3)
    loader = [(x, 1e4 * torch.ones(3, 1))]
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    objective = objective_of(Train(loss="mse"))
    train_epoch(network, objective, loader, [optimizer], rate=lambda _: 1.0, clip=0.25)
    assert float((network.weight.detach() - before).norm()) == pytest.approx(0.25, rel=1e-4)


def test_patience_counts_epochs_without_an_improvement() -> None:
    watch, best = watched([1.0, 0.9, 0.95, 0.89, 0.9, 0.9, 0.9], early_stopping=2)
    assert best == [1, 2, 4]
    assert watch.best_epoch == 4
    assert watch.stopped == "epoch 6 of 60: the validation loss has not improved for 2 epochs"
    slow = [1.0 - 0.01 * epoch for epoch in range(9)]
    assert watched(slow, early_stopping=2)[0].stopped is None
    stopped, best = watched(slow, early_stopping={"patience": 3, "min_delta": 0.025})
    assert stopped.stopped is None, "three epochs together gain enough"
    assert len(best) == 9
    assert watched(slow, early_stopping={"patience": 3, "min_delta": 0.5})[0].stopped is not None


def test_of_an_accuracy_more_is_better() -> None:
    watch, best = watched([0.5, 0.7, 0.6, 0.6], early_stopping=2, watch="accuracy")
    assert best == [1, 2]
    assert str(watch.stopped).startswith("epoch 4")


def test_growth_begins_the_waiting_anew() -> None:
    watch = EpochWatch(Train(early_stopping=2))
    for epoch in range(1, 6):
        watch.see(epoch, 1.0, grown=False, growing=True)
    assert watch.stopped is None, "a network that may still grow is not over"
    watch.see(6, 1.0, grown=False, growing=False)
    watch.see(7, 1.0, grown=False, growing=False)
    assert watch.see(8, 2.0, grown=True, growing=False), (
        "the best of the grown network is one of its own epochs"
    )
    assert watch.stopped is None
    eager = EpochWatch(Train.model_validate({"early_stopping": {"patience": 2, "during_growth": True}}))
    for epoch in range(1, 4):
        eager.see(epoch, 1.0, grown=False, growing=True)
    assert eager.stopped is not None


def test_a_plateau_lowers_the_rate() -> None:
    watch, _ = watched([1.0] * 8, schedule={"name": "plateau", "patience": 2, "factor": 0.5})
    assert watch.reduced == 0.25  # after epochs 4 and 7
    better, _ = watched([1.0 / epoch for epoch in range(1, 9)], schedule="plateau")
    assert better.reduced == 1.0


def best_of(run: Run) -> tuple[int, float]:
    """The epoch with the least validation loss since the last growth step."""
    last = max(event.epoch for event in run.events if event.decision is not None)
    told = [epoch for epoch in run.epochs if epoch.epoch >= last]
    least = min(told, key=lambda epoch: epoch.validation["loss"])
    return least.epoch, least.validation["loss"]


def test_the_best_weights_of_the_grown_network_are_kept(tmp_path: Path) -> None:
    spec = parse_spec(text("keep: best, early_stopping: 3, schedule: constant, optimizer: {lr: 0.1}"))
    run = grow(spec, out=tmp_path / "run", seed=2, device="cpu")
    epoch, loss = best_of(run)
    assert run.summary["kept_epoch"] == epoch < run.epochs[-1].epoch < 20
    assert run.summary["stopped"].endswith("has not improved for 3 epochs")
    assert run.summary["validation"]["loss"] == pytest.approx(loss, rel=1e-6)
    assert run.summary["steps"] > 0
    loaded = load_run(tmp_path / "run")
    assert loaded.summary == run.summary
    assert loaded.measure() == {part: run.summary[part] for part in ("train", "validation", "test")}
    assert loaded.spec == run.spec


RUNS = {
    "best and stopped": "keep: best, early_stopping: 4, schedule: constant, optimizer: {lr: 0.08}",
    "plateau with muon": "schedule: {name: plateau, patience: 0, factor: 0.5}, optimizer: {name: muon, lr: 0.02}, "
    "keep: best, watch: f1_macro",
    "one cycle, clipped, with weights": "schedule: one_cycle, clip: 0.5, class_weight: balanced, "
    "label_smoothing: 0.1, optimizer: {name: rmsprop, lr: 0.01, momentum: 0.5}",
}


@pytest.mark.parametrize("train", RUNS.values(), ids=RUNS)
def test_a_run_that_is_resumed_is_the_same_to_the_bit(tmp_path: Path, train: str) -> None:
    whole = grow(parse_spec(text(train)), out=tmp_path / "whole", seed=5, device="cpu")
    for after in (3, len(whole.epochs) - 1):
        path = tmp_path / f"after-{after}"
        broken_off(text(train), path, after)
        run = resume(path)
        same_runs(path, tmp_path / "whole")
        assert run.summary == {**whole.summary, "run": str(path)}


def test_validation_is_a_share_or_a_fold_and_the_test_part_stays() -> None:
    labels = np.arange(60) % 2
    usual = split("rows", 60, labels)
    half = split("rows", 60, labels, validation=0.5)
    assert (len(half.train), len(half.validation)) == (18, 30)
    folds = [split("rows", 60, labels, validation=Fold(fold=number, of=4)) for number in range(1, 5)]
    for each in (half, *folds):
        assert np.array_equal(each.test, usual.test)
        assert sorted((*each.train, *each.validation, *each.test)) == list(range(60))
    held_out = np.concatenate([each.validation for each in folds])
    assert sorted(held_out) == sorted((*usual.train, *usual.validation)), "each sample is held out once"
    assert all(labels[each.validation].mean() == 0.5 for each in folds)
    with pytest.raises(
        RunError, match=r"too few samples of `1` \(4\): each class needs at least 5, one a fold"
    ):
        split("rows", 14, (np.arange(14) > 9).astype(int), (0, 1), validation=Fold(of=4))
    run = grow(parse_spec(text("validation: {fold: 2, of: 4}, metrics: [f1_macro]")), device="cpu")
    assert run.data is not None
    assert (len(run.data.train), len(run.data.validation), len(run.data.test or ())) == (90, 30, 30)
