"""Documents as people from other libraries write them: each foreign word is answered with the word to write."""

from __future__ import annotations

import pytest

from gromo_graph import check_spec
from gromo_graph.spec.field_names import keys_of
from gromo_graph.spec.foreign_words import _KINDS, _NODE_KEYS
from gromo_graph.spec.kinds import KINDS

FRAME = """
nodes:
  x: {{kind: input, shape: [1, 9, 9]}}
  f: {{kind: flatten, from: x}}
  h: {node}
  y: {{kind: linear, from: h, features: 2}}
output: y
{sections}
"""
LINEAR = "{kind: linear, from: f, features: 4}"

NODES = [
    ("{kind: dense, from: f, features: 4}", "kind", "`dense`: write `linear`"),
    ("{kind: Dense, inputs: f, units: 4}", "kind", "`Dense`: write `linear`"),
    ("{kind: Dense, inputs: f, units: 4}", "inputs", "`inputs`: write `from`"),
    ("{kind: Dense, inputs: f, units: 4}", "units", "`units`: write `features`"),
    ("{kind: linear, from: f, in_features: 81, features: 4}", "in_features", "`in_features`: leave it out"),
    ("{kind: linear, from: f, features: 4, use_bias: false}", "use_bias", "`use_bias`: write `bias`"),
    ("{kind: linear, from: f, features: 4, act: ReLU}", "act", "`act`: write `activation`"),
    ("{type: Linear, input: f, out_features: 4}", "type", "`type`: write `kind`"),
    ("{type: Linear, input: f, out_features: 4}", "out_features", "`out_features`: write `features`"),
    ("{kind: Conv2D, from: x, filters: 4, kernel_size: 3}", "kind", "did you mean `conv2d`?"),
    ("{kind: Conv2D, from: x, filters: 4, kernel_size: 3}", "filters", "`filters`: write `features`"),
    ("{kind: Conv2D, from: x, filters: 4, kernel_size: 3}", "kernel_size", "`kernel_size`: write `kernel`"),
    ("{kind: conv2d, from: x, features: 4, kernel: 3, strides: 2}", "strides", "`strides`: write `stride`"),
    ("{kind: batchnorm2d, from: x}", "kind", "`batchnorm2d`: write `batch_norm`"),
    ("{kind: MaxPooling2D, from: x, pool_size: 2}", "kind", "`MaxPooling2D`: write `max_pool2d`"),
    ("{kind: MaxPooling2D, from: x, pool_size: 2}", "pool_size", "`pool_size`: write `kernel`"),
    ("{kind: add, from: [f]}", "kind", "`add`: write `merge`, with `merge: sum`"),
    ("{kind: Concatenate, from: [f]}", "kind", "write `merge`, with `merge: concat`"),
    ("{kind: ReLU, from: f}", "kind", "`ReLU`: an activation is no node, write it as `activation`"),
    ("{kind: dropout, from: f, rate: 0.5}", "rate", "`rate`: write `p`"),
    (
        "{kind: linear, from: f, features: 4, activation: LeakyReLU}",
        "activation",
        "did you mean `leaky_relu`?",
    ),
    ("{kind: linear, from: f, features: 4, activation: softmax}", "activation", "`softmax`: leave it out"),
    ("{kind: linear, from: f, features: 4, activation: swish}", "activation", "`swish`: write `silu`"),
]
SECTIONS = [
    ("train: {lr: 0.1}", "train.lr", "`lr`: write `optimizer: {lr: ...}`"),
    ("train: {optimizer: adam}", "train.optimizer", "write `optimizer: {name: adam}`"),
    ("train: {loss: crossentropy}", "train.loss", "did you mean `cross_entropy`?"),
    ("train: {loss: mean_squared_error}", "train.loss", "`mean_squared_error`: write `mse`"),
    ("train: {epoch: 3}", "train.epoch", "`epoch`: write `epochs`"),
    ("train: {batchsize: 3}", "train.batchsize", "did you mean `batch_size`?"),
    ("train: {seed: 3}", "train.seed", "`seed`: option `--seed`"),
    ("train: {device: cuda}", "train.device", "`device`: option `--device`"),
    ("seed: 3", "seed", "`seed`: option `--seed`"),
    ("growth: {max_parameters: 9}", "growth.max_parameters", "write `stop: {parameters: ...}`"),
    ("growth: {strategy: tiny}", "growth.strategy", "`strategy`: write `criterion`"),
    ("growth: {neurons: 8}", "growth.neurons", "write `neurons: {per_step: 8}`"),
    ("growth: {when: 5}", "growth.when", "write `when: {every: 5}`"),
]


@pytest.mark.parametrize(("node", "key", "message"), NODES)
def test_words_of_nodes(node: str, key: str, message: str) -> None:
    found = {problem.path: problem.message for problem in check_spec(FRAME.format(node=node, sections=""))}
    assert message in found[f"nodes.h.{key}"]


@pytest.mark.parametrize(("section", "path", "message"), SECTIONS)
def test_words_of_sections(section: str, path: str, message: str) -> None:
    found = {
        problem.path: problem.message for problem in check_spec(FRAME.format(node=LINEAR, sections=section))
    }
    assert message in found[path]
    assert len(found) == 1


def test_the_words_to_write_are_those_of_the_language() -> None:
    keys = {key for kind in KINDS.values() for key in keys_of(kind)}
    assert {key for key in _NODE_KEYS.values() if key} <= keys
    assert set(_KINDS.values()) <= set(KINDS)
