"""A budget that follows the number of training samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gromo_graph import (
    GrowthError,
    GrowthScheduler,
    RunError,
    branch,
    compile_network,
    grow,
    parse_spec,
    resume,
)
from gromo_graph.run.measured_plan import plan
from gromo_graph.spec import Spec
from tests.run.test_resume import BrokenOffError, same_runs
from tests.run.test_streams import Endless

TEXT = """
name: iris
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 1, activation: relu}
  y: {kind: linear, from: h, features: 3}
output: y
growth: {stop: {parameters_per_sample: 2}, when: {until: 0.5, steps: 4}}
train: {data: iris, epochs: 4, batch_size: 32}
"""
TRAINING = 90
"""Samples of the iris data that are trained on."""


def spec(*overrides: str) -> Spec:
    return parse_spec(TEXT, overrides=list(overrides))


@pytest.mark.parametrize("for_each", [1.0, 2.5])
def test_the_network_has_so_many_parameters_for_each_training_sample(for_each: float) -> None:
    run = grow(spec(f"growth.stop.parameters_per_sample={for_each}"), seed=0, device="cpu")
    budget = round(for_each * TRAINING)
    assert budget - 8 < run.summary["parameters"] <= budget
    assert f"of {budget} parameters" in run.summary["reason"]
    assert run.spec.growth.stop.parameters is None


def test_a_smaller_budget_holds() -> None:
    run = grow(spec("growth.stop.parameters=50"), seed=0, device="cpu")
    assert 42 < run.summary["parameters"] <= 50


def test_it_is_resumed_to_the_bit(tmp_path: Path) -> None:
    def stop(progress: object) -> None:
        if getattr(progress, "epoch", 0) == 2:
            raise BrokenOffError

    whole = grow(spec(), out=tmp_path / "whole", seed=0, device="cpu")
    with pytest.raises(BrokenOffError):
        grow(spec(), out=tmp_path / "broken", seed=0, device="cpu", on_progress=stop)
    resumed = resume(tmp_path / "broken")
    assert resumed.summary["parameters"] == whole.summary["parameters"]
    same_runs(tmp_path / "whole", tmp_path / "broken")


def test_a_branch_may_have_another_one(tmp_path: Path) -> None:
    grow(spec(), out=tmp_path / "run", seed=0, device="cpu")
    other = branch(
        tmp_path / "run", at=1, overrides=["growth.stop.parameters_per_sample=4"], out=tmp_path / "other"
    )
    assert 4 * TRAINING - 8 < other.summary["parameters"] <= 4 * TRAINING


def test_a_plan_keeps_within_it() -> None:
    found = plan(spec("growth.stop.parameters_per_sample=0.3"), device="cpu").candidates
    able = [candidate for candidate in found if candidate.reason is None]
    assert able
    assert all(candidate.delta_parameters <= 27 - 11 for candidate in able)


def test_data_that_do_not_tell_their_number_are_refused() -> None:
    text = TEXT.replace("shape: [4]", "shape: [2]").replace("features: 3", "features: 2")
    with pytest.raises(RunError, match=r"growth\.stop\.parameters_per_sample: .* write `parameters` instead"):
        grow(parse_spec(text), data={"train": Endless(), "validation": Endless()}, device="cpu")


def test_a_scheduler_of_its_own_is_told_what_to_give() -> None:
    network = compile_network(spec(), seed=0)
    with pytest.raises(GrowthError, match=r"write `stop\.parameters`"):
        GrowthScheduler(network, torch.nn.functional.cross_entropy)
    policy = {"stop": {"parameters": 60}}
    assert (
        GrowthScheduler(network, torch.nn.functional.cross_entropy, policy=policy).policy.stop.parameters
        == 60
    )


def test_it_is_a_budget_for_the_schedule_of_target_widths() -> None:
    aimed = TEXT.replace("activation: relu", "activation: relu, grow: {target: 9}").replace(
        "until: 0.5, ", ""
    )
    assert parse_spec(aimed).growth.when.until == 0.25
    assert parse_spec(aimed, overrides=["growth.stop={}"]).growth.when.until == 0.6
