"""`dropout`: nothing in evaluation mode, where growth is measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gromo_graph.spec.kinds import Dropout, Shape


def build(node: Dropout, inputs: Sequence[Shape]) -> torch.nn.Module:
    """The torch module of the node."""
    return torch.nn.Dropout(node.p)
