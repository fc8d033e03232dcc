"""Values from Python are taken for what they stand for: numpy numbers, arrays, paths, enumerations."""

from __future__ import annotations

import json
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gromo_graph import (
    AddNode,
    GraphError,
    Growth,
    GrowthError,
    GrowthScheduler,
    Neurons,
    RunError,
    SetFeatures,
    SetSection,
    SpecError,
    Stop,
    Train,
    compile_network,
    edit,
    grow,
    parse_spec,
    replay,
)

TEXT = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2}
  y: {kind: linear, from: h, features: 3}
output: y
train: {data: iris, epochs: 1}
"""


class Select(Enum):
    slope = "slope"


class Kind(StrEnum):
    linear = "linear"


def test_nodes_and_sections_of_edits() -> None:
    spec = parse_spec(TEXT)
    assert SetFeatures("h", np.int64(3)).spec_of(spec).nodes["h"].features == 3  # type: ignore[arg-type,attr-defined]
    node = {"kind": Kind.linear, "from": ("h",), "features": np.int32(2), "bias": np.bool_(False)}
    added = AddNode("b", node).spec_of(spec).nodes["b"]
    assert added.model_dump(include={"kind", "features", "bias"}) == {
        "kind": "linear",
        "features": 2,
        "bias": False,
    }
    assert type(added.features) is int  # type: ignore[attr-defined]
    shape = AddNode("i", {"kind": "input", "shape": np.array([3, 8])}).spec_of(spec).nodes["i"]
    assert shape.shape == (3, 8)  # type: ignore[attr-defined]
    growth: dict[str, Any] = {
        "select": Select.slope,
        "stop": {"parameters": np.int64(90)},
        "ridge": np.float64(0.5),
    }
    assert SetSection("growth", growth).spec_of(spec).growth == Growth(
        select="slope", stop=Stop(parameters=90), ridge=0.5
    )
    with pytest.raises(SpecError, match=r"nodes\.h\.features: found 3\.5, expected an integer"):
        SetFeatures("h", np.float64(3.5)).spec_of(spec)  # type: ignore[arg-type]


def test_models() -> None:
    assert Growth(select=Select.slope, neurons=Neurons(per_step=np.int64(3))).neurons.per_step == 3  # type: ignore[arg-type]
    assert Train(data=Path("sets/a.csv"), epochs=torch.tensor(3)) == Train(data="sets/a.csv", epochs=3)  # type: ignore[arg-type]


def test_overrides() -> None:
    found = parse_spec(TEXT, overrides={"train.epochs": np.int64(7), "growth.stop": {"steps": 2}})
    assert (found.train.epochs, found.growth.stop.steps) == (7, 2)


def test_seeds_and_policies(tmp_path: Path) -> None:
    spec = parse_spec(TEXT)
    network = compile_network(spec, seed=np.int64(3))  # type: ignore[arg-type]
    assert torch.equal(network.parts["h"].weight, compile_network(spec, seed=3).parts["h"].weight)
    grow(spec, seed=np.int64(3), max_memory=np.int64(10**9), out=tmp_path / "run")  # type: ignore[arg-type]
    assert json.loads((tmp_path / "run" / "command.json").read_text())["seed"] == 3
    with pytest.raises(RunError, match="seed a: expected a whole number"):
        grow(spec, seed="a")  # type: ignore[arg-type]
    loss = torch.nn.functional.cross_entropy
    assert (
        GrowthScheduler(network, loss, policy={"neurons": {"per_step": np.int64(1)}}).policy.neurons.per_step
        == 1
    )
    with pytest.raises(SpecError, match=r"^policy growth\.neuron: unknown key: .*did you mean `neurons`"):
        GrowthScheduler(network, loss, policy={"neuron": 1})
    unchecked = spec.growth.model_copy(update={"stop": {"parameters": -1}})
    with pytest.raises(SpecError, match=r"^policy growth\.stop\.parameters: found -1"):
        GrowthScheduler(network, loss, policy=unchecked)
    with pytest.raises(SpecError, match=r"^<edit> growth\.neuron: unknown key"):
        SetSection("growth", {"neuron": 1}).spec_of(spec)
    with pytest.raises(GrowthError, match="policy: found a int, expected a Growth or a map"):
        GrowthScheduler(network, loss, policy=3)  # type: ignore[arg-type]
    with pytest.raises(
        GrowthError, match=r"found a Sequential, .*: call .*from_torch\(model, example_input\)"
    ):
        GrowthScheduler(torch.nn.Sequential(), loss)  # type: ignore[arg-type]


class Action(Enum):
    WIDEN = "widen"


def test_actions_and_devices_may_be_objects() -> None:
    assert Growth(actions=[Action.WIDEN]).actions == ("widen",)
    assert grow(parse_spec(TEXT), device=torch.device("cpu")).network.spec is not None  # type: ignore[arg-type]


def test_steps_to_go_to_are_whole_numbers_of_any_kind(tmp_path: Path) -> None:
    text = TEXT + "growth: {when: {every: 1, until: 1.0}}\n"
    grow(parse_spec(text), out=tmp_path / "run", device="cpu")
    again = replay(tmp_path / "run", to=np.int64(1), out=tmp_path / "one")  # type: ignore[arg-type]
    assert again.summary["steps"] == 1
    for wrong in (1.0, "1", None):
        with pytest.raises(RunError, match="expected a number of applied growth steps"):
            replay(tmp_path / "run", to=wrong, out=tmp_path / "two")  # type: ignore[arg-type]


def test_what_stands_for_nothing_is_told() -> None:
    with pytest.raises(GrowthError, match="epochs='3': expected the length of the training"):
        GrowthScheduler(compile_network(parse_spec(TEXT)), torch.nn.functional.cross_entropy, epochs="3")  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=r"`q`: found 3, expected a map"), edit(parse_spec(TEXT)) as e:
        e.insert("x", "h", "q", 3)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=r"`h`: found 3, expected a map"), edit(parse_spec(TEXT)) as e:
        e.replace("h", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the text of a document, found bytes"):
        parse_spec(TEXT.encode())  # type: ignore[arg-type]
