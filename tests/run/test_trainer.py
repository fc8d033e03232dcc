"""Losses, optimizers, schedules and means over samples."""

from __future__ import annotations

import pytest
import torch

from gromo_graph.errors import RunError
from gromo_graph.run.data.samples import Part
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.run.trainer import evaluate, train_epoch
from gromo_graph.run.training.objective import objective_of
from gromo_graph.run.training.optimizers import make_optimizers
from gromo_graph.run.training.schedules import learning_rate
from gromo_graph.spec.optimizer_settings import Optimizer
from gromo_graph.spec.train_settings import Train


def _part(samples: int = 10) -> Part:
    generator = torch.Generator().manual_seed(0)
    return Part(torch.randn(samples, 3, generator=generator), torch.arange(samples) % 2)


def test_means_are_over_samples_also_with_a_short_last_batch() -> None:
    network = torch.nn.Linear(3, 2)
    part = _part()
    found = evaluate(network, objective_of(Train()), TensorLoader(part, 4))
    with torch.no_grad():
        scores = network(part.x)
    assert found["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(scores, part.y)), rel=1e-6)
    assert found["accuracy"] == float((scores.argmax(1) == part.y).double().mean())


def test_evaluation_changes_nothing() -> None:
    network = torch.nn.Sequential(
        torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5), torch.nn.Linear(3, 2)
    ).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loader = TensorLoader(_part(), 4)
    first = evaluate(network, objective_of(Train()), loader)
    assert evaluate(network, objective_of(Train()), loader) == first
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adagrad", "muon"])
def test_training_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    asked = Optimizer.model_validate({"name": name, "lr": 0.1, "momentum": 0.5, "weight_decay": 0.01})
    optimizers = make_optimizers(network, asked)
    assert optimizers[0].param_groups[0]["weight_decay"] == 0.01
    losses = [
        train_epoch(
            network, objective_of(Train()), TensorLoader(_part(), 4, seed=1), optimizers, rate=lambda _: 0.1
        )
        for _ in range(20)
    ]
    assert losses[-1]["loss"] < 0.9 * losses[0]["loss"]


def test_the_schedule_is_a_function_of_progress() -> None:
    cosine, constant = Train(), Train(schedule="constant")
    assert learning_rate(cosine, 0.0) == cosine.optimizer.lr == learning_rate(constant, 0.9)
    assert learning_rate(cosine, 1.0) == pytest.approx(0.0, abs=1e-12)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[float]:
        loader = TensorLoader(_part(), 4, seed=seed)
        loader.set_epoch(epoch)
        assert len(loader) == 3 == len(list(loader))
        return [value for x, _ in loader for value in x[:, 0].tolist()]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert sorted(order(1, 2)) == sorted(_part().x[:, 0].tolist())


def test_a_loss_that_is_not_finite_stops() -> None:
    network = torch.nn.Linear(3, 2)
    part = _part()
    part.x[5] = float("inf")
    with pytest.raises(
        RunError, match=r"the training loss is nan in epoch 7, batch 2, at learning rate 0.1: lower it"
    ):
        train_epoch(
            network,
            objective_of(Train()),
            TensorLoader(part, 4),
            [torch.optim.SGD(network.parameters(), lr=0.1)],
            rate=lambda _: 0.1,
            clock="epoch 7",
        )


def test_nothing_to_measure() -> None:
    with pytest.raises(RunError, match="no samples"):
        evaluate(torch.nn.Linear(3, 2), objective_of(Train(loss="mse")), [])
