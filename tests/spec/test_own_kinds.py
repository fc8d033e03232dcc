"""Kinds of the user's own: the worked example of the docs, in the YAML, the schema, the drawing and growth."""

from __future__ import annotations

import copy
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from gromo_graph import (
    CompileError,
    GrowthScheduler,
    SpecError,
    compile_network,
    export,
    from_torch,
    parse_spec,
    register_kind,
)
from gromo_graph.kinds import Operation
from gromo_graph.layers.torch_half_lookup import rows, torch_half
from gromo_graph.spec.kinds import KINDS
from gromo_graph.spec.kinds.kind_registry import TORCH_HALVES
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
    for name in ("learned_scale", "scaled"):
        sys.modules.pop(name, None)
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


def test_it_comes_in_and_goes_out_by_its_rows(example: Path) -> None:
    sys.path.insert(0, str(example))
    importlib.import_module("learned_scale")
    (export_row,) = [row for kind, row in rows().export.items() if kind.__name__ == "Scale"]
    (scale_type,) = [kind for kind in rows().export if kind.__name__ == "Scale"]
    torch.manual_seed(0)
    scale: Any = scale_type
    model = torch.nn.Sequential(
        torch.nn.Conv1d(2, 3, 3), scale(3, 0.5), torch.nn.Flatten(), torch.nn.Linear(12, 2)
    )
    x = torch.randn(4, 2, 6)
    network = from_torch(model, x)
    assert [node.kind for node in network.spec.nodes.values()].count("learned_scale") == 1
    torch.testing.assert_close(network(x), model(x))
    torch.testing.assert_close(network.to_torch()(x), model(x))
    assert export_row(model[1]).modules[""] is model[1].factor
    for name in ("scaled.py", "scaled.pt2"):
        assert export(network, example / name).difference == pytest.approx(0.0, abs=1e-6)
    assert "* self." in (example / "scaled.py").read_text()
    torch.testing.assert_close(importlib.import_module("scaled").load()(x), model(x))


FILES = {"gru": "recurrent", "lstm": "recurrent", "tied_linear": "again", "log_softmax": "softmax"}
"""Kinds that have most of their code in common with another one."""


def test_each_kind_is_a_file_of_its_name_in_both_halves() -> None:
    for kind, model in KINDS.items():
        name = FILES.get(kind, re.sub(r"[12]d$", "", kind))
        assert model.__module__ == f"gromo_graph.spec.kinds.{name}"
        if kind not in ("input", "merge"):
            assert TORCH_HALVES[kind].startswith(f"gromo_graph.layers.{name}:")
            assert torch_half(kind).build.__module__.startswith("gromo_graph.layers.")
    assert set(TORCH_HALVES) == set(KINDS) - {"input", "merge"}


def test_every_kind_is_checked_and_drawn_without_torch(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["torch"] = None
from gromo_graph import parse_spec, render
from gromo_graph.spec.kinds import KINDS, Layer
row, image = "[4, 9]", "[4, 9, 9]"
shapes = {"1d": row, "2d": image, "sequence": image, "embedding": "[9]", "padding_mask": "[9]"}
rows = ("transpose", "positions", "attention", "pad", "class_token", "gru", "lstm", "rotary", "flip", "roll")
shapes |= dict.fromkeys(rows, row)
written = {  # with the weights of another node
    "again": "x: {kind: input, shape: [4]}, one: {kind: linear, from: x, features: 4}, "
    "k: {kind: again, from: [x, one]}",
    "tied_linear": "x: {kind: input, shape: [9]}, one: {kind: embedding, from: x, vocabulary: 7, features: 4}, "
    "two: {kind: positions, from: one}, k: {kind: tied_linear, from: [two, one], features: 7}",
}
needed = {"kernel": 3, "groups": 2, "vocabulary": 5, "features": 4, "padding": "[1, 1]", "stop": 3, "sizes": "[2, 2]",
          "index": "[2, 0]", "shifts": 2}
for kind, model in KINDS.items():
    shape = next((shape for end, shape in shapes.items() if kind.endswith(end)), "[4]")
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    fields = {name: value for name, value in needed.items() if name in required}
    sources = "[x, y, z]" if kind == "attention" else "[x]"
    node = f"kind: {kind}, from: {sources}, {', '.join(f'{key}: {value}' for key, value in fields.items())}"
    inputs = "".join(f"{name}: {{kind: input, shape: {shape}}}, " for name in sources[1:-1].split(", "))
    if kind == "input":
        node = "kind: merge, from: [x]"
    nodes = written.get(kind, f"{inputs}k: {{{node}}}")
    render(parse_spec(f"nodes: {{{nodes}}}\\noutput: k\\n"), f"{sys.argv[1]}/{kind}.svg")
    assert kind in open(f"{sys.argv[1]}/{kind}.svg").read() or kind == "merge"
assert sys.modules["torch"] is None
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == len(KINDS)
