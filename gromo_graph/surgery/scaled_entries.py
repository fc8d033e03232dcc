"""Entries of parameters that depend on the step size γ, so that another γ rewrites them alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scaled:
    """Some entries of a parameter: Σ γ^power · values.

    Attributes:
        entries: a view of the parameter. terms: powers and values, shaped like the view.
    """

    entries: Tensor
    terms: Sequence[tuple[float, Tensor]]

    @torch.no_grad()
    def write(self, gamma: float) -> None:
        """Give the entries the values that they have at a step size."""
        (power, values), *others = self.terms
        self.entries.copy_(gamma**power * values)
        for power, values in others:
            self.entries.add_(gamma**power * values.to(self.entries))
