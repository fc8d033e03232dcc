"""Networks and data for the callbacks of other trainers."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import make_moons
from torch import Tensor
from torch.utils.data import TensorDataset

LIGHTNING_WORDS = [
    pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:lightning"),
]
"""Lightning's own words on workers, progress bars and its logs, which no test is about."""

MOONS = """
name: moons
nodes:
  point:  {kind: input, shape: [2]}
  hidden: {kind: linear, from: point, features: 1, activation: tanh}
  side:   {kind: linear, from: hidden, features: 2}
output: side
growth: {neurons: {per_step: 2}, when: {every: 1, until: 0.5}}
"""

PATHS = """
name: paths
nodes:
  point:  {kind: input, shape: [2]}
  hidden: {kind: linear, from: point, features: 2, activation: tanh}
  deep:   {kind: linear, from: hidden, features: 3, activation: tanh, grow: false}
  side:   {kind: linear, from: deep, features: 2}
output: side
growth: {actions: [new_edge, widen], neurons: {per_step: 2}, when: {every: 1, until: 0.75}, groups: 1}
"""
"""Edges past its layers may be added; their weights stand in the middle of the network and last in an optimizer."""


def moons(samples: int = 200, seed: int = 0) -> TensorDataset:
    x, y = make_moons(samples, noise=0.15, random_state=seed)
    return TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(y))


def tensors(data: TensorDataset) -> tuple[Tensor, Tensor]:
    x, y = data.tensors
    return x, y
