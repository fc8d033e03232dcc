"""Attention that a model writes out comes in as a node whose heads and widths grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import GrowthScheduler, TorchImportError, from_torch
from gromo_graph.interop.exporting import export
from gromo_graph.spec.settings import Growth

HEADS, WIDTH, LENGTH = 2, 8, 5


def by_unbind(m: Any, x: Tensor) -> tuple[Tensor, ...]:
    n, length, width = x.shape
    return m.qkv(x).reshape(n, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4).unbind(0)


def by_chunk(m: Any, x: Tensor) -> tuple[Tensor, ...]:
    n, length, _ = x.shape
    return tuple(part.view(n, length, HEADS, -1).transpose(1, 2) for part in m.qkv(x).chunk(3, dim=-1))


def by_heads_first(m: Any, x: Tensor) -> tuple[Tensor, ...]:
    """Query, key and value of a head stand side by side."""
    n, length, width = x.shape
    together = m.qkv(x).view(n, length, HEADS, 3, width // HEADS)
    return tuple(together[:, :, :, place].transpose(1, 2) for place in range(3))


def by_index(m: Any, x: Tensor) -> tuple[Tensor, ...]:
    n, length, _ = x.shape
    together = m.qkv(x).view(n, length, 3, HEADS, -1).transpose(1, 3)
    return tuple(together[:, :, place] for place in range(3))


def in_batch(m: Any, x: Tensor) -> tuple[Tensor, ...]:
    """The heads stand in the dimension of the batch."""
    return tuple(part.reshape(-1, *part.shape[2:]) for part in by_chunk(m, x))


def shares(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5).softmax(dim=-1) @ v


def scaled_queries(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return m.drop(functional.softmax(torch.matmul(0.7 * q, k.mT), -1)) @ v


def by_function(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v)


def by_bmm(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.bmm(m.softmax(torch.bmm(q, k.transpose(1, 2))), v)


def by_einsum(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bhid,bhjd->bhij", q, k) * 0.3
    return torch.einsum("b h i j, b h j d -> b h i d", scores.softmax(-1), v)


class Block(nn.Module):
    """Attention of one layer for query, key and value, and a residual."""

    def __init__(self, split: Callable[..., Any], mix: Callable[..., Any]) -> None:
        super().__init__()
        self.split, self.mix = split, mix
        self.norm = nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.drop, self.softmax = nn.Dropout(0.1), nn.Softmax(dim=-1)
        self.register_buffer("mask", torch.tril(torch.ones(LENGTH, LENGTH)).bool())
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        found = self.mix(self, *self.split(self, self.norm(x)))
        found = found.reshape(n, HEADS, length, -1).transpose(1, 2).reshape(n, length, width)
        return self.head((x + self.proj(found)).mean(dim=1))


WRITTEN: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "unbind, written out": (by_unbind, shares),
    "unbind, function": (by_unbind, by_function),
    "chunk, dropout": (by_chunk, scaled_queries),
    "heads first": (by_heads_first, by_function),
    "index, einsum": (by_index, by_einsum),
    "heads in the batch": (in_batch, by_bmm),
}


@pytest.mark.parametrize(("split", "mix"), WRITTEN.values(), ids=WRITTEN)
def test_written_attention_comes_in_grows_and_goes_out(
    split: Callable[..., Any], mix: Callable[..., Any]
) -> None:
    torch.manual_seed(0)
    model, x = Block(split, mix).double().eval(), torch.randn(4, LENGTH, WIDTH, dtype=torch.float64)
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-12)
    kinds = [node.kind for node in network.spec.nodes.values()]
    assert kinds.count("attention") == 1
    assert not {"slice", "channel_shuffle", "scale"} & set(kinds)
    (attention,) = (node for node in network.spec.nodes.values() if node.kind == "attention")
    assert attention.heads == HEADS
    assert attention.sources == ("qkv.query", "qkv.key", "qkv.value")
    y = torch.randint(3, (4,))
    scheduler = GrowthScheduler(
        network, functional.cross_entropy, policy=Growth(groups=1, neurons={"per_step": 2})
    )
    able = {c.target: c for c in scheduler.plan([(x, y)]).candidates if c.reason is None}
    assert scheduler.apply(able["qkv.value"], 0.1).decision is not None
    assert network.spec.nodes["qkv.value"].features > WIDTH
    torch.testing.assert_close(network.to_torch()(x), network(x), rtol=0, atol=1e-12)


def test_written_attention_is_the_same_in_onnx(tmp_path: Any) -> None:
    pytest.importorskip("onnxscript")
    network = from_torch(Block(by_unbind, shares), torch.randn(2, LENGTH, WIDTH))
    assert export(network, tmp_path / "net.onnx").difference < 1e-5


NOT_ATTENTION: Mapping[str, tuple[Callable[..., Any], str]] = {
    "over features": (lambda m, q, k, v: ((q.mT @ k).softmax(-1) @ v.mT).mT, "over positions"),
    "no softmax": (lambda m, q, k, v: q @ k.mT @ v, "expected a softmax between"),
    "the other dimension": (lambda m, q, k, v: (q @ k.mT).softmax(-2) @ v, "its dim is -2: expected that of the keys"),
    "another function": (lambda m, q, k, v: (q @ k.mT).relu() @ v, "for the products of queries and keys"),
    "twice": (lambda m, q, k, v: (q @ k.mT).softmax(-1).softmax(-1) @ v, "second softmax"),
    "shares times two": (lambda m, q, k, v: ((q @ k.mT).softmax(-1) * 2) @ v, "before the softmax"),
    "positions turned": (lambda m, q, k, v: (q @ k.mT).softmax(-1) @ v.flip(1), "has nothing like it"),
    "other heads": (lambda m, q, k, v: (q @ k.mT).softmax(-1) @ v[:, :1], "many positions"),
}  # fmt: skip


@pytest.mark.parametrize(("mix", "told"), NOT_ATTENTION.values(), ids=NOT_ATTENTION)
def test_other_products_are_told_of(mix: Callable[..., Any], told: str) -> None:
    model = Block(by_unbind, mix)
    with pytest.raises(TorchImportError, match=told) as caught:
        from_torch(model, torch.randn(2, LENGTH, WIDTH))
    assert "test_written_attention.py:" in str(caught.value)
