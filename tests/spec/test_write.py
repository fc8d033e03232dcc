"""dump_spec: what it writes reads back as the same spec, and looks good."""

from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given, settings
from ruamel.yaml import YAML

from gromo_graph import Spec, check_spec, dump_spec, load_spec, parse_spec
from gromo_graph.spec.starter import STARTERS, starter
from gromo_graph.spec.text.scalars import represent, resolve
from tests.spec.strategies import NAMES, specs


@settings(max_examples=50)
@given(specs())
def test_a_dumped_spec_reads_back_as_itself(spec: Spec) -> None:
    text = dump_spec(spec)
    read = parse_spec(text)
    assert read == spec
    assert list(read.nodes) == list(spec.nodes)
    assert hash(read) == hash(spec)
    assert dump_spec(read) == text
    assert check_spec(spec) == ()


@settings(max_examples=25)
@given(specs())
def test_other_readers_understand_it_too(spec: Spec) -> None:
    data = YAML(typ="safe", pure=True).load(StringIO(dump_spec(spec)))
    assert list(data["nodes"]) == list(spec.nodes)
    assert [node["kind"] for node in data["nodes"].values()] == [node.kind for node in spec.nodes.values()]


@settings(max_examples=60)
@given(NAMES)
def test_text_is_written_so_that_it_stays_text(text: str) -> None:
    written = represent(text)
    assert "\n" not in written
    if not written.startswith('"'):
        assert resolve(written) == text


def test_the_layout() -> None:
    text = """\
version: 1
name: digits_residual
nodes:
  pixels: {kind: input, shape: [64]}
  stem:   {kind: linear, from: pixels, features: 4, activation: relu}
  lift:   {kind: linear, from: stem, features: 4, activation: relu, grow: {max: 128}}
  mix:    {kind: linear, from: lift, features: 4, grow: false}
  join:   {kind: merge, from: [stem, mix], activation: relu}
  "12":   {kind: linear, from: join, features: 10}
outputs: ["12", join]
growth:
  actions: [widen]
  select: balanced
  trials: 4
  criterion: tiny
  curvature: gauss_newton
  neurons: {per_step: 8, reach: 1.0, least: 0.0}
  edges: {prune: false}
  when: {begin: 0.0, until: 0.25, steps: 10, spacing: null, watch: validation_loss}
  stop: {parameters: 5000, parameters_per_sample: auto}
  beyond: 1.0
  apply_delta: false
  project: auto
  ridge: 0.1
  scale: sqrt
  kernel: full
  allow_jump: false
  rescue: true
  shrink: 1.0
  optimizer_state: own_steps
  warm_up: 0.3
train:
  data: digits
  loss: cross_entropy
  label_smoothing: 0.0
  optimizer: {name: adamw, lr: 0.003, weight_decay: 0.2, momentum: 0.0}
  schedule: cosine
  warmup: 0.0
  watch: loss
  keep: last
  batch_size: 64
  accumulate: 1
  workers: 0
  epochs: 20
  validation: 0.2
  metrics: []
  threshold: 0.5
  allow_unused_outputs: false
  retries: 3
"""
    assert dump_spec(parse_spec(text)) == text


def test_long_lines_are_broken_after_commas() -> None:
    inputs = "".join(f"  input_number_{place}: {{kind: input, shape: [1]}}\n" for place in range(40))
    names = ", ".join(f"input_number_{place}" for place in range(40))
    text = f"nodes:\n{inputs}  join: {{kind: merge, from: [{names}], merge: concat}}\noutput: join\n"
    written = dump_spec(parse_spec(text))
    assert max(map(len, written.splitlines())) <= 110
    assert parse_spec(written) == parse_spec(text)


@pytest.mark.parametrize("kind", STARTERS)
def test_starters_load_as_they_are(kind: str) -> None:
    assert parse_spec(starter(kind)).outputs
    with pytest.raises(KeyError):
        starter("unknown")


@pytest.mark.parametrize("name", ["digits_mlp", "digits_residual"])
def test_the_specs_of_the_gallery_load(name: str) -> None:
    spec = load_spec(f"specs/{name}.yaml")
    assert spec.name == name
    assert parse_spec(dump_spec(spec)) == spec
