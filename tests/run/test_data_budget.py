"""A budget that follows the number of training samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

from gromo_graph import (
    Growth,
    GrowthError,
    GrowthScheduler,
    RunError,
    branch,
    compile_network,
    dump_spec,
    grow,
    parse_spec,
    resume,
)
from gromo_graph.graph import build_graph
from gromo_graph.run.epoch_progress import Progress
from gromo_graph.run.measured_plan import plan
from gromo_graph.run.training.growth_policy import policy_for
from gromo_graph.spec import Spec
from gromo_graph.spec.settings import Stop
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
    assert "each training sample" not in run.summary["reason"]
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


OPEN = TEXT.replace("growth: {stop: {parameters_per_sample: 2}, when: {until: 0.5, steps: 4}}\n", "")
"""A spec that does not say how large the network may become."""


def size_for(text: str, *overrides: str) -> int | None:
    """The budget in parameters that the iris data set."""
    found = parse_spec(text, overrides=list(overrides))
    return policy_for(build_graph(found), SAMPLES).stop.parameters


SAMPLES = TensorDataset(torch.zeros(TRAINING, 4), torch.zeros(TRAINING, dtype=torch.long))


def test_a_spec_that_says_nothing_about_size_gets_ten_parameters_for_each_sample() -> None:
    run = grow(parse_spec(OPEN), seed=0, device="cpu")
    assert 10 * TRAINING - 8 < run.summary["parameters"] <= 10 * TRAINING
    assert (
        "of 900 parameters (10 for each training sample: `growth.stop.parameters_per_sample`)"
        in run.summary["reason"]
    )
    assert run.spec.growth.stop == Stop(), "the rule stays in the spec, and not its number"


@pytest.mark.parametrize(
    ("told", "budget"),
    [
        ("stop: {parameters: 40}", 40),
        ("stop: {parameters_per_sample: 3}", 270),
        ("stop: {parameters_per_sample: none}", None),
        ("stop: {madds: 80}", None),
        ("stop: {steps: 3}", None),
        ("stop: {accuracy: 0.9}", None),
        ("neurons: {per_step: 2}", None),
        ("neurons: {share: 0.5}", None),
        ("when: {worth: 0.1}", None),
        ("when: {every: 1}", None),
        ("actions: [new_edge]", None),
        ("actions: [widen, prune]", None),
        ("{select: information, criterion: natural}", None),
        ("when: {until: 0.5, steps: 4}", 900),
        ("neurons: {alike: 0.5}", 900),
        ("actions: [widen, new_edge]", 900),
    ],
)
def test_who_says_something_about_size_is_taken_at_their_word(told: str, budget: int | None) -> None:
    section = told if told.startswith("{") else f"{{{told}}}"
    assert size_for(f"{OPEN}growth: {section}\n") == budget


@pytest.mark.parametrize(
    ("grow_of_layer", "budget"),
    [("{target: 9}", None), ("{max: 9}", None), ("{step: 2}", None), ("{ratio: 2}", 900), ("true", 900)],
)
def test_a_layer_may_say_it(grow_of_layer: str, budget: int | None) -> None:
    assert size_for(OPEN.replace("relu}", f"relu, grow: {grow_of_layer}}}")) == budget


def test_a_network_that_begins_with_more_is_not_held_back() -> None:
    wide = OPEN.replace("features: 1,", "features: 113,")
    assert (size_for(wide), size_for(wide.replace("113", "112"))) == (None, 900)
    run = grow(parse_spec(wide, overrides=["growth.when.steps=1"]), seed=0, device="cpu")
    assert run.summary["parameters"] > 900


class OfBatches(Endless):
    """Its length counts batches, whose sizes nobody knows."""

    def __len__(self) -> int:
        return self.batches


def test_data_that_do_not_tell_their_number_set_no_budget() -> None:
    text = OPEN.replace("shape: [4]", "shape: [2]").replace("features: 3", "features: 2")
    run = grow(parse_spec(text), data={"train": OfBatches(), "validation": OfBatches()}, device="cpu")
    assert run.summary["steps"] > 0
    assert "parameters" not in run.summary["reason"]


def test_a_scheduler_of_its_own_has_no_budget_unless_it_is_told() -> None:
    network = compile_network(parse_spec(OPEN), seed=0)
    assert GrowthScheduler(network, torch.nn.functional.cross_entropy).policy.stop == Stop()


def test_a_run_from_before_goes_on_without_one() -> None:
    before = parse_spec(OPEN, defaults=6)
    assert before.growth == Growth(stop=Stop(parameters_per_sample="none"))
    assert parse_spec(dump_spec(before)) == before
    assert parse_spec(OPEN, defaults=5).growth.stop == before.growth.stop
    assert policy_for(build_graph(before), SAMPLES).stop.parameters is None


def test_it_is_resumed_to_the_bit_where_nothing_is_said(tmp_path: Path) -> None:
    def stop(progress: object) -> None:
        if getattr(progress, "epoch", 0) == 1:
            raise BrokenOffError

    grow(parse_spec(OPEN), out=tmp_path / "whole", seed=0, device="cpu")
    with pytest.raises(BrokenOffError):
        grow(parse_spec(OPEN), out=tmp_path / "broken", seed=0, device="cpu", on_progress=stop)
    resume(tmp_path / "broken")
    same_runs(tmp_path / "whole", tmp_path / "broken")


class Told:
    """A watcher that keeps the budgets that it is told, each with the epochs that were over then."""

    def __init__(self) -> None:
        self.budgets: list[tuple[int, str]] = []
        self.epochs = 0

    def __call__(self, progress: Progress) -> None:
        self.epochs += 1

    def budget(self, words: str) -> None:
        self.budgets.append((self.epochs, words))


def told_by(text: str, *overrides: str) -> list[tuple[int, str]]:
    told = Told()
    grow(parse_spec(text, overrides=list(overrides)), device="cpu", on_progress=told)
    return told.budgets


@pytest.mark.parametrize(("text", "for_each"), [(OPEN, 10), (TEXT, 2)])
def test_the_budget_is_told_once_before_the_training(text: str, for_each: int) -> None:
    words = f"{for_each * TRAINING} parameters, {for_each} for each of {TRAINING} training samples"
    assert told_by(text) == [(0, f"{words} (`growth.stop.parameters_per_sample`)")]


@pytest.mark.parametrize("override", ["growth.stop={parameters: 50}", "growth.stop={steps: 1}"])
def test_a_budget_that_does_not_follow_the_data_is_not_told(override: str) -> None:
    assert told_by(OPEN, override) == []


def test_a_branch_tells_its_own_budget_too(tmp_path: Path) -> None:
    grow(spec(), out=tmp_path / "run", seed=0, device="cpu")
    told, other = Told(), ["growth.stop.parameters_per_sample=4"]
    branch(tmp_path / "run", at=1, overrides=other, out=tmp_path / "other", on_progress=told)
    assert [words.split()[0] for _, words in told.budgets] == ["180", "360"]


@pytest.mark.parametrize("clock", ["{until: 0.5}", "{every: 1}"])
def test_a_budget_below_the_beginning_is_told_at_the_start_with_the_word_to_change(clock: str) -> None:
    small = spec("growth.stop.parameters_per_sample=0.1", f"growth.when={clock}", "train.epochs=1")
    words = (
        r"nothing will grow: .* 11 of 9 parameters .* write a larger `growth\.stop\.parameters_per_sample`, "
    )
    told = Told()
    with pytest.warns(UserWarning, match=words):
        grow(small, device="cpu", on_progress=told)
    assert not told.budgets or "every" in clock
