"""The specs that ship are sound, are compiled, grow and are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from gromo_graph import (
    GrowthEvent,
    GrowthScheduler,
    Spec,
    compile_network,
    dump_spec,
    grow,
    load_spec,
    parse_spec,
    render,
)
from gromo_graph.network.example_inputs import random_inputs
from gromo_graph.spec.data_sections import TextData

SPECS = sorted((Path(__file__).resolve().parent.parent / "specs").glob("*.yaml"))


def some_digits() -> tuple[np.ndarray, np.ndarray]:
    """A part of the digits is enough to see a network grow."""
    bunch = load_digits()
    return bunch.data[:400].reshape(-1, 1, 8, 8), bunch.target[:400]


def stepped(spec: Spec) -> GrowthEvent:
    """One growth step of a network with several inputs and outputs, on numbers drawn at random."""
    generator = torch.Generator().manual_seed(0)
    network = compile_network(spec, seed=0)
    inputs = random_inputs(network, 64)
    data = [(inputs, torch.randn(64, 1, generator=generator))]

    def loss(prediction: dict[str, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        return sum(((value - target) ** 2).mean() for value in prediction.values())

    event = GrowthScheduler(network, loss).step(data, data)
    assert event is not None
    return event


def test_there_is_one_of_each_kind() -> None:
    names = {path.stem.removeprefix("digits_") for path in SPECS}
    assert names >= {
        "mlp",
        "residual",
        "branches",
        "cnn",
        "residual_cnn",
        "u",
        "mixer",
        "tokens",
        "gpt",
        "two_inputs",
    }


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_flat_text_gives_the_same_spec(path: Path) -> None:
    spec = load_spec(path)
    assert parse_spec(dump_spec(spec)) == spec


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_spec(path: Path, tmp_path: Path) -> None:
    overrides = ["train.epochs=4", "growth.statistics={samples: 128}"]
    spec = load_spec(path, overrides=overrides)
    if isinstance(spec.data, TextData):  # a part of the text is enough
        spec = load_spec(path, overrides=[*overrides, "data.limit=2500", "growth.stop={parameters: 9700}"])
    if len(spec.inputs) == 1:
        run = grow(spec, data=some_digits() if spec.data is None else None, seed=0)
        applied = [event for event in run.events if event.decision is not None]
        drawn = render(run, tmp_path / "grown.svg").read_text()
    else:
        event = stepped(spec)
        applied = [event]
        drawn = render(parse_spec(event.spec), tmp_path / "grown.svg", event=event).read_text()
    assert applied
    drawn_alone = [event for event in applied if event.slope == 0.0]  # they change nothing yet
    assert all(event.loss_after == event.loss_before for event in drawn_alone)
    assert all(event.loss_after < event.loss_before for event in applied if event not in drawn_alone)
    assert len(drawn_alone) < len(applied) or len(spec.inputs) > 1
    layers = [name for name, node in spec.nodes.items() if node.kind != "merge"]
    assert all(name in drawn for name in layers)
