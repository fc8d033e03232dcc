"""`batch_norm`: each feature is normalised by its mean and variance over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import Field

from gromo_graph.spec.kinds.base import Shape
from gromo_graph.spec.kinds.kind_registry import register_kind
from gromo_graph.spec.kinds.norm import Eps, Norm


class BatchNorm(Norm):
    """Batch normalisation: each feature by its mean and variance over the batch, in evaluation by running ones."""

    kind: Literal["batch_norm"] = "batch_norm"
    eps: Eps = 1e-5
    momentum: float = Field(
        0.1, ge=0, le=1, description="Weight of a new batch in the running mean and variance."
    )

    def needs_company(self, inputs: Sequence[Shape]) -> bool:
        """True if each feature has a single position."""
        return prod(inputs[0][1:]) == 1


register_kind(BatchNorm, "gromo_graph.layers.batch_norm:TORCH")
