"""The verb export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner, Result

from gromo_graph import compile_network, dump_spec, grow, load_run, parse_spec
from gromo_graph.cli import app
from gromo_graph.run.folder.weights_file import weights_bytes
from tests.interop.test_exporting import apart, imported
from tests.network.test_plain import TWO
from tests.run.test_resume import mlp


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *(str(each) for each in arguments)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    grow(parse_spec(mlp()), out=path, seed=5, device="cpu")
    return path


def test_a_run_with_the_weights_of_its_end(run: Path, tmp_path: Path) -> None:
    result = call(run, "-o", tmp_path / "model.py", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    network = load_run(run).network
    assert told["format"] == "source"
    assert told["difference"] == 0.0
    assert told["parameters"] == network.graph.parameter_count
    assert told["files"] == [str(tmp_path / name) for name in ("model.py", "model.safetensors")]
    assert apart(network, imported(tmp_path / "model.py").load()) == 0.0
    assert "standardised samples" in result.stderr
    told = imported(tmp_path / "model.py").preparation()
    assert told == json.loads(json.dumps(load_run(run).preparation.to_dict()))
    result = call(run, "-o", tmp_path / "model.py")
    assert (result.exit_code, "--force" in result.stderr) == (1, True)
    assert call(run, "-o", tmp_path / "model", "--format", "torchexport").exit_code == 0
    assert apart(network, torch.export.load(tmp_path / "model").module()) <= 1e-6


def test_a_spec_with_weights_of_a_file(tmp_path: Path) -> None:
    network = compile_network(parse_spec(TWO), seed=8)
    (tmp_path / "two.yaml").write_text(dump_spec(network.spec))
    (tmp_path / "two.safetensors").write_bytes(weights_bytes(network))
    result = call(tmp_path / "two.yaml", "--weights", tmp_path / "two.safetensors", "-o", tmp_path / "two")
    assert result.exit_code == 0, result.stderr
    assert "differ from the network's by 0 at most" in result.stderr
    assert apart(network, imported(tmp_path / "two" / "__init__.py").load()) == 0.0
    result = call(tmp_path / "two.yaml", "-o", tmp_path / "first")
    assert "these are first weights" in result.stderr


def test_what_is_wrong_is_said(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(safetensors.torch.save({"x": torch.zeros(2)}))
    spec = tmp_path / "two.yaml"
    spec.write_text(TWO)
    out = tmp_path / "out"
    for words, code, message in (
        ((f"{run}@2", "-o", out), 1, f"gromo-graph replay {run} --to 2 -o DIR"),
        ((run, "--weights", other, "-o", out), 2, "a run has weights of its own"),
        ((spec, "--weights", other, "-o", out), 1, "weights of another network"),
        ((spec, "--weights", spec, "-o", out), 1, "the weights cannot be read"),
        ((tmp_path / "no.yaml", "-o", out), 2, "no.yaml"),
        ((tmp_path, "-o", out), 1, "this is no run"),
        ((spec, "-o", out, "--format", "tflite"), 2, "tflite"),
        ((spec,), 2, "--out"),
    ):
        result = call(*words)
        assert result.exit_code == code, words
        assert message in result.stderr.replace("\n", "")
        assert "Traceback" not in result.stderr
        assert not out.exists()
