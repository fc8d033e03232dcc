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
        self.table = nn.Parameter(torch.randn(2 * LENGTH - 1, HEADS))
        places = torch.arange(LENGTH)
        self.register_buffer("index", places[:, None] - places + LENGTH - 1)
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


CAUSAL: Mapping[str, Callable[..., Any]] = {
    "is_causal": lambda m, q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True),
    "attn_mask": lambda m, q, k, v: functional.scaled_dot_product_attention(q, k, v, attn_mask=m.mask),
    "masked_fill": lambda m, q, k, v: (q @ k.mT / 2).masked_fill(~m.mask, -torch.inf).softmax(-1) @ v,
    "where": lambda m, q, k, v: (
        torch.where(m.mask[None, None], q @ k.mT, torch.tensor(-1e30)).softmax(-1) @ v
    ),
    "added": lambda m, q, k, v: (q @ k.mT + torch.zeros(5, 5).masked_fill(~m.mask, -1e9)).softmax(-1) @ v,
}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_mask_is_told_by_its_values(name: str) -> None:
    model, x = Block(by_unbind, CAUSAL[name]).eval(), torch.randn(2, LENGTH, WIDTH)
    network = from_torch(model, x)
    (attention,) = (node for node in network.spec.nodes.values() if node.kind == "attention")
    assert attention.causal
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-5)


def relative_bias(m: Any) -> Tensor:
    """As Swin has it."""
    return m.table[m.index.view(-1)].view(LENGTH, LENGTH, -1).permute(2, 0, 1).contiguous().unsqueeze(0)


BIASED: Mapping[str, Callable[..., Any]] = {
    "added": lambda m, q, k, v: m.drop((q @ k.mT / 2 + relative_bias(m)).softmax(-1)) @ v,
    "attn_mask": lambda m, q, k, v: functional.scaled_dot_product_attention(q, k, v, relative_bias(m)),
    "and a mask": lambda m, q, k, v: (
        (q @ k.mT + m.table.T[:, m.index.T]).masked_fill(~m.mask, -torch.inf).softmax(-1) @ v
    ),
}


@pytest.mark.parametrize("name", BIASED)
def test_a_learned_bias_of_distances_comes_in_grows_and_goes_out(name: str) -> None:
    torch.manual_seed(0)
    model, x = (
        Block(by_unbind, BIASED[name]).double().eval(),
        torch.randn(4, LENGTH, WIDTH, dtype=torch.float64),
    )
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-12)
    (attention,) = (node for node in network.spec.nodes.values() if node.kind == "attention")
    assert (attention.relative_position_bias, attention.causal) == (True, name == "and a mask")
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in model.parameters())
    scheduler = GrowthScheduler(
        network, functional.cross_entropy, policy=Growth(groups=1, neurons={"per_step": 2})
    )
    for target in ("qkv.query", "qkv.value"):
        planned = scheduler.plan([(x, torch.randint(3, (4,)))]).candidates
        (able,) = (c for c in planned if c.target == target)
        assert scheduler.apply(able, 0.1).decision is not None
    torch.testing.assert_close(network.to_torch()(x), network(x), rtol=0, atol=1e-12)


class Language(nn.Module):
    """Tokens and places looked up, rows of samples and positions together, matrices the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(11, WIDTH), nn.Embedding(9, WIDTH)
        self.types = nn.Embedding(2, WIDTH)
        self.register_buffer("ids", torch.arange(9)[None])
        self.weight, self.bias = nn.Parameter(torch.randn(WIDTH, 6)), nn.Parameter(torch.randn(6))
        self.head = nn.Linear(6, 11, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.places(self.ids[:, : ids.shape[1]])
        x = x + self.types(torch.zeros_like(self.ids[:, : ids.shape[1]]))
        wide = torch.addmm(self.bias, x.view(-1, WIDTH), self.weight)
        return self.head(wide.view(*ids.shape, 6) ** 3).mean(1)


def test_places_are_looked_up_and_rows_of_all_samples_are_read() -> None:
    model, ids = Language().double(), torch.randint(11, (3, 7))
    network = from_torch(model, ids)
    torch.testing.assert_close(network(ids), model(ids), rtol=0, atol=1e-10)
    kinds = [node.kind for node in network.spec.nodes.values()]
    assert kinds[:5] == ["input", "embedding", "positions", "affine", "conv1d"]
    torch.testing.assert_close(network.to_torch()(ids), model(ids), rtol=0, atol=1e-10)


NOT_ATTENTION: Mapping[str, tuple[Callable[..., Any], str]] = {
    "over features": (lambda m, q, k, v: ((q.mT @ k).softmax(-1) @ v.mT).mT, "over positions"),
    "no softmax": (lambda m, q, k, v: q @ k.mT @ v, "expected a softmax between"),
    "the other dimension": (lambda m, q, k, v: (q @ k.mT).softmax(-2) @ v, "its dim is -2: expected that of the keys"),
    "another function": (lambda m, q, k, v: (q @ k.mT).relu() @ v, "for the products of queries and keys"),
    "a mask of others": (
        lambda m, q, k, v: (q @ k.mT).masked_fill(m.mask, -torch.inf).softmax(-1) @ v, "is not causal",
    ),
    "a learned bias": (
        lambda m, q, k, v: (q @ k.mT + m.proj.weight[:5, :5]).softmax(-1) @ v, "expected a table of 9 distances",
    ),
    "a bias of the sizes of distances": (
        lambda m, q, k, v: (q @ k.mT + m.table[(m.index - 4).abs()].permute(2, 0, 1)).softmax(-1) @ v,
        "not one of distances along each axis",
    ),
    "a bias that is multiplied": (
        lambda m, q, k, v: (2 * (q @ k.mT + relative_bias(m))).softmax(-1) @ v, "before the mask and the bias",
    ),
    "two biases": (
        lambda m, q, k, v: (q @ k.mT + relative_bias(m) + relative_bias(m)).softmax(-1) @ v, "expected one",
    ),
    "a bias of the inputs": (lambda m, q, k, v: (q @ k.mT + q[..., :1]).softmax(-1) @ v, "something that is computed"),
    "twice": (lambda m, q, k, v: (q @ k.mT).softmax(-1).softmax(-1) @ v, "second softmax"),
    "dropped twice": (
        lambda m, q, k, v: nn.functional.dropout(nn.functional.dropout((q @ k.mT).softmax(-1)), 0.1) @ v,
        "drops shares of attention twice",
    ),
    "half precision": (
        lambda m, q, k, v: (q @ k.mT).to(torch.float16).float().softmax(-1) @ v, "in torch.float16",
    ),
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


class Dropping(nn.Module):
    """Attention with a module that drops its shares."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop((self.query(x) @ self.key(x).mT).softmax(-1)) @ self.value(x)


def test_a_dropout_in_another_mode_than_the_model_is_told_of() -> None:
    x = torch.randn(2, LENGTH, WIDTH)
    assert from_torch(Dropping(), x).training
    model = Dropping()
    model.drop.eval()
    with pytest.raises(TorchImportError, match=r"drop.*its mode is not that of the model"):
        from_torch(model, x)


class Windows(nn.Module):
    """Attention among neighbours, which stand in the dimension of the batch, their keys in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.after = Block(by_unbind, by_function), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = by_unbind(self.block, x.reshape(-1, 4, width))
        found = self.block.proj(
            (q @ k.flip(-2).mT).softmax(-1).matmul(v).transpose(1, 2).reshape(-1, 4, width)
        )
        return self.after((found + 1).tanh().reshape(n, length, width)).mean(1)


def test_nothing_is_told_of_what_stands_behind_an_obstacle_in_the_batch() -> None:
    with pytest.raises(TorchImportError) as caught:
        from_torch(Windows(), torch.randn(2, 12, WIDTH))
    (obstacle,) = caught.value.obstacles
    assert "expected positions" in obstacle.reason
