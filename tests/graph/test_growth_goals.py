"""Widths and budgets that growth cannot reach are refused before anything is trained, with what to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gromo_graph import (
    GraphError,
    GrowthError,
    GrowthScheduler,
    RunError,
    SpecError,
    compile_network,
    grow,
    parse_spec,
)
from gromo_graph.graph import build_graph
from gromo_graph.graph.growth_goals import check_goals, goal_problems
from gromo_graph.spec import Spec, dump_spec
from gromo_graph.spec.defaults import TARGET_SCHEDULE
from tests.cli.test_verbs import call, failed
from tests.run.specs import iris

TARGETS = """
name: targets
nodes:
  x: {kind: input, shape: [4]}
  stem: {kind: linear, from: x, features: 4, activation: relu, grow: {target: 16}}
  h: {kind: linear, from: stem, features: 4, activation: relu, grow: {target: 16}}
  mix: {kind: linear, from: h, features: 4, grow: {target: 16}}
  join: {kind: merge, from: [stem, mix], activation: relu}
  y: {kind: linear, from: join, features: 3}
output: y
train: {data: iris, epochs: 4, batch_size: 16}
"""
REFUSED = {
    "nodes.mix.grow.target=24": (
        "nodes.mix.grow.target: found 24, and `stem`, which has the same width, has the target 16: write `target: 24` "
        "at both"
    ),
    "growth.stop.parameters=300": "growth.stop.parameters: found 300, and the network has 675",
    "growth.stop.madds=300": "growth.stop.madds: found 300, and the network has",
    "growth.when.every=1": "leave `every` and `plateau` out",
    "growth.neurons.per_step=1": "write 2 or more, or raise `growth.when.steps`",
    "nodes.h.grow.step=1": "nodes.h.grow.step: found 1: in 10 steps `h` gets 10 of the 12 features",
    "growth.actions=[new_edge]": "`growth.actions` does not name `widen`",
}


def targets(*overrides: str) -> Spec:
    return parse_spec(TARGETS, overrides=list(overrides))


@pytest.mark.parametrize("setting", REFUSED)
def test_what_cannot_be_reached_is_refused_with_what_to_write(setting: str) -> None:
    spec = targets(setting)
    with pytest.raises(GraphError) as refused:
        check_goals(build_graph(spec))
    assert REFUSED[setting] in str(refused.value)
    with pytest.raises(GraphError):
        grow(spec)
    with pytest.raises(GrowthError) as refused_by_scheduler:
        GrowthScheduler(compile_network(spec, seed=0), torch.nn.functional.cross_entropy)
    assert str(refused_by_scheduler.value) == str(refused.value)


HEADS = """
nodes:
  x: {kind: input, shape: [4, 6]}
  q: {kind: conv1d, from: x, features: 4, kernel: 1, grow: {target: 6}}
  k: {kind: conv1d, from: x, features: 4, kernel: 1}
  v: {kind: conv1d, from: x, features: 4, kernel: 1, grow: {target: 7}}
  a: {kind: attention, from: [q, k, v], heads: 2}
  f: {kind: flatten, from: a}
  y: {kind: linear, from: f, features: 2}
output: y
"""


def test_widths_that_heads_share_are_reached_in_whole_units_or_not_at_all() -> None:
    found = dict(goal_problems(build_graph(parse_spec(HEADS))))
    assert found["nodes.v.grow.target"] == "found 7, and the width grows from 4 by 2: write 8"
    assert "leave `target` out" in found["nodes.q.grow.target"]


def test_a_target_of_a_node_that_cannot_grow_is_refused() -> None:
    ((path, message),) = goal_problems(build_graph(targets("nodes.y.grow={target: 5}")))
    assert path == "nodes.y.grow.target"
    assert "cannot grow" in message


def test_targets_that_fit_a_budget_are_reached() -> None:
    spec = targets("growth.stop.parameters=675")
    check_goals(build_graph(spec))
    run = grow(spec, seed=0)
    assert [run.spec.nodes[name].features for name in ("stem", "h", "mix")] == [16, 16, 16]  # type: ignore[attr-defined]
    assert run.summary["parameters"] == 675


def test_growth_to_targets_takes_place_in_the_middle_if_nobody_says_when() -> None:
    when = targets().growth.when
    assert {key: getattr(when, key) for key in TARGET_SCHEDULE} == TARGET_SCHEDULE
    assert parse_spec(dump_spec(targets())).growth == targets().growth
    assert targets("growth.when.until=0.3").growth.when.until == 0.3
    assert targets("growth.stop.parameters=675").growth.when.until == 0.25
    assert iris(growth="{}").growth.when.until == 0.25


def test_the_verbs_tell_it(tmp_path: Path) -> None:
    file = tmp_path / "targets.yaml"
    file.write_text(TARGETS)
    wrong = ("--set", "nodes.mix.grow.target=24")
    assert "write `target: 24` at both" in failed(call("validate", file, *wrong), 2)
    assert "write `target: 24` at both" in failed(call("grow", file, "-o", tmp_path / "run", *wrong), 2)
    assert not (tmp_path / "run").exists()
    told = call("validate", file, *wrong, "--json")
    assert told.exit_code == 2
    assert [problem["path"] for problem in json.loads(told.stdout)] == ["nodes.mix.grow.target"]
    assert call("validate", file, "--json").stdout.strip() == "[]"


def test_a_budget_below_the_beginning_is_told_at_the_start() -> None:
    with pytest.warns(
        UserWarning, match=r"nothing will grow: over budget as it is: 11 of 10 parameters; write"
    ):
        grow(iris(growth="{stop: {parameters: 10}}", train__epochs="1"))


def test_a_training_too_short_for_its_steps_is_told_at_the_start() -> None:
    with pytest.warns(UserWarning, match="growth is tried 3 times and not 40 times"):
        grow(iris(growth="{when: {steps: 40, until: 0.5}}", train__epochs="2"))


def test_a_training_of_fewer_steps_than_ticks_to_a_target_is_told_at_the_start() -> None:
    def short(batch_size: int) -> Spec:
        return iris(
            nodes__hidden__grow="{target: 9}",
            growth="{}",
            train__epochs="1",
            train__batch_size=str(batch_size),
        )

    words = (
        "growth is tried 1 time and not 2 times .* has 1 training step in all; train longer, or ask for fewer"
    )
    with pytest.warns(UserWarning, match=words):
        grow(short(90))
    grow(short(45))  # two steps, in which a warning would be an error


def test_begin_after_until_is_refused() -> None:
    with pytest.raises(SpecError, match="write a `begin` below `until`"):
        iris(growth="{when: {begin: 0.5, until: 0.4}}")


def test_a_loader_without_a_length_is_refused_at_the_start() -> None:
    class Unsized:
        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter([(torch.randn(8, 4), torch.zeros(8, dtype=torch.int64))])

    loaders = {"train": Unsized(), "validation": Unsized()}
    with pytest.raises(RunError, match="the train loader has no length"):
        grow(iris(growth="{}"), data=loaders)
