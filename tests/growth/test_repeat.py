"""Depth by whole blocks: stages get another block, which begins as the identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gromo_graph import GrowthScheduler, compile_network, grow, parse_spec, render, replay, resume
from gromo_graph.graph import build_graph
from gromo_graph.graph.paths import NoBridge
from gromo_graph.graph.repeating import Stage, stages
from gromo_graph.growth.candidates.repeat import NewBlock
from gromo_graph.spec.text.write_back import write_back_text
from tests.growth.problems import Begun, loss_of, planned
from tests.run.test_resume import same_runs

DENSE = """
vars: {width: 4}
blocks:
  residual:
    params: {hidden: 3}
    inputs: [x]
    nodes:
      up:   {kind: linear, from: x, features: "${hidden}", activation: relu}   # wide
      down: {kind: linear, from: up, features: "${width}"}
      add:  {kind: merge, from: [x, down]}
    output: add
nodes:
  x: {kind: input, shape: [5]}
  stem: {kind: linear, from: x, features: "${width}", activation: tanh}
  body: {use: residual, from: stem, repeat: 2}        # deep
  y: {kind: linear, from: body, features: 3}
output: y
"""
RESNET = """
blocks:
  basic:
    inputs: [x]
    nodes:
      one: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, bias: false}
      norm1: {kind: batch_norm, from: one, activation: relu}
      two: {kind: conv2d, from: norm1, features: 3, kernel: 3, padding: 1, bias: false}
      norm2: {kind: batch_norm, from: two}
      add: {kind: merge, from: [norm2, x], activation: relu}
    output: add
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  stem: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1}
  stage: {use: basic, from: stem, repeat: 1}
  pool: {kind: adaptive_avg_pool2d, from: stage, size: 1}
  flat: {kind: flatten, from: pool}
  y: {kind: linear, from: flat, features: 3}
output: y
"""
TRANSFORMER = """
blocks:
  layer:
    inputs: [x]
    nodes:
      norm1: {kind: layer_norm, from: x, over: features}
      q: {kind: conv1d, from: norm1, features: 4, kernel: 1}
      k: {kind: conv1d, from: norm1, features: 4, kernel: 1}
      v: {kind: conv1d, from: norm1, features: 4, kernel: 1}
      mix: {kind: attention, from: [q, k, v], heads: 2}
      out: {kind: conv1d, from: mix, features: 4, kernel: 1}
      add1: {kind: merge, from: [x, out]}
      norm2: {kind: layer_norm, from: add1, over: features}
      up: {kind: conv1d, from: norm2, features: 5, kernel: 1, activation: gelu}
      down: {kind: conv1d, from: up, features: 4, kernel: 1}
      add2: {kind: merge, from: [add1, down]}
    output: add2
nodes:
  x: {kind: input, shape: [4, 5]}
  body: {use: layer, from: x, repeat: 2}
  f: {kind: flatten, from: body}
  y: {kind: linear, from: f, features: 3}
output: y
"""
SPECS = {"dense": (DENSE, (5,)), "resnet": (RESNET, (2, 6, 6)), "transformer": (TRANSFORMER, (4, 5))}


def begun(name: str, **policy: Any) -> Begun:
    text, shape = SPECS[name]
    return planned(text, shape, **{"actions": ["deepen"], **policy})


def block(candidates: Any) -> NewBlock:
    (found,) = [each for each in candidates if isinstance(each, NewBlock)]
    return found


@pytest.mark.parametrize("criterion", ["tiny", "natural"])
@pytest.mark.parametrize("name", SPECS)
def test_slopes_are_those_of_the_loss(name: str, criterion: str) -> None:
    network, scheduler, candidates, loader = begun(name, criterion=criterion)
    before, found = loss_of(network, loader), block(candidates)
    draft = found.draft(network, scheduler.policy)
    assert loss_of(draft.at(0.0), loader) == pytest.approx(before, rel=1e-12)
    assert found.slope is not None
    assert found.slope > 0.0
    after = loss_of(draft.at(1e-6), loader)
    assert (before - after) / 1e-6 == pytest.approx(found.slope, rel=1e-2)


@pytest.mark.parametrize("name", SPECS)
def test_a_step_adds_a_block_and_is_undone(name: str) -> None:
    network, scheduler, candidates, loader = begun(name)
    found, before, spec, parameters = (
        block(candidates),
        loss_of(network, loader),
        network.spec,
        network.graph.parameter_count,
    )
    event = scheduler.apply(found)
    assert event.decision is not None
    assert event.loss_after < event.loss_before
    assert network.graph.parameter_count - parameters == found.delta_parameters
    assert network.spec == parse_spec(event.spec)
    last = found.stage.names[found.stage.end]
    assert network.graph.readers(found.stage.end)
    assert last in network.spec.nodes
    again = next(each for each in stages(network.graph) if isinstance(each, Stage))
    assert again.entry == found.stage.end
    scheduler.undo()
    assert network.spec == spec
    assert loss_of(network, loader) == before


def test_stages_that_cannot_be_repeated_are_left_out_with_the_reason() -> None:
    def reason(text: str) -> str:
        (found,) = stages(build_graph(parse_spec(text)))
        assert isinstance(found, NoBridge)
        return found.reason

    assert "expected a residual block" in reason(
        DENSE.replace("from: [x, down]}", "from: [x, down], activation: tanh}")
    )
    assert "expected a linear or convolution layer or a norm" in reason(
        DENSE.replace('from: up, features: "${width}"', 'from: up, features: "${width}", activation: tanh')
    )
    assert "is frozen" in reason(
        DENSE.replace('"${width}"}\n      add', '"${width}", frozen: true}\n      add')
    )
    assert "it is an output" in reason(DENSE.replace("output: y", "outputs: [y, body]"))
    _, _, candidates, _ = begun("dense", stop={"parameters": 90})
    (found,) = [each for each in candidates if each.target == "body"]
    assert found.reason == "another block would pass the budget"


def test_the_authors_file_repeats_the_block_once_more() -> None:
    network, scheduler, candidates, _ = begun("dense")
    scheduler.apply(block(candidates))
    written = write_back_text(DENSE, network.spec)
    assert "repeat: 3}        # deep" in written.text
    assert "# wide" in written.text
    assert parse_spec(written.text) == network.spec
    assert any("`body` is repeated 3 times" in note for note in written.notes)


def test_optimizers_follow_and_new_weights_join_the_group_of_their_originals() -> None:
    network, _, _, loader = begun("transformer")
    inside, outside = [], []
    for name, parameter in network.named_parameters():
        (inside if "body" in name else outside).append(parameter)
    optimizer = torch.optim.AdamW([{"params": inside, "lr": 0.01}, {"params": outside, "lr": 0.1}])
    scheduler = GrowthScheduler(
        network,
        torch.nn.functional.cross_entropy,
        optimizer=optimizer,
        policy={"actions": ["deepen"]},
        training_steps=9,
    )
    scheduler.apply(block(scheduler.plan(loader).candidates))
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {
        id(p) for name, p in network.named_parameters() if "body" in name
    }


def test_a_run_deepens_is_resumed_replayed_and_drawn(tmp_path: Path) -> None:
    text = DENSE.replace("[5]", "[64]").replace("features: 3}\noutput", "features: 10}\noutput") + (
        "growth: {actions: [deepen], select: slope_per_parameter, when: {until: 1.0, steps: 3}}\n"
        "train: {epochs: 3, data: digits, batch_size: 256}\n"
    )
    run = grow(parse_spec(text), out=tmp_path / "run", seed=0)
    blocks = [event for event in run.events if event.decision is not None and event.decision.target == "body"]
    assert blocks
    assert "another block of body" in render(compile_network(parse_spec(blocks[0].spec)), event=blocks[0])
    again = replay(tmp_path / "run", to=blocks[-1].step, out=tmp_path / "again")
    assert again.network.spec == parse_spec(blocks[-1].spec)

    def stop(progress: Any) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(parse_spec(text), out=tmp_path / "broken", seed=0, on_progress=stop)
    resume(tmp_path / "broken")
    same_runs(tmp_path / "run", tmp_path / "broken")
