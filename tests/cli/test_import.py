"""The verb import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from gromo_graph import compile_network, load_spec
from gromo_graph.cli import app
from gromo_graph.run.folder.weights_file import load_weights

CODE = """
import torch
from tests.interop.models import MLP, Several, UNet

def trained():
    torch.manual_seed(4)
    return MLP().eval()

def several():
    torch.manual_seed(4)
    return Several().double()

def upsampling():
    return UNet(up=torch.nn.ConvTranspose2d(8, 8, 2, stride=2, groups=2))

def tokens():
    return torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Flatten(), torch.nn.Linear(24, 2))

def failing():
    raise ValueError("no checkpoint")

def wrong():
    return 3
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", *(str(each) for each in arguments)])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_models.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_spec_and_weights_that_compute_the_same(here: Path) -> None:
    words = ("my_models:trained", "--input", "1,8,8", "-o", "mlp.yaml", "--weights", "mlp.safetensors")
    result = call(*words, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["spec"], told["weights"]) == ("mlp.yaml", "mlp.safetensors")
    network = compile_network(load_spec("mlp.yaml")).eval()
    load_weights(Path("mlp.safetensors"), network)
    assert told["parameters"] == network.graph.parameter_count
    import my_models

    x = torch.randn(5, 8, 8)
    torch.testing.assert_close(network(x), my_models.trained()(x), rtol=0, atol=1e-6)
    assert call(*words).exit_code == 1
    result = call(*words, "--force", "--name", "digits")
    assert result.exit_code == 0
    assert "outputs are the model's" in result.stderr
    assert load_spec("mlp.yaml").name == "digits"


def test_only_what_the_model_says_is_written_and_the_rest_is_told(here: Path) -> None:
    result = call("my_models:trained", "--input", "1,8,8", "-o", "mlp.yaml", "--weights", "mlp.safetensors")
    assert result.exit_code == 0, result.stderr
    text = Path("mlp.yaml").read_text()
    assert "growth" not in text
    assert text.endswith("train:\n  allow_unused_outputs: true\n")
    assert "gromo-graph grow mlp.yaml --data FILE --weights mlp.safetensors" in result.stderr
    assert "note: no budget: set growth.stop.parameters" in result.stderr


def test_token_ids(here: Path) -> None:
    result = call("my_models:tokens", "--input", "1,6:9", "-o", "tokens.yaml")
    assert result.exit_code == 0, result.stderr
    kinds = [node.kind for node in load_spec("tokens.yaml").nodes.values()]
    assert kinds == ["input", "embedding", "transpose", "flatten", "linear"]


def test_several_inputs_by_name(here: Path) -> None:
    words = ("my_models:several", "--input", "numbers=1,5", "--input", "picture=1,1,8,8", "-o", "two.yaml")
    result = call(*words)
    assert result.exit_code == 0, result.stderr
    assert "the weights are not kept" in result.stderr
    assert load_spec("two.yaml").inputs == ("picture", "numbers")


def test_what_is_wrong_is_said(here: Path) -> None:
    for words, code, message in (
        (
            ("my_models:upsampling", "--input", "1,1,8,8"),
            1,
            "`up`: ConvTranspose2d: it has 2 groups of 4 channels that give 8: expected one group",
        ),
        (("my_models:trained", "--input", "1,7,8"), 1, "does not run on the example input (x (1, 7, 8))"),
        (("my_models:trained", "--input", "1x8"), 2, "such as 1,3,32,32"),
        (("my_models:trained", "--input", "8"), 2, "such as 1,3,32,32"),
        (("my_models:trained", "--input", "0,8,8"), 2, "such as 1,3,32,32"),
        (("my_models:trained", "--input", "1,8:0"), 2, "such as 1,3,32,32"),
        (("my_models:several", "--input", "a=1,8", "--input", "1,8"), 2, "name all inputs"),
        (("my_models:trained",), 2, "--input"),
        (("my_models:failing", "--input", "1,8"), 1, "raised ValueError: no checkpoint"),
        (("my_models:wrong", "--input", "1,8"), 1, "it gave a int"),
        (("my_models:nothing", "--input", "1,8"), 1, "has no function `nothing`"),
        (("no_such_module_here:x", "--input", "1,8"), 1, "cannot be imported"),
        (("models.py", "--input", "1,8"), 1, "expected module:function"),
    ):
        result = call(*words, "-o", "out.yaml")
        assert result.exit_code == code, (words, result.stderr)
        assert message in " ".join(result.stderr.replace("│", " ").split())
        assert "Traceback" not in result.stderr
        assert not Path("out.yaml").exists()
