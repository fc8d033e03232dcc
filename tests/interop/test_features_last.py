"""Models that have the features behind their positions, as mixers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import from_torch
from gromo_graph.interop import importing
from tests.interop.test_importing import made


class FeaturesLast(nn.Module):
    """A model of one function behind an embedding that leaves (n, length, features)."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.embed, self.wide, self.back = nn.Conv2d(2, 5, 2, stride=2), nn.Linear(5, 7), nn.Linear(7, 5)
        self.tokens, self.norm, self.positions = nn.Linear(6, 6), nn.LayerNorm(5), nn.LayerNorm(6)
        self.whole, self.drop, self.pool = nn.LayerNorm([6, 5]), nn.Dropout(0.5), nn.AdaptiveAvgPool1d(1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.embed(x))


FEATURES_LAST: dict[str, tuple[Callable[[Any, Tensor], Tensor], set[str]]] = {
    "linear": (lambda m, x: m.wide(x.flatten(2).transpose(1, 2)).mean(1), {"conv2d"}),
    "positions last as they are": (lambda m, x: m.tokens(x.flatten(2)).flatten(1), {"transpose", "conv1d"}),
    "a norm along positions": (lambda m, x: m.positions(x.flatten(2)).flatten(1), {"transpose", "layer_norm"}),
    "images": (lambda m, x: m.wide(m.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2), {"conv2d", "layer_norm"}),
    "images by movedim": (lambda m, x: m.norm(x.movedim(1, -1)).movedim(-1, 1), {"layer_norm"}),
    "a mean over images": (lambda m, x: m.norm(x.permute(0, 2, 3, 1)).mean((1, 2)), {"adaptive_avg_pool2d"}),
    "mT, a pool": (lambda m, x: m.pool(m.norm(x.flatten(2).mT).mT).flatten(1), {"adaptive_avg_pool1d"}),
    "flat, positions first": (lambda m, x: m.norm(x.flatten(2).mT).flatten(1), {"transpose", "flatten"}),
    "an output of features last": (lambda m, x: m.norm(x.flatten(2).mT), {"transpose"}),
    "all values, positions first": (lambda m, x: m.whole(x.flatten(2).mT).sigmoid(), {"transpose"}),
    "a residual": (lambda m, x: _residual(m, x.flatten(2).mT), {"sequence", "merge"}),
    "sums of either order": (lambda m, x: x.flatten(2).mT + m.tokens(x.flatten(2)).mT, {"transpose", "merge"}),
    "a concat of features": (lambda m, x: torch.cat([m.wide(y := x.flatten(2).mT), y], -1).mT, {"merge"}),
    "a concat of positions": (lambda m, x: torch.cat([y := x.flatten(2).mT, m.norm(y)], 1), {"transpose"}),
    "a concat of rows along the last": (lambda m, x: torch.cat([y := x.flatten(2), m.tokens(y)], -1), {"merge"}),
    "dropout": (lambda m, x: m.wide(m.drop(x.flatten(2).mT.relu())).mean(1), {"dropout"}),
    "back to an image": (lambda m, x: m.norm(x.flatten(2).mT).mT.flatten(1), {"flatten"}),
    "swapped twice": (lambda m, x: x.flatten(2).mT.mT.swapaxes(1, 2).moveaxis(2, 1), {"sequence"}),
}  # fmt: skip


def _residual(model: Any, x: Tensor) -> Tensor:
    x = x + model.back(functional.gelu(model.wide(model.norm(x))))
    return (x + model.tokens(x.transpose(1, 2)).transpose(1, 2)).mean(dim=1)


@pytest.mark.parametrize("by_export", [False, True], ids=["fx", "export"])
@pytest.mark.parametrize("name", FEATURES_LAST)
def test_features_behind_positions(name: str, by_export: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_export:
        monkeypatch.setattr(importing, "record", lambda *_: [])
    function, kinds = FEATURES_LAST[name]
    torch.manual_seed(0)
    model = FeaturesLast(function).double()
    with torch.no_grad():
        for norm in (model.norm, model.positions, model.whole):
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.uniform_(-1.0, 1.0)
    network = from_torch(model.eval(), torch.zeros(2, 2, 4, 6).double())
    x = torch.randn(3, 2, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-12)
    assert kinds <= {node.kind for node in network.spec.nodes.values()}
    again = from_torch(network.to_torch(), x)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=1e-12)


def test_a_mixer_is_read_with_as_few_transposes_as_it_has() -> None:
    model, shape = made("mixer")
    network = from_torch(model, torch.zeros(1, *shape, dtype=torch.float64))
    kinds = [node.kind for node in network.spec.nodes.values()]
    assert (kinds.count("transpose"), kinds.count("sequence"), kinds.count("flatten")) == (4, 2, 1)
    norms = [node for node in network.spec.nodes.values() if node.kind == "layer_norm"]
    assert {norm.over for norm in norms} == {"features"}
    assert network.spec.nodes["blocks.0.add"].sources == ("patches.sequence", "blocks.0.tokens.2.turned")
