"""Nodes with the weights of another one, rotary positions and reversed ones: slopes, and the way out and in again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gromo_graph import GrowthScheduler, Spec, compile_network, export, from_torch, parse_spec
from gromo_graph.network.example_inputs import random_inputs
from gromo_graph.spec.settings import Growth
from tests.growth.test_any_graph import able_to_grow, check, data_for, loss

NODES = {
    "again": """
  a_in:   {kind: input, shape: [3]}
  a_base: {kind: linear, from: a_in, features: 5, activation: tanh}
  a_one:  {kind: linear, from: a_base, features: 4, activation: tanh}
  a_wide: {kind: linear, from: a_one, features: 3, activation: tanh}
  a_back: {kind: linear, from: a_wide, features: 5}
  a_end:  {kind: again, from: [a_back, a_one]}
""",
    "tied_linear": """
  t_in:    {kind: input, shape: [6]}
  t_table: {kind: embedding, from: t_in, vocabulary: 7, features: 4}
  t_wide:  {kind: conv1d, from: t_table, features: 5, kernel: 1, activation: tanh}
  t_back:  {kind: conv1d, from: t_wide, features: 4, kernel: 1}
  t_end:   {kind: tied_linear, from: [t_back, t_table], features: 7, bias: true}
""",
    "rotary": """
  r_in:   {kind: input, shape: [3, 5]}
  r_wide: {kind: conv1d, from: r_in, features: 8, kernel: 3, padding: same, activation: tanh}
  r_back: {kind: conv1d, from: r_wide, features: 12, kernel: 1}
  r_turn: {kind: rotary, from: r_back, heads: 2}
  r_more: {kind: rotary, from: r_turn, heads: 3, dim: 2, base: 50, interleaved: true}
  r_end:  {kind: conv1d, from: r_more, features: 7, kernel: 1, activation: tanh}
""",
    "flip": """
  f_in:   {kind: input, shape: [2, 4, 5]}
  f_wide: {kind: conv2d, from: f_in, features: 4, kernel: 3, activation: tanh}
  f_turn: {kind: flip, from: f_wide, dims: [2, 3]}
  f_both: {kind: merge, from: [f_wide, f_turn], merge: sum}
  f_row:  {kind: sequence, from: f_both}
  f_end:  {kind: flip, from: f_row}
""",
    "gru": """
  g_in:   {kind: input, shape: [2, 4]}
  g_wide: {kind: conv1d, from: g_in, features: 3, kernel: 1, activation: tanh}
  g_end:  {kind: gru, from: g_wide, features: 3, reverse: true}
""",
}
GROWN = {
    "again": {"a_wide"},
    "tied_linear": {"t_wide"},
    "rotary": {"r_wide", "r_back", "r_end"},
    "flip": {"f_wide"},
    "gru": {"g_wide", "g_end"},
}


def spec_of(*kinds: str) -> Spec:
    nodes = "".join(NODES[kind].lstrip("\n") for kind in kinds)
    ends = ", ".join(f"{kind[0]}_end" for kind in kinds)
    return parse_spec(f"name: parts\nnodes:\n{nodes}outputs: [{ends}]\n")


@pytest.mark.parametrize("kind", NODES)
def test_slopes_are_what_the_loss_does(kind: str) -> None:
    spec = spec_of(kind)
    assert check(spec, Growth()) == len(GROWN[kind])
    network = compile_network(able_to_grow(spec), seed=0, dtype=torch.float64)
    plan = GrowthScheduler(network, loss).plan(data_for(network))
    assert {each.target for each in plan.candidates if each.reason is None} == GROWN[kind]


@pytest.mark.parametrize("kind", NODES)
def test_what_has_grown_goes_out_and_comes_in_again(kind: str) -> None:
    network = compile_network(able_to_grow(spec_of(kind)), seed=0, dtype=torch.float64)
    scheduler = GrowthScheduler(network, loss, policy=Growth(groups=1))
    for target in GROWN[kind]:
        plan = scheduler.plan(data_for(network))
        (candidate,) = (each for each in plan.candidates if each.target == target)
        assert scheduler.apply(candidate, 0.1).decision is not None
    inputs = random_inputs(network.eval(), 3)
    plain = network.to_torch()
    again = from_torch(plain, inputs)
    assert again.graph.parameter_count == network.graph.parameter_count
    ours = network(*inputs)
    assert isinstance(ours, dict)
    for found in (plain(*inputs), again(*inputs)):
        for key, expected in ours.items():
            torch.testing.assert_close(found[key], expected, rtol=0, atol=1e-9)
    kinds = [node.kind for node in again.spec.nodes.values()]
    assert kinds.count(kind) == [node.kind for node in network.spec.nodes.values()].count(kind)
    assert kinds.count("flip") == 2 * (
        kind in ("flip", "gru")
    )  # one before what is read in reverse, and one behind


@pytest.mark.parametrize("endings", [("py", "pt2"), pytest.param(("onnx",), marks=pytest.mark.slow)])
def test_all_of_them_go_to_files(tmp_path: Path, endings: tuple[str, ...]) -> None:
    pytest.importorskip("onnxscript")
    network = compile_network(spec_of("again", "tied_linear", "rotary", "flip"), seed=0)
    for ending in endings:
        assert export(network, tmp_path / f"parts.{ending}").difference < 1e-5
    if "py" in endings:
        source = (tmp_path / "parts.py").read_text()
        assert source.count("self.a_one(") == 2
        assert "self.t_table.weight" in source
