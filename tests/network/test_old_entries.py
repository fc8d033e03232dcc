"""`growth.freeze: old`: what was there keeps its bits, and only what is new is trained."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gromo_graph import (
    GrowingNetwork,
    GrowthError,
    GrowthScheduler,
    RunError,
    SpecError,
    compile_network,
    edit,
    grow,
    parse_spec,
    resume,
)
from gromo_graph.spec.settings import Growth
from tests.network.test_optimizers_follow import HELD_OUT, LOSS, TRAIN, train
from tests.run.specs import iris
from tests.run.test_resume import same_runs

optim = torch.optim
SPEC = """
nodes:
  x: {kind: input, shape: [6]}
  h: {kind: linear, from: x, features: 3}
  n: {kind: batch_norm, from: h, activation: relu}
  g: {kind: linear, from: n, features: 3, activation: tanh}
  y: {kind: linear, from: g, features: 3}
output: y
growth: {freeze: old, groups: 2, neurons: {per_step: 2}, when: {every: 1, until: 1.0}}
"""
MAKERS: dict[str, Callable[[GrowingNetwork], list[optim.Optimizer]]] = {
    "adamw": lambda network: [optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.3)],
    "amsgrad": lambda network: [optim.Adam(network.parameters(), lr=0.01, weight_decay=0.3, amsgrad=True)],
    "sgd": lambda network: [optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)],
    "adagrad": lambda network: [optim.Adagrad(network.parameters(), lr=0.1)],
    "muon": lambda network: [
        optim.Muon([p for p in network.parameters() if p.dim() == 2], lr=0.1),
        optim.RMSprop([p for p in network.parameters() if p.dim() != 2], momentum=0.5),
    ],
}


def begun(kind: str, policy: Any = None, **options: Any) -> tuple[GrowthScheduler, list[optim.Optimizer]]:
    network = compile_network(parse_spec(SPEC), seed=0)
    optimizers = MAKERS[kind](network)
    return GrowthScheduler(
        network, LOSS, optimizer=optimizers, policy=policy, epochs=9, **options
    ), optimizers


def values(network: GrowingNetwork) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """The entries of a grown parameter that stand where those of the old one did: new ones come behind."""
    return tensor[tuple(slice(size) for size in like.shape)]


@pytest.mark.parametrize("kind", MAKERS)
def test_old_entries_keep_their_bits_and_new_ones_are_trained(kind: str) -> None:
    scheduler, optimizers = begun(kind)
    network, first = scheduler.network, values(scheduler.network)
    train(network, optimizers)
    assert all(torch.equal(tensor, first[name]) for name, tensor in values(network).items())
    for _ in range(2):
        event = scheduler.step(TRAIN, HELD_OUT)
        assert event is not None
        assert event.decision is not None
        grown = values(network)
        train(network, optimizers)
    after = values(network)
    for name, old in first.items():
        assert torch.equal(part(after[name], old), old), name
    assert {name for name in after if not torch.equal(after[name], grown[name])} >= {
        "nodes.g.layer.weight",
        "nodes.y.layer.weight",
    }


def test_without_it_old_entries_move() -> None:
    scheduler, optimizers = begun("adamw", Growth())
    first = values(scheduler.network)
    train(scheduler.network, optimizers)
    assert not any(torch.equal(tensor, first[name]) for name, tensor in values(scheduler.network).items())


def test_new_outputs_are_trained_from_the_first_step() -> None:
    scheduler, optimizers = begun("adamw")
    network, first = scheduler.network, values(scheduler.network)
    with edit(network, optimizer=optimizers) as change:
        change.widen_outputs(5)
    train(network, optimizers)
    for key in ("weight", "bias"):
        assert torch.equal(network.parts["y.old"].get_parameter(key), first[f"nodes.y.layer.{key}"])
    assert bool(network.parts["y.new"].get_parameter("weight").any())


def test_parts_may_be_named_as_new() -> None:
    scheduler, optimizers = begun("sgd", new=["y"])
    first = values(scheduler.network)
    train(scheduler.network, optimizers)
    moved = {
        name for name, tensor in values(scheduler.network).items() if not torch.equal(tensor, first[name])
    }
    assert moved == {"nodes.y.layer.weight", "nodes.y.layer.bias"}
    with pytest.raises(GrowthError, match="new='nothing': expected a node"):
        begun("sgd", new=["nothing"])


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_copies_saved_states_and_undo_know_what_is_old(kind: str) -> None:
    scheduler, optimizers = begun(kind)
    network, first = scheduler.network, values(scheduler.network)
    scheduler.step(TRAIN, HELD_OUT)
    train(network, optimizers)
    twin = copy.deepcopy(scheduler)
    again = MAKERS[kind](network)
    again[0].load_state_dict(optimizers[0].state_dict())
    other = GrowthScheduler(network, LOSS, optimizer=again, epochs=9)
    assert other._optimizers.marks == scheduler._optimizers.marks
    for each in (twin, scheduler):
        each.undo()
        train(each.network, list(each._optimizers))
        assert all(torch.equal(tensor, first[name]) for name, tensor in values(each.network).items())


def test_growth_that_would_shift_an_old_bias_is_left_out() -> None:
    network = compile_network(parse_spec(SPEC.replace("tanh", "sigmoid")), seed=0)
    optimizer = optim.SGD(network.parameters(), lr=0.1)
    plan = GrowthScheduler(network, LOSS, optimizer=optimizer).plan(TRAIN)
    reasons = {each.target: each.reason for each in plan.candidates}
    assert "which the bias of `y` would take back, and `growth.freeze: old` keeps that bias" in str(
        reasons["g"]
    )
    assert reasons["h"] is None


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"stop": {"steps": 0}}, "nothing would be trained: `growth.freeze: old` keeps all weights"),
        ({"stop": {"parameters": 50}, "when": {"until": 0.5}}, "nothing can grow: over budget as it is"),
    ],
)
def test_a_network_without_anything_to_train_is_refused(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(GrowthError, match=message):
        begun("adamw", {"freeze": "old", **policy})


def test_bad_input() -> None:
    network = compile_network(parse_spec(SPEC), seed=0)
    with pytest.raises(GrowthError, match="keeps the optimizer off old weights: expected optimizer="):
        GrowthScheduler(network, LOSS)
    with pytest.raises(GrowthError, match="LBFGS moves all of them together"):
        GrowthScheduler(network, LOSS, optimizer=optim.LBFGS(network.parameters()))
    for other in ("apply_delta: true", "actions: [prune]", "shrink: 0.5"):
        told = re.escape(other)
        with pytest.raises(SpecError, match=f"`freeze: old` keeps old weights as they are, which `{told}`"):
            parse_spec(SPEC.replace("groups: 2", other))


FROZEN = {"growth__freeze": "old", "train__epochs": "6", "growth__when": "{until: 0.6}"}


def test_a_run_keeps_the_weights_of_another_one(tmp_path: Path) -> None:
    first = grow(iris(train__epochs="2", growth__stop="{steps: 0}"), out=tmp_path / "first")
    old = values(first.network)

    def stop(progress: Any) -> None:
        if progress.epoch == 3:
            raise KeyboardInterrupt

    grow(iris(**FROZEN), weights=tmp_path / "first", out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        grow(iris(**FROZEN), weights=tmp_path / "first", out=tmp_path / "broken", on_progress=stop)
    again = resume(tmp_path / "broken")
    same_runs(tmp_path / "whole", tmp_path / "broken")
    for name, tensor in values(again.network).items():
        assert torch.equal(part(tensor, old[name]), old[name]), name
        assert name.endswith("y.layer.bias") or not torch.equal(tensor, old[name])


def test_a_run_from_random_weights_has_nothing_old() -> None:
    with pytest.raises(RunError, match="keeps weights that have been trained"):
        grow(iris(**FROZEN))
