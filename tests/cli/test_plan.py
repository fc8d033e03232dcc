"""`show` and `plan`: what there is and what could grow, before anything does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.optim.swa_utils import update_bn

from gromo_graph import GrowthScheduler, compile_network, load_spec
from gromo_graph.run.data.load_data import load_data
from gromo_graph.run.data.tensor_loader import TensorLoader
from gromo_graph.run.folder.load_run import load_run
from gromo_graph.run.folder.weights_file import weights_bytes
from gromo_graph.run.measured_plan import plan
from tests.cli.test_verbs import call, failed

WINE = """
name: wine
nodes:
  x: {kind: input, shape: [13]}
  a: {kind: linear, from: x, features: 4, activation: tanh}
  b: {kind: linear, from: a, features: 4}
  sum: {kind: merge, from: [a, b]}
  norm: {kind: batch_norm, from: sum, activation: relu}
  narrow: {kind: linear, from: norm, features: 2, activation: gelu, grow: {max: 2}}
  wide: {kind: linear, from: narrow, features: 2, activation: gelu, grow: {max: 9}}
  logits: {kind: linear, from: wide, features: 3}
output: logits
growth: {neurons: {per_step: 3}}
train: {data: wine, epochs: 4, batch_size: 32}
"""


# With the means and variances that its norms begin with, no unit of the last one is above 0.
NORMED = """
name: normed
nodes:
  image: {kind: input, shape: [1, 8, 8]}
  c1: {kind: conv2d, from: image, features: 2, kernel: 3, padding: same}
  n1: {kind: batch_norm, from: c1, activation: relu}
  c2: {kind: conv2d, from: n1, features: 2, kernel: 3, padding: same}
  n2: {kind: batch_norm, from: c2, activation: relu}
  pool: {kind: max_pool2d, from: n2, kernel: 2}
  c3: {kind: conv2d, from: pool, features: 2, kernel: 3, padding: same}
  n3: {kind: batch_norm, from: c3, activation: relu}
  flat: {kind: flatten, from: n3}
  logits: {kind: linear, from: flat, features: 10}
output: logits
growth: {stop: {parameters: 4000}}
train: {data: digits}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "wine.yaml"
    path.write_text(WINE)
    return path


@pytest.fixture
def run(spec: Path, tmp_path: Path) -> Path:
    assert call("grow", spec, "--out", tmp_path / "run", "--quiet").exit_code == 0
    return tmp_path / "run"


def test_show_has_a_line_for_each_node_and_the_sums(spec: Path) -> None:
    result = call("show", spec)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:9]] == [
        "x",
        "a",
        "b",
        "sum",
        "norm",
        "narrow",
        "wide",
        "logits",
    ]
    assert "↑ with b" in lines[2]
    assert "no: it is 2 wide: `grow.max` is 2" in lines[6]
    assert "no: its width is that of the output `logits`" in lines[8]
    nodes = json.loads(call("show", spec, "--json").stdout)["nodes"]
    by_name = {node["name"]: node for node in nodes}
    assert by_name["norm"]["shape"] == [4]
    assert by_name["sum"]["from"] == ["a", "b"]
    assert by_name["b"]["parameters"] == 4 * 4 + 4
    total = sum(node["parameters"] for node in nodes)
    assert lines[9].startswith(
        f"{total:,} parameters, {sum(node['madds'] for node in nodes):,} multiply-adds"
    )


def test_show_is_a_tree_of_blocks(tmp_path: Path) -> None:
    path = tmp_path / "blocks.yaml"
    path.write_text("""
blocks:
  pair:
    inputs: [x]
    nodes:
      a: {kind: linear, from: x, features: 4}
      b: {kind: linear, from: a, features: 4}
      s: {kind: merge, from: [x, b]}
    output: s
nodes:
  x: {kind: input, shape: [4]}
  body: {use: pair, from: x, repeat: 5}
  y: {kind: linear, from: body, features: 2}
output: y
""")
    lines = call("show", path).stdout.splitlines()
    assert lines[2].split() == ["body", "15", "nodes", "200", "160"]
    assert lines[3].split() == ["1", "3", "nodes", "40", "32"]
    assert lines[4].startswith("    a  ")
    assert lines[3].startswith("  1  ")
    assert "body.4.b and" not in lines[5]
    assert any("↑ with" in line and "more" in line for line in lines) or all(
        "no:" in line for line in lines if " b " in line
    )


def test_show_keeps_the_nodes_of_a_block_together(tmp_path: Path) -> None:
    path = tmp_path / "beside.yaml"
    path.write_text("""
nodes:
  x: {kind: input, shape: [4]}
  b.a: {kind: linear, from: x, features: 4}
  other: {kind: linear, from: x, features: 4}
  b.c: {kind: linear, from: [b.a], features: 4}
  s: {kind: merge, from: [b.c, other]}
output: s
""")
    names = [line.split()[0] for line in call("show", path).stdout.splitlines()[1:-1]]
    assert names == ["x", "b", "a", "c", "other", "s"]


def test_show_groups(spec: Path) -> None:
    groups = json.loads(call("show", spec, "--groups", "--json").stdout)["groups"]
    assert groups[0] == {
        "target": "a",
        "features": 4,
        "producers": ["a", "b"],
        "consumers": ["b", "narrow"],
        "sites": ["a", "norm"],
        "passes": ["sum", "norm"],
        "unit": 1,
        "max": None,
        "tie": None,
        "reason": None,
    }
    assert [group["target"] for group in groups] == ["a", "narrow", "wide", "logits"]
    lines = call("show", spec, "--groups").stdout.splitlines()
    assert "a, b" in lines[1]
    assert "↑ up to 9" in lines[3]
    assert len(lines) == 5


def test_show_of_a_run_is_the_network_as_it_stands(run: Path) -> None:
    nodes = json.loads(call("show", run, "--json").stdout)["nodes"]
    graph = load_run(run).network.graph
    assert {node["name"]: node["shape"] for node in nodes} == {n: list(s) for n, s in graph.shapes.items()}


def test_show_refused(tmp_path: Path) -> None:
    assert "this is no run" in failed(call("show", tmp_path), 1)
    failed(call("show", tmp_path / "missing.yaml"), 2)


def test_plan_is_what_the_scheduler_sees(spec: Path) -> None:
    network = compile_network(load_spec(spec), seed=5)
    data = load_data("wine", network.spec)
    loader = TensorLoader(data.train, 32, seed=5)
    update_bn(loader, network)  # what the norms begin with is not what they have once there is a step
    expected = GrowthScheduler(network, torch.nn.functional.cross_entropy).plan(loader)
    found = json.loads(call("plan", spec, "--seed", 5, "--json").stdout)["candidates"]
    assert found == [pytest.approx(candidate.to_dict()) for candidate in expected.candidates]
    lines = call("plan", spec, "--seed", 5).stdout.splitlines()
    able = [candidate for candidate in found if candidate["reason"] is None]
    for place, candidate in enumerate(able, start=1):
        cells = lines[place + 1].split()  # below the order and the titles
        assert cells[:4] == [str(place), "widen", candidate["target"], f"+{candidate['neurons']}"]
        assert float(cells[4].replace("−", "-")) == pytest.approx(candidate["slope"], rel=5e-3)
        assert cells[6] == f"+{candidate['delta_parameters']:,}"
    assert lines[len(able) + 3].startswith(f"statistics of {len(data.train.y)} samples in ")
    assert lines[len(able) + 4 :] == [
        "left out: `narrow`: it is 2 wide: `grow.max` is 2",
        "left out: `logits`: its width is that of the output `logits`",
    ]


def test_units_behind_norms_that_have_seen_nothing_are_not_dead(tmp_path: Path) -> None:
    path = tmp_path / "cnn.yaml"
    path.write_text(NORMED)
    for seed in (0, 1):
        found = json.loads(call("plan", path, "--seed", seed, "--json").stdout)["candidates"]
        slopes = {each["target"]: each["slope"] for each in found if each["reason"] is None}
        assert slopes.keys() == {"c1", "c2", "c3"}
        assert min(slopes.values()) > 0.0


def test_plan_of_a_run_takes_its_weights_and_changes_nothing(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    found = json.loads(call("plan", run, "--json").stdout)["candidates"]
    kept = load_run(run)
    loader = TensorLoader(kept.parts()["train"], 32, seed=0)
    expected = GrowthScheduler(kept.network, torch.nn.functional.cross_entropy).plan(loader)
    assert found == [pytest.approx(candidate.to_dict()) for candidate in expected.candidates]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_plan_with_the_weights_of_a_file(spec: Path, tmp_path: Path) -> None:
    network = compile_network(load_spec(spec), seed=7)
    (tmp_path / "own.safetensors").write_bytes(weights_bytes(network))
    own = call("plan", spec, "--weights", tmp_path / "own.safetensors", "--seed", 7, "--json").stdout
    other, first = (call("plan", spec, "--seed", seed, "--json").stdout for seed in (7, 0))
    slopes = [
        [candidate["slope"] or 0.0 for candidate in json.loads(text)["candidates"]]
        for text in (own, other, first)
    ]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-6)
    assert slopes[0] != pytest.approx(slopes[2], rel=1e-1)


@pytest.mark.parametrize("select", ["balanced", "slope_per_parameter"])
def test_plan_says_by_what_it_is_ordered(spec: Path, select: str) -> None:
    told = call("plan", spec, "--set", f"growth.select={select}").stdout
    rule = {"balanced": "narrowest layers first", "slope_per_parameter": "steepest per parameter first"}[
        select
    ]
    assert f"in the order of trying, by growth.select = {select}: {rule}" in told


def test_plan_refused(spec: Path, run: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    assert "the weights are missing" in failed(call("plan", spec, "--weights", weights), 1)
    weights.write_bytes((run / "weights.safetensors").read_bytes())
    assert "a run has its own weights" in failed(call("plan", run, "--weights", weights), 1)
    assert "a run has its own overrides" in failed(call("plan", run, "--set", "train.epochs=2"), 1)
    spec.write_text(WINE.replace("features: 9", "features: x").replace("kind: input", "kind: inptu"))
    assert "did you mean `input`" in failed(call("plan", spec), 2)


def test_planning_draws_from_no_generator_of_the_caller(spec: Path) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    plan(spec)
    assert torch.equal(torch.get_rng_state(), state)
