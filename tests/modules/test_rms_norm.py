"""The kind `rms_norm`: from the document to growth, import and export of every form."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import GrowthScheduler, compile_network, export, from_torch, parse_spec, render
from gromo_graph.graph import build_graph
from tests.modules.normed import close

F64 = torch.float64
PLACES = {
    "rows": ("[6]", "linear, features: 4", ""),
    "an image": ("[2, 4, 4]", "conv2d, features: 4, kernel: 3", ""),
    "each position": ("[2, 4, 4]", "conv2d, features: 4, kernel: 3", ", over: features, eps: 0.01"),
    "without factors": (
        "[2, 5]",
        "conv1d, features: 4, kernel: 3",
        ", over: features, elementwise_affine: false",
    ),
}


def text_of(place: str, growth: str = "allow_jump: true") -> str:
    shape, layer, options = PLACES[place]
    flat = "" if shape == "[6]" else "\n  f: {kind: flatten, from: norm}"
    return f"""
nodes:
  x: {{kind: input, shape: {shape}}}
  h: {{kind: {layer}, from: x}}
  norm: {{kind: rms_norm, from: h, activation: tanh{options}}}{flat}
  y: {{kind: linear, from: {"f" if flat else "norm"}, features: 3}}
output: y
growth: {{{growth}}}
"""


def reference(x: Tensor, weight: Tensor | None, eps: float, *, over_features: bool) -> Tensor:
    """x / √(mean square + ε) · weight, by the book."""
    dims = (1,) if over_features else tuple(range(1, x.dim()))
    y = x / (x.square().mean(dim=dims, keepdim=True) + eps).sqrt()
    if weight is None:
        return y
    return y * (weight.reshape(-1, *[1] * (x.dim() - 2)) if over_features else weight)


@pytest.mark.parametrize("place", PLACES)
def test_it_computes_what_the_formula_says_and_costs_what_it_says(place: str) -> None:
    spec = parse_spec(text_of(place))
    network = compile_network(spec, seed=0, dtype=F64)
    norm: Any = network.parts["norm"]
    for parameter in norm.parameters():
        nn.init.uniform_(parameter)
    x = torch.randn(3, *network.graph.shapes["h"], dtype=F64)
    node: Any = spec.nodes["norm"]
    eps = torch.finfo(F64).eps if node.eps is None else node.eps
    weight = norm.weight if node.elementwise_affine else None
    close(norm(x), reference(x, weight, eps, over_features=node.over == "features"))
    graph = build_graph(spec)
    counted = sum(parameter.numel() for parameter in norm.parameters())
    assert graph.spec.nodes["norm"].parameter_count(graph.input_shapes("norm")) == counted


@pytest.mark.parametrize("place", PLACES)
def test_it_grows_by_a_jump_and_the_optimizer_follows(place: str) -> None:
    torch.manual_seed(0)
    network = compile_network(parse_spec(text_of(place)), seed=0, dtype=F64)
    shape = network.graph.shapes["x"]
    x = torch.randn(40, *shape, dtype=F64)
    loader = [(x, x.flatten(1)[:, :3].sin())]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    scheduler = GrowthScheduler(network, functional.mse_loss, optimizer=optimizer)
    (candidate,) = (each for each in scheduler.plan(loader).candidates if each.target == "h")
    assert candidate.slope is None  # there is none: the old outputs change at once
    before: Any = network.parts["norm"]
    old = [parameter.detach().clone() for parameter in before.parameters()]
    event = scheduler.apply(candidate, 0.5, loader=loader)
    norm: Any = network.parts["norm"]
    assert norm.normalized_shape[0] == network.graph.shapes["h"][0] > 4
    for was, parameter in zip(old, norm.parameters(), strict=True):
        assert torch.equal(parameter[:4], was)
        assert (parameter[4:] == 1.0).all()
        assert any(parameter is each for group in optimizer.param_groups for each in group["params"])
    after = functional.mse_loss(network(x), loader[0][1])
    assert event.loss_after == pytest.approx(float(after.detach()), rel=1e-9)


def test_by_default_it_does_not_grow_and_the_plan_says_why() -> None:
    network = compile_network(parse_spec(text_of("rows", "")), seed=0)
    x = torch.randn(20, 6)
    plan = GrowthScheduler(network, functional.mse_loss).plan([(x, x[:, :3])])
    assert any("changes its old outputs at once" in (each.reason or "") for each in plan.candidates)


@pytest.mark.parametrize("place", PLACES)
def test_it_is_exported_in_every_form(place: str, tmp_path: Path) -> None:
    network = compile_network(parse_spec(text_of(place)), seed=0)
    nn.init.uniform_(next(iter(network.parts["norm"].parameters()), torch.zeros(1)))
    names = ("m.py", "m.pt2", "m.onnx") if place in ("rows", "each position") else ("m.py", "m.pt2")
    for name in names:
        if name.endswith("onnx"):
            pytest.importorskip("onnx")
            pytest.importorskip("onnxscript")
        difference = export(network, tmp_path / name).difference
        assert difference is None or difference < 1e-5
    text = (tmp_path / "m.py").read_text()
    assert "nn.RMSNorm((4" in text
    sys.path.insert(0, str(tmp_path))
    try:
        import m  # type: ignore[import-not-found]

        x = torch.randn(2, *network.graph.shapes["x"])
        close(m.load()(x), network.eval()(x))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("m", None)


class Written(nn.Module):
    """A norm of each of its positions by a module, and of all values by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 4), nn.Linear(12, 2)
        self.norm = nn.RMSNorm(4, eps=1e-3)
        self.free = nn.RMSNorm(4, elementwise_affine=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.free(self.norm(self.first(x))).flatten(1)
        return self.last(functional.rms_norm(y, (12,)))


@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=["float32", "float64"])
def test_it_comes_in_as_a_module_and_as_a_function(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Written().to(dtype)
    nn.init.uniform_(model.norm.weight)
    network = from_torch(model, torch.zeros(2, 3, 5, dtype=dtype))
    norms: list[Any] = [node for node in network.spec.nodes.values() if node.kind == "rms_norm"]
    assert [(node.over, node.eps, node.elementwise_affine) for node in norms] == [
        ("features", 1e-3, True),
        ("features", None, False),
        ("all", None, False),
    ]
    x = torch.randn(3, 3, 5, dtype=dtype)
    close(network(x), model(x))


def test_it_is_drawn_with_its_words(tmp_path: Path) -> None:
    render(parse_spec(text_of("each position")), tmp_path / "n.svg")
    drawn = (tmp_path / "n.svg").read_text()
    assert "rms_norm" in drawn
    assert "over features" in drawn
