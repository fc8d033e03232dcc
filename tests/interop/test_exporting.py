"""export: files that need no gromo_graph and compute the same."""

from __future__ import annotations

import builtins
import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings

from gromo_graph import GrowingNetwork, RunError, Spec, compile_network, from_torch, load_spec, parse_spec
from gromo_graph.interop import exporting
from gromo_graph.interop.exporting import export, random_inputs
from gromo_graph.interop.source import source_of, weights_of
from gromo_graph.network.plain import class_name
from gromo_graph.run.data.preparation import Preparation
from tests.interop.models import Mixer
from tests.interop.test_importing import grown
from tests.network.test_plain import SPECS, TWO, without_dropout
from tests.spec.strategies import NAMES, specs

HOSTILE_NAME = "x\"\"\"\n'''\nimport os; os._exit(3) \\ \u2028 \u202e"
HOSTILE = r"""
nodes:
  "\"\"\"\'\'\'; raise SystemExit(3)": {kind: input, shape: [4]}
  "\\": {kind: linear, from: "\"\"\"\'\'\'; raise SystemExit(3)", features: 2}
  "'}; raise SystemExit(3) #": {kind: linear, from: "\\", features: 2, activation: relu}
outputs: ["'}; raise SystemExit(3) #", "\\"]
""".replace(r"\'", "'")


def imported(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location("exported", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["exported"] = module
    found.loader.exec_module(module)
    return module


def apart(network: GrowingNetwork, model: Any, samples: int = 4) -> float:
    inputs = random_inputs(network, samples, seed=3)
    with torch.no_grad():
        expected, found = network.eval()(*inputs), model(*inputs)
    one = expected if isinstance(expected, dict) else {"": expected}
    other = found if isinstance(found, dict) else {"": found}
    assert list(one) == list(other)
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_source_and_program_of_every_spec_of_the_gallery(path: Path, tmp_path: Path) -> None:
    network = compile_network(load_spec(path), seed=0)
    export(network, tmp_path / "model.py")
    assert network.training
    model = imported(tmp_path / "model.py").load()
    assert not model.training
    assert apart(network, model) == 0.0
    assert list(model.state_dict()) == list(network.to_torch().state_dict())
    done = export(network.train(), tmp_path / "model.pt2")
    assert done.format == "torchexport"
    assert apart(network, torch.export.load(tmp_path / "model.pt2").module(), samples=1) <= 1e-6


@settings(max_examples=20)
@given(specs(names=NAMES, max_nodes=9))
def test_the_source_of_any_spec_is_python(spec: Spec) -> None:
    network = without_dropout(compile_network(spec, seed=0, dtype=torch.float64))
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source_of(network, weights="w"), "exported.py", "exec"), names)  # noqa: S102 - what is tested
    model = names[class_name(spec.name)]()
    model.load_state_dict(safetensors.torch.load(weights_of(network)), assign=True)
    assert apart(network, model.eval()) <= 1e-12


def test_texts_of_a_spec_never_become_code(tmp_path: Path) -> None:
    network = compile_network(replace(parse_spec(HOSTILE), name=HOSTILE_NAME), seed=0)
    export(network, tmp_path / "model.py")
    text = (tmp_path / "model.py").read_text()
    assert not {"\u2028", "\u202e"} & set(text)
    assert apart(network, imported(tmp_path / "model.py").load()) == 0.0


def test_settings_of_layers_are_in_the_source() -> None:
    network = compile_network(
        parse_spec(
            """
nodes:
  x: {kind: input, shape: [3, 12, 12]}
  a: {kind: conv2d, from: x, features: 4, kernel: 3, stride: 2, padding: 1, dilation: 2, bias: false}
  d: {kind: depthwise_conv2d, from: a, kernel: 3, padding: same}
  g: {kind: group_norm, from: d, groups: 2}
  l: {kind: layer_norm, from: g}
  p: {kind: max_pool2d, from: l, kernel: 3, stride: 1, padding: 1}
  q: {kind: avg_pool2d, from: p, kernel: 2}
  f: {kind: flatten, from: q}
  o: {kind: dropout, from: f, p: 0.25}
  y: {kind: linear, from: o, features: 2, bias: false}
output: y
"""
        )
    )
    text = source_of(network, weights="w.safetensors")
    for line in (
        "self.a = nn.Conv2d(3, 4, 3, stride=2, padding=1, dilation=2, bias=False)",
        'self.d = nn.Conv2d(4, 4, 3, padding="same", groups=4)',
        "self.g = nn.GroupNorm(2, 4)",
        "self.l = nn.LayerNorm((4, 5, 5))",
        "self.p = nn.MaxPool2d(3, stride=1, padding=1)",
        "self.q = nn.AvgPool2d(2)",
        "self.f = nn.Flatten()",
        "self.o = nn.Dropout(0.25)",
        "self.y = nn.Linear(16, 2, bias=False)",
    ):
        assert f"        {line}\n" in text


def test_long_sums_and_concats_are_broken_into_lines() -> None:
    names = [f"a layer with a rather long name {place}" for place in range(6)]
    nodes = "\n".join(f"  {name}: {{kind: linear, from: x, features: 2}}" for name in names)
    network = compile_network(
        parse_spec(
            f"""
nodes:
  x: {{kind: input, shape: [3]}}
{nodes}
  added: {{kind: merge, from: [{", ".join(names)}]}}
  bent: {{kind: merge, from: [{", ".join(names)}], activation: tanh}}
  beside: {{kind: merge, from: [{", ".join(names)}], merge: concat}}
outputs: [added, bent, beside]
"""
        ),
        seed=0,
    )
    text = source_of(network, weights="w")
    assert max(map(len, text.splitlines())) <= 120
    found: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), found)  # noqa: S102 - what is tested
    model = found["Text"]() if "Text" in found else found["Network"]()
    model.load_state_dict(network.to_torch().state_dict())
    assert apart(network, model.eval()) == 0.0


def test_a_folder_is_imported_where_there_is_no_gromo_graph(tmp_path: Path) -> None:
    network = compile_network(parse_spec(TWO), seed=0)
    done = export(network, tmp_path / "shipped")
    assert [path.name for path in done.files] == ["__init__.py", "weights.safetensors"]
    inputs = random_inputs(network, 3)
    torch.save({"inputs": inputs, "outputs": network.eval()(*inputs)}, tmp_path / "kept.pt")
    code = (
        "import sys, torch\n"
        "sys.modules['gromo_graph'] = None\n"
        "import shipped\n"
        "kept = torch.load('kept.pt')\n"
        "found = shipped.load()(*kept['inputs'])\n"
        "assert all(torch.equal(found[name], value) for name, value in kept['outputs'].items())\n"
        "print(sorted(found))\n"
    )
    done_ = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done_.stdout.strip() == "['a', 'self']", done_.stderr


def test_source_refuses_weights_that_are_not_its_own(tmp_path: Path) -> None:
    one, other = (compile_network(parse_spec(TWO), seed=seed) for seed in (0, 1))
    export(one, tmp_path / "m.py")
    export(other, tmp_path / "other.py")
    shutil.copy(tmp_path / "other.safetensors", tmp_path / "m.safetensors")
    module = imported(tmp_path / "m.py")
    for ask in (module.load, module.preparation):
        with pytest.raises(ValueError, match=r"not the weights that m\.py was written with: export anew"):
            ask()
    assert apart(other, module.load(tmp_path / "other.safetensors")) == 0.0  # asked for by name


def test_a_kill_between_weights_and_source_gives_no_wrong_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(compile_network(parse_spec(TWO), seed=0), tmp_path / "m.py")
    real = exporting.write_atomically

    def killed(path: Path, content: bytes | str) -> None:
        if path.suffix == ".py":
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(exporting, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        export(compile_network(parse_spec(TWO), seed=1), tmp_path / "m.py", force=True)
    with pytest.raises(ValueError, match="export anew"):
        imported(tmp_path / "m.py").load()


_PREPARED = Preparation(
    task="classification",
    shape=(3,),
    outputs=2,
    features=("a", "b", "c"),
    classes=('"""; raise SystemExit(3)', "\u2028"),
    mean=(0.5, -2.0, 0.1),
    scale=(1.0, 3.0, 1e-9),
)


def test_the_preparation_is_in_the_metadata_of_every_format(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    network = compile_network(
        parse_spec(
            "nodes: {x: {kind: input, shape: [3]}, y: {kind: linear, from: x, features: 2}}\noutput: y\n"
        ),
        seed=0,
    )
    for name in ("m.py", "folder", "m.pt2", "m.onnx"):
        export(network, tmp_path / name, preparation=_PREPARED)
    expected = json.loads(json.dumps(_PREPARED.to_dict()))
    for path in (tmp_path / "m.py", tmp_path / "folder" / "__init__.py"):
        module = imported(path)
        assert module.preparation() == expected
        assert "(x - mean) / scale" in str(module.__doc__)
        assert apart(network, module.load()) == 0.0
    extra = {"preparation.json": ""}
    torch.export.load(tmp_path / "m.pt2", extra_files=extra)
    assert json.loads(extra["preparation.json"]) == expected
    (entry,) = (each for each in onnx.load(tmp_path / "m.onnx").metadata_props if each.key == "preparation")
    assert json.loads(entry.value) == expected
    export(network, tmp_path / "plain.py")
    assert imported(tmp_path / "plain.py").preparation() == {}


def test_precision_is_kept(tmp_path: Path) -> None:
    network = compile_network(parse_spec(TWO), seed=0, dtype=torch.float64)
    export(network, tmp_path / "m.py")
    assert {p.dtype for p in imported(tmp_path / "m.py").load().parameters()} == {torch.float64}
    assert export(network, tmp_path / "m.pt2").difference == 0.0


ONNX = """
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  add: {kind: conv2d, from: x, features: 4, kernel: 3, padding: same, activation: elu}
  relu: {kind: batch_norm, from: add, activation: relu}
  both: {kind: merge, from: [add, relu], merge: concat}
  conv2d: {kind: conv2d, from: both, features: 2, kernel: 1}
  linear: {kind: flatten, from: conv2d}
  a b: {kind: linear, from: linear, features: 3}
  up: {kind: conv_transpose2d, from: add, features: 3, kernel: 3, stride: 2, padding: 1, output_padding: 1}
outputs: [relu, linear, a b, x, up]
"""


@pytest.mark.slow
def test_onnx_is_run_with_another_batch_size_and_names_do_not_meet(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network = compile_network(parse_spec(ONNX), seed=0)
    done = export(network, tmp_path / "model.onnx")
    assert done.difference is not None
    assert done.difference <= 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [value.name for value in session.get_inputs()] == ["x"]
    assert [value.name for value in session.get_outputs()] == ["relu", "linear", "a_b", "x_output", "up"]
    (x,) = random_inputs(network, 11, seed=9)
    expected = network.eval()(x)
    for name, value in zip(network.spec.outputs, session.run(None, {"x": x.numpy()}), strict=True):
        torch.testing.assert_close(torch.from_numpy(value), expected[name].detach(), rtol=0, atol=1e-5)


def test_a_missing_package_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "onnx":
            raise ImportError("No module named 'onnx'", name="onnx")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    network = compile_network(parse_spec(TWO), seed=0)
    with pytest.raises(RunError, match=r"\(onnx\): pip install 'gromo_graph\[onnx\]'"):
        export(network, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_what_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = compile_network(parse_spec(TWO), seed=0)
    wrong = network.to_torch().eval()
    with torch.no_grad():
        wrong.get_submodule("a").bias += 0.1
    monkeypatch.setattr(type(network), "to_torch", lambda self: wrong)
    for name in ("m.py", "m.pt2"):
        with pytest.raises(RunError, match=r"differ by 0\.1 in `a`; nothing was written"):
            export(network, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    network = compile_network(parse_spec(TWO), seed=0)
    (tmp_path / "m.safetensors").write_text("of somebody else")
    with pytest.raises(
        RunError,
        match=r"already exists: choose another one, or replace it with `force=True` \(on the command line `--force`\)",
    ):
        export(network, tmp_path / "m.py")
    assert not (tmp_path / "m.py").exists()
    export(network, tmp_path / "m.py", force=True)
    for name, format, message in (
        ("m.py", "torch", "expected a folder"),
        ("", "onnx", "expected a file"),
        ("m.safetensors", "source", "give it the ending .py"),
        ("x", "tflite", "there is no format 'tflite': expected one of torch, source"),
        ("nowhere/m.py", None, "cannot be written"),
    ):
        with pytest.raises(RunError, match=message):
            export(network, tmp_path / name, format=format, force=True)
    assert exporting.format_of(Path("a.b/c")) == "torch"
    with pytest.raises(
        RunError, match=r"the ending '\.pt' names no format: expected \.py, \.onnx, \.pt2, a folder"
    ):
        exporting.format_of(Path("model.pt"))
    with pytest.raises(RunError, match=r"did you mean `a/model\.onnx`\?"):
        exporting.format_of(Path("a/model.onx"))


def test_what_torch_cannot_export_is_told(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.sum()) > 0 else -x

    network = from_torch(
        torch.nn.Sequential(torch.nn.Linear(3, 3), Odd()), torch.zeros(2, 3), allow_fixed=True
    )
    with pytest.raises(RunError, match="cannot export this network"):
        export(network, tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_mixer_is_imported_grown_and_written_in_every_format(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    network = from_torch(Mixer(), torch.zeros(1, 1, 8, 8))
    grown(network, (1, 8, 8))
    assert apart(network, network.to_torch().eval()) <= 1e-6
    for ending in ("py", "pt2", "onnx"):
        done = export(network, tmp_path / f"model.{ending}")
        assert done.difference is not None
        assert done.difference <= 1e-6
    assert apart(network, imported(tmp_path / "model.py").load()) <= 1e-6
    assert apart(network, torch.export.load(tmp_path / "model.pt2").module()) <= 1e-6
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (x,) = random_inputs(network, 11, seed=9)
    (found,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), network.eval()(x).detach(), rtol=0, atol=1e-6)


TOKENS = """
nodes:
  text: {kind: input, shape: [6]}
  look up: {kind: embedding, from: text, vocabulary: 9, features: 3, activation: relu}
  places: {kind: positions, from: look up}
  c: {kind: conv1d, from: places, features: 2, kernel: 3}
  f: {kind: flatten, from: c}
  y: {kind: linear, from: f, features: 2}
output: y
"""


def test_tokens_and_positions_in_every_format(tmp_path: Path) -> None:
    network = compile_network(parse_spec(TOKENS), seed=0)
    text = source_of(network, weights="w.safetensors")
    for line in (
        'self.look_up = nn.Embedding(9, 3)  # "look up"',
        "self.places = nn.Parameter(torch.zeros(3, 6))",
        "look_up = functional.relu(self.look_up(text.long()).transpose(1, 2))",
        "places = look_up + self.places",
    ):
        assert f"        {line}\n" in text
    plain = network.to_torch()
    assert {name: tuple(p.shape) for name, p in plain.named_parameters()} == {
        "look_up.weight": (9, 3),
        "places": (3, 6),
        "c.weight": (2, 3, 3),
        "c.bias": (2,),
        "y.weight": (2, 8),
        "y.bias": (2,),
    }
    assert apart(network, plain) == 0.0
    network.parts["look up"].weight.requires_grad_(False)
    assert not network.to_torch().look_up.weight.requires_grad
    for ending in ("py", "pt2", "onnx"):
        done = export(network, tmp_path / f"model.{ending}")
        assert done.difference is not None
        assert done.difference <= 1e-5


ATTENTION = """
nodes:
  x: {{kind: input, shape: {shape}}}
  places: {{kind: positions, from: x}}
  norm: {{kind: layer_norm, from: places, over: features}}
  q: {{kind: {layer}, from: norm, features: 4, kernel: 1}}
  k: {{kind: {layer}, from: norm, features: 4, kernel: 1}}
  v: {{kind: {layer}, from: norm, features: 6, kernel: 1}}
  one:  {{kind: attention, from: [q, k, v], heads: 1{more}}}
  two:  {{kind: attention, from: [q, k, v], heads: 2{more}}}
  drop: {{kind: attention, from: [q, k, v], heads: 1, dropout: 0.5{more}}}
  both: {{kind: attention, from: [q, k, v], heads: 2, dropout: 0.5{more}}}
  m: {{kind: merge, from: [one, two, drop, both], merge: concat}}
  f: {{kind: flatten, from: m}}
  y: {{kind: linear, from: f, features: 2}}
output: y
"""


@pytest.mark.parametrize(
    ("shape", "layer", "more"),
    [
        ("[3, 5]", "conv1d", ", causal: true, relative_position_bias: true"),
        ("[3, 2, 4]", "conv2d", ""),
        ("[3, 2, 4]", "conv2d", ", window: 2, rolled: [0, 1], relative_position_bias: true"),
    ],
)
def test_attention_in_every_format(tmp_path: Path, shape: str, layer: str, more: str) -> None:
    """With one head and with two, without dropout and with: four in one network, for export takes its time."""
    pytest.importorskip("onnxscript")
    text = ATTENTION.format(shape=shape, layer=layer, more=more)
    network = compile_network(parse_spec(text), seed=0).eval()
    for name in ("one", "two", "drop", "both"):
        for bias in network.parts[name].parameters():
            torch.nn.init.normal_(bias)
    for ending in ("py", "pt2", "onnx"):
        done = export(network, tmp_path / f"model.{ending}")
        assert done.difference is not None
        assert done.difference <= 1e-5
    assert apart(network, imported(tmp_path / "model.py").load()) <= 1e-6
