"""The specs that ship are sound, are compiled, grow and are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from gromo_graph import grow, load_spec, render

SPECS = sorted((Path(__file__).resolve().parent.parent / "specs").glob("*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_spec(path: Path, tmp_path: Path) -> None:
    spec = load_spec(path, overrides=["train.epochs=4", "growth.statistics={samples: 256}"])
    run = grow(spec, seed=0)
    applied = [event for event in run.events if event.decision is not None]
    assert applied
    assert all(event.loss_after < event.loss_before for event in applied)
    drawn = render(run, tmp_path / "grown.svg").read_text()
    layers = [name for name, node in spec.nodes.items() if node.kind != "merge"]
    assert all(name in drawn for name in layers)
