"""A norm over the samples of a batch cannot train on one sample: batches are joined, or it is told beforehand."""

from __future__ import annotations

import pytest
import torch

from gromo_graph import SpecError, check_spec, edit, grow, parse_spec
from gromo_graph.run.data.batches import batches_of
from gromo_graph.run.data.samples import Part, Stream

SPEC = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2}
  b: {kind: NORM, from: h, activation: relu}
  y: {kind: linear, from: b, features: 3}
output: y
train: {data: iris, epochs: 2, batch_size: SIZE}
"""
IMAGES = """
nodes:
  x: {kind: input, shape: [1, 4, 4]}
  c: {kind: conv2d, from: x, features: 2, kernel: 3}
  b: {kind: batch_norm, from: c}
  p: {kind: adaptive_avg_pool2d, from: b, size: 1}
  BEHIND
  f: {kind: flatten, from: SOURCE}
  y: {kind: linear, from: f, features: 3}
output: y
train: {batch_size: 1}
"""


def spec_of(norm: str, size: int) -> str:
    return SPEC.replace("NORM", norm).replace("SIZE", str(size))


def test_a_last_batch_of_one_sample_ends_no_run() -> None:
    """Iris has 90 samples to train on."""
    run = grow(parse_spec(spec_of("batch_norm", 89)), seed=0)
    assert len(run.epochs) == 2


def test_batches_of_one_sample_are_told_by_the_spec() -> None:
    with pytest.raises(SpecError, match=r"train\.batch_size: `b` would normalise a single value"):
        parse_spec(spec_of("batch_norm", 1))
    spec = parse_spec(spec_of("batch_norm", 2))
    with pytest.raises(SpecError, match=r"train\.batch_size"), edit(spec) as e:
        e.set_train(batch_size=1)
    assert check_spec(spec) == ()


@pytest.mark.parametrize("norm", ["layer_norm", "group_norm, groups: 1"])
def test_norms_of_each_sample_train_on_one(norm: str) -> None:
    assert parse_spec(spec_of(norm, 1)).train.batch_size == 1


def test_positions_of_an_image_are_company() -> None:
    plain = IMAGES.replace("  BEHIND\n", "").replace("SOURCE", "p")
    assert parse_spec(plain).train.batch_size == 1
    pooled = IMAGES.replace("BEHIND", "n: {kind: batch_norm, from: p}").replace("SOURCE", "n")
    with pytest.raises(SpecError, match="`n` would normalise a single value"):
        parse_spec(pooled)


@pytest.mark.parametrize(
    ("samples", "size", "least", "wanted"),
    [
        (7, 3, 1, [3, 3, 1]),
        (7, 3, 2, [3, 4]),
        (8, 3, 2, [3, 3, 2]),
        (9, 3, 2, [3, 3, 3]),
        (4, 3, 2, [4]),
        (1, 3, 2, [1]),
        (9, 6, 4, [9]),
    ],
)
def test_small_batches_are_joined(samples: int, size: int, least: int, wanted: list[int]) -> None:
    x, y = torch.arange(float(samples))[:, None], torch.zeros(samples, dtype=torch.int64)
    for part in (
        Part(x, y),
        Stream("train", list(zip(x.split(size), y.split(size), strict=True)), (1,), 2, True, None),
    ):
        loader = batches_of(part, size, least=least)
        batches = [values for values, _ in loader]
        assert [len(batch) for batch in batches] == wanted
        assert torch.equal(torch.cat(batches), x)
    assert len(batches_of(Part(x, y), size, least=least)) == len(wanted)
