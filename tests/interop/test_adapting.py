"""Imported networks with adapters: the choice of layers, ranks from 0, and merging on export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gromo_graph import GrowthScheduler, dump_spec, export, from_torch, parse_spec
from gromo_graph.errors import GraphError, TorchImportError
from gromo_graph.graph import build_graph
from gromo_graph.graph.adapters import adapters
from gromo_graph.graph.edits.adapters import AddAdapter
from gromo_graph.network import GrowingNetwork
from tests.interop.test_exporting import imported as imported_source

CE = nn.functional.cross_entropy


class Encoder(nn.Module):
    """A small transformer encoder with a head."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


class Images(nn.Module):
    """Convolutions of several forms, a batch norm and a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.mix = nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=False)
        self.down = nn.Conv2d(4, 5, 2, stride=2)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        return self.head(self.down(x + self.mix(x)).relu().mean((2, 3)))


def imported(kind: str, **adapters: Any) -> tuple[nn.Module, GrowingNetwork, Tensor]:
    torch.manual_seed(0)
    model, x = {
        "encoder": lambda: (Encoder(), torch.randn(30, 5, 8)),
        "images": lambda: (Images(), torch.randn(30, 2, 6, 6)),
    }[kind]()
    return model, from_torch(model, x, adapters={"layers": "*", **adapters}), x


@pytest.mark.parametrize("kind", ["encoder", "images"])
def test_adapters_begin_as_nothing_and_merge_into_the_weights(kind: str, tmp_path: Path) -> None:
    model, network, x = imported(kind, rank=2)
    network.eval()
    model.eval()
    assert torch.allclose(network(x), model(x), atol=1e-5)
    assert len(adapters(network.graph)) >= 4
    for each in adapters(network.graph):
        nn.init.normal_(network.parts[each.up].weight, std=0.3)
    expected = network(x)
    assert not torch.allclose(expected, model(x), atol=1e-2)
    plain = network.to_torch()
    assert torch.allclose(plain(x), expected, atol=1e-5)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in model.parameters())
    merged = network.merged()
    assert not adapters(merged.graph)
    assert torch.allclose(merged(x), expected, atol=1e-5)
    assert torch.equal(network(x), expected)
    done = export(network, tmp_path / "plain.py")
    assert done.difference is not None
    assert done.difference < 1e-5


def test_merging_brings_the_graph_back() -> None:
    _, network, _ = imported("images", rank=1)
    assert list(network.merged().spec.nodes) == list(imported("images")[1].spec.nodes)


@pytest.mark.parametrize("kind", ["encoder", "images"])
def test_ranks_grow_from_nothing_within_a_budget_and_frozen_weights_stay(kind: str) -> None:
    _, network, x = imported(kind, parameters=60)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items() if "running" not in name}
    total = network.graph.parameter_count
    assert not adapters(network.graph)
    y = torch.randint(0, 3, (30,))
    scheduler = GrowthScheduler(network, CE, training_steps=10, statistics=[(x, y)])
    for _ in range(4):
        scheduler.after_batch(x, y, [(x, y)])
    grown = adapters(network.graph)
    assert grown
    assert total < network.graph.parameter_count <= total + 60
    for each in grown:
        weight = network.parts[each.layer].weight
        alike = [tensor for tensor in before.values() if tensor.shape == weight.shape]
        assert any(torch.equal(weight, tensor) for tensor in alike)
    assert parse_spec(dump_spec(network.spec)) == network.spec


def of_onnx(path: Path, x: Tensor) -> Tensor:
    session = pytest.importorskip("onnxruntime").InferenceSession(path.read_bytes())
    (name,) = (each.name for each in session.get_inputs())
    return torch.from_numpy(session.run(None, {name: x.numpy()})[0])


@pytest.mark.parametrize("kind", [pytest.param("encoder", marks=pytest.mark.slow), "images"])
def test_grown_adapters_are_merged_in_every_format(kind: str, tmp_path: Path) -> None:
    model, network, x = imported(kind, parameters=120)
    y = torch.randint(0, 3, (30,))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    scheduler = GrowthScheduler(network, CE, optimizer=optimizer, training_steps=10, statistics=[(x, y)])
    for stage in ("before", "after"):
        expected = network.eval()(x).detach()
        for ending in ("py", "pt2", "onnx"):
            export(network, tmp_path / f"{stage}.{ending}")
        source = imported_source(tmp_path / f"{stage}.py").load()
        program = torch.export.load(tmp_path / f"{stage}.pt2").module()
        for plain in (network.to_torch(), source, program):
            torch.testing.assert_close(plain(x), expected, rtol=0, atol=1e-5)
            assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in model.parameters())
        torch.testing.assert_close(of_onnx(tmp_path / f"{stage}.onnx", x), expected, rtol=0, atol=1e-5)
        if stage == "before":
            for _ in range(4):
                optimizer.zero_grad()
                CE(network.train()(x), y).backward()
                optimizer.step()
                scheduler.after_batch(x, y, [(x, y)])
            assert adapters(network.graph)
            assert not torch.allclose(network.eval()(x), expected, atol=1e-2)


def test_other_layers_keep_their_widths_and_what_the_model_has_frozen_is_frozen() -> None:
    torch.manual_seed(0)
    model = Encoder()
    model.encoder.requires_grad_(False)
    network = from_torch(model, torch.randn(2, 5, 8), adapters={"layers": "*.linear?"})
    nodes = network.spec.nodes
    frozen = {name for name, node in nodes.items() if getattr(node, "frozen", False)}
    assert "encoder.layers.0.norm1" in frozen
    assert "encoder.layers.0.linear1" in frozen
    assert "head" not in frozen
    assert nodes["encoder.layers.0.self_attn.query"].grow is False  # type: ignore[attr-defined]
    assert nodes["head"].grow is False  # type: ignore[attr-defined]
    assert network.parts["head"].weight.requires_grad


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {
        "layers": ["encoder.layers.0.linaer1", "encoder.layers.0.norm1", 3],
        "rank": -1,
        "ranks": 2,
        "parameters": "9",
    }
    with pytest.raises(TorchImportError) as told:
        from_torch(Encoder(), torch.randn(2, 5, 8), adapters=wrong)
    text = str(told.value)
    assert len(told.value.obstacles) == 6
    assert "`encoder.layers.0.linaer1`" in text
    assert "did you mean `encoder.layers.0.linear1`?" in text
    assert "`encoder.layers.0.norm1` is a layer_norm: expected a linear or convolution layer" in text
    assert "unknown key 'ranks': did you mean `rank`?" in text
    assert "rank is -1: expected an integer, 0 or more" in text
    with pytest.raises(TorchImportError, match="`layers` is missing"):
        from_torch(Encoder(), torch.randn(2, 5, 8), adapters={})


def test_an_edit_puts_an_adapter_beside_a_layer_once() -> None:
    _, network, _ = imported("images")
    spec = AddAdapter("mix", 2).spec_of(network.spec)
    assert [each.layer for each in adapters(build_graph(spec))] == ["mix"]
    with pytest.raises(GraphError, match="has an adapter already"):
        AddAdapter("mix", 2).spec_of(spec)
    with pytest.raises(GraphError, match="expected a linear or convolution layer"):
        AddAdapter("norm", 2).spec_of(spec)
