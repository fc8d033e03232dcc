"""Kinds of the user's own: the worked example of the docs, in the YAML, the schema, the drawing and growth."""

from __future__ import annotations

import copy
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from gromo_graph import CompileError, GrowthScheduler, SpecError, compile_network, parse_spec, register_kind
from gromo_graph.kinds import Operation
from gromo_graph.spec.kinds import KINDS
from gromo_graph.spec.kinds.registry import TORCH_HALVES
from tests.cli.test_verbs import call

PAGE = (Path(__file__).parents[2] / "docs" / "own_kinds.md").read_text()


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the two files of the page; whatever they register is forgotten again."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (spec,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "learned_scale.py").write_text(code)
    (tmp_path / "scaled.yaml").write_text(spec)
    monkeypatch.chdir(tmp_path)
    tables: list[dict[Any, Any]] = [KINDS, TORCH_HALVES]
    before = [dict(table) for table in tables]
    yield tmp_path
    for table, was in zip(tables, before, strict=True):
        table.clear()
        table.update(was)
    sys.modules.pop("learned_scale", None)
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


def test_verbs_load_it_and_nothing_else_does(example: Path) -> None:
    without = call("validate", "scaled.yaml")
    assert without.exit_code == 2
    assert 'unknown kind "learned_scale"' in without.stderr
    plugin = ("--plugin", "learned_scale")
    assert call("validate", "scaled.yaml", *plugin).exit_code == 0
    schema = json.loads(call("schema", *plugin).stdout)
    assert schema["definitions"]["learned_scale"]["properties"]["begin"]["default"] == 1.0
    assert "begin 0.5" in call("render", "scaled.yaml", *plugin).stdout
    done = call("grow", "scaled.yaml", *plugin, "--out", "run", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["steps"] >= 1
    nodes = json.loads(call("show", "run", *plugin, "--json").stdout)["nodes"]
    widths = {node["name"]: node["shape"] for node in nodes}
    assert widths["scale"] == widths["h"] != [1]


def test_its_slope_is_the_finite_difference_of_the_loss(example: Path) -> None:
    sys.path.insert(0, str(example))
    importlib.import_module("learned_scale")
    text = (example / "scaled.yaml").read_text().replace("activation: relu", "activation: tanh")
    network = compile_network(parse_spec(text), seed=0, dtype=torch.float64)
    with torch.no_grad():
        network.get_parameter(next(name for name, _ in network.named_parameters() if "factor" in name)).fill_(
            1.7
        )
    x = torch.randn(80, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loader = [(x, (x[:, :3] * x[:, 1:]).argmax(dim=1))]
    loss = torch.nn.functional.cross_entropy
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    scheduler = GrowthScheduler(network, loss, optimizer=optimizer)
    candidate = scheduler.plan(loader).candidates[0]
    assert candidate.slope is not None
    gamma = 1e-6
    trial, tried = copy.deepcopy((scheduler, candidate))
    event = trial.apply(tried, gamma, loader=loader)
    assert (event.loss_before - event.loss_after) / gamma == pytest.approx(candidate.slope, rel=1e-4)
    scheduler.apply(candidate, loader=loader)
    (factor,) = (p for name, p in network.named_parameters() if "factor" in name)
    assert factor.tolist() == [1.7] + [1.0] * (len(factor) - 1)
    assert any(factor is p for group in optimizer.param_groups for p in group["params"])


class Named(Operation):
    kind: Literal["linear"] = "linear"


class Nameless(Operation):
    kind: str


@pytest.mark.parametrize(
    ("model", "half", "message"),
    [
        (Named, lambda: (None, None), "there is a kind `linear` already"),
        (Nameless, lambda: (None, None), "expected its name as"),
        (dict, lambda: (None, None), "expected a subclass of gromo_graph.kinds.Operation or Layer"),
        (Named, None, "torch_half is a NoneType"),
    ],
)
def test_refused(model: Any, half: Any, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        register_kind(model, half)
    assert KINDS["linear"].__name__ == "Linear"


def test_a_module_that_fails_is_told(example: Path) -> None:
    Path("broken.py").write_text("1 / 0\n")
    for name, words in (("broken", "raised ZeroDivisionError"), ("missing", "cannot be imported")):
        result = call("validate", "scaled.yaml", "--plugin", name)
        assert result.exit_code == 2
        assert words in result.stderr
        assert f"--plugin {name}" in result.stderr
    with pytest.raises(SpecError):
        parse_spec("nodes: {}")
