"""Chains of growing modules on random float64 data, for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from gromo_graph.modules import GrowingModule

ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "identity": torch.nn.Identity,
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "gelu": torch.nn.GELU,
    "selu": torch.nn.SELU,
    "silu": torch.nn.SiLU,
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "softplus": torch.nn.Softplus,
    "elu": torch.nn.ELU,
}


@dataclass
class Chain:
    """Modules in order, as one network on fixed data with a squared loss."""

    net: torch.nn.Sequential
    x: Tensor
    y: Tensor

    @property
    def modules(self) -> list[GrowingModule]:
        return list(self.net)  # type: ignore[arg-type]

    def total_loss(self) -> Tensor:
        """Sum of the per-sample losses."""
        return (self.net(self.x) - self.y).square().sum()

    def mean_loss(self) -> float:
        with torch.no_grad():
            return float(self.total_loss()) / self.x.shape[0]

    def predicted_output(self) -> Tensor:
        """The output after growth as extended_forward predicts it."""
        h, further = self.x, None
        with torch.no_grad():
            for module in self.modules:
                h, further = module.extended_forward(h, further)
        assert further is None
        return h

    def gather(self) -> None:
        """Statistics of one batch in all modules."""
        for module in self.modules:
            module.init_computation()
        self.total_loss().backward()
        for module in self.modules:
            module.update_computation()
        self.net.zero_grad()


def chain(*widths: int, activation: str = "tanh", bias: bool = True, rows: int = 80, seed: int = 0) -> Chain:
    """A chain of linear modules of these widths, linked, with the activation between them."""
    generator = torch.Generator().manual_seed(seed)
    modules: list[GrowingModule] = []
    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        last = place == len(widths) - 2
        layer = torch.nn.Linear(inputs, outputs, bias=bias, dtype=torch.float64)
        for parameter in layer.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
        modules.append(
            GrowingModule(
                layer,
                post_layer_function=torch.nn.Identity() if last else ACTIVATIONS[activation](),
                previous_module=modules[-1] if modules else None,
                name=f"layer{place}",
            )
        )
    for before, after in pairwise(modules):
        before.next_module = after
    x = torch.randn(rows, widths[0], generator=generator, dtype=torch.float64)
    y = torch.randn(rows, widths[-1], generator=generator, dtype=torch.float64)
    return Chain(torch.nn.Sequential(*modules), x, y)
