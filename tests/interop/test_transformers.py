"""Embeddings, learned positions, attention and transformer encoders come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from gromo_graph import GrowthScheduler, TorchImportError, from_torch
from gromo_graph.spec.settings import Growth


class Places(nn.Module):
    """A learned number for each value, added to an image."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 1)
        self.places = nn.Parameter(torch.randn(*shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) + self.places


def test_a_parameter_that_is_added_is_read_as_positions() -> None:
    model, x = Places(3, 4, 5).double(), torch.randn(2, 2, 4, 5, dtype=torch.float64)
    network = from_torch(model, x)
    assert [node.kind for node in network.spec.nodes.values()] == ["input", "conv2d", "positions"]
    assert torch.equal(network(x), model(x))
    with pytest.raises(
        TorchImportError, match=r"adds the parameter `places` of shape \[1, 4, 5\] to \[3, 4, 5\]"
    ):
        from_torch(Places(1, 4, 5).double(), x)


class Encoder(nn.Module):
    """An encoder of torch between a table of tokens and a mean, with learned positions as transformers have them."""

    def __init__(self, *, norm_first: bool = True, activation: str = "gelu", heads: int = 2) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 8)
        self.places = nn.Parameter(torch.randn(1, 6, 8))
        layer = nn.TransformerEncoderLayer(
            8, heads, 12, activation=activation, batch_first=True, norm_first=norm_first, dropout=0.1
        )
        self.body = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.table(ids) + self.places).mean(dim=1))


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize(("norm_first", "activation"), [(True, "gelu"), (False, "relu")])
def test_a_transformer_encoder_comes_in_grows_and_goes_out(
    norm_first: bool, activation: str, heads: int
) -> None:
    torch.manual_seed(0)
    model = Encoder(norm_first=norm_first, activation=activation, heads=heads).double().eval()
    ids = torch.randint(9, (7, 6), generator=torch.Generator().manual_seed(0))
    network = from_torch(model, ids)
    torch.testing.assert_close(network(ids), model(ids), rtol=0, atol=1e-12)
    plain = network.to_torch()
    torch.testing.assert_close(plain(ids), model(ids), rtol=0, atol=1e-12)
    y = torch.randint(3, (7,), generator=torch.Generator().manual_seed(1))
    policy = Growth(groups=1, neurons={"per_step": 4})  # type: ignore[arg-type]
    scheduler = GrowthScheduler(network, functional.cross_entropy, policy=policy)
    able = [c for c in scheduler.plan([(ids, y)]).candidates if c.reason is None]
    grows = {c.target for c in able}
    assert {f"body.layers.{place}.linear1" for place in range(2)} <= grows
    assert {f"body.layers.{place}.self_attn.value" for place in range(2)} <= grows
    for target in ("body.layers.0.self_attn.value", "body.layers.1.linear1"):
        (candidate,) = (c for c in scheduler.plan([(ids, y)]).candidates if c.target == target)
        assert scheduler.apply(candidate, 0.1).decision is not None
    torch.testing.assert_close(network.to_torch()(ids), network(ids), rtol=0, atol=1e-12)


def test_an_encoder_alone_comes_in() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True).double().eval()
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    network = from_torch(layer, x)
    torch.testing.assert_close(network(x), layer(x), rtol=0, atol=1e-12)
    assert network.spec.name == "TransformerEncoderLayer"
    assert "encoder.self_attn.mixed" in network.spec.nodes


@pytest.mark.parametrize("causal", [False, True])
def test_one_head_of_attention_comes_in_as_a_function(causal: bool) -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(4, size) for size in (3, 3, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = functional.scaled_dot_product_attention(
                self.query(x), self.key(x), self.value(x), scale=0.3, is_causal=causal
            )
            return found.mean(dim=1)

    model, x = Head().double(), torch.randn(3, 5, 4, dtype=torch.float64)
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-12)
    again = from_torch(network.to_torch(), x)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=1e-12)
    assert [node.causal for node in again.spec.nodes.values() if node.kind == "attention"] == [causal]


class Attending(nn.Module):
    """Attention alone, called as it is told to."""

    def __init__(self, call: Callable[[Any, torch.Tensor], Any], **options: Any) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, **{"batch_first": True, **options})
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.attend, x)[0].mean(dim=1)


LATER = torch.ones(5, 5).triu(1).bool()

ATTENTION: dict[str, tuple[Callable[[Any, torch.Tensor], Any], dict[str, Any], str | None]] = {
    "plain": (lambda m, x: m(x, x, x), {}, None),
    "without biases": (lambda m, x: m(x, x, x, need_weights=False), {"bias": False}, None),
    "other keys": (lambda m, x: m(x, x.tanh(), x.tanh()), {}, None),
    "a mask of nothing": (lambda m, x: m(x, x, x, attn_mask=torch.zeros(5, 5)), {}, None),
    "causal": (lambda m, x: m(x, x, x, attn_mask=LATER, is_causal=True), {}, None),
    "causal by numbers": (
        lambda m, x: m(x, x, x, attn_mask=torch.zeros(5, 5).masked_fill(LATER, -1e9)),
        {},
        None,
    ),
    "a mask": (lambda m, x: m(x, x, x, attn_mask=LATER.T), {}, "is not causal"),
    "a padding": (lambda m, x: m(x, x, x, key_padding_mask=x[:, :, 0] > 9), {}, "mask of padding"),
    "the batch behind": (lambda m, x: m(x, x, x), {"batch_first": False}, "batch_first=True"),
    "positions of its own": (lambda m, x: m(x, x, x), {"add_bias_kv": True}, "positions of its own"),
}


@pytest.mark.parametrize(("call", "options", "problem"), ATTENTION.values(), ids=ATTENTION)
def test_attention_is_read_or_told_of(
    call: Callable[[Any, torch.Tensor], Any], options: dict[str, Any], problem: str | None
) -> None:
    model, x = Attending(call, **options), torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    if problem is not None:
        with pytest.raises(TorchImportError, match=problem):
            from_torch(model, x)
        return
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-6)
    assert [node.heads for node in network.spec.nodes.values() if node.kind == "attention"] == [2]


class Reader(nn.Module):
    """Token ids, learned positions, a convolution; vectors come last, as torch's embeddings give them."""

    def __init__(self, *, function: bool = False, **options: Any) -> None:
        super().__init__()
        self.function = function
        self.table = nn.Embedding(9, 4, **options)
        self.places = nn.Parameter(torch.randn(4, 6))
        self.mix = nn.Conv1d(4, 3, 3, padding=1)
        self.head = nn.Linear(18, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found = functional.embedding(ids, self.table.weight) if self.function else self.table(ids)
        return self.head(torch.tanh(self.mix(found.transpose(1, 2) + self.places)).flatten(1))


@pytest.mark.parametrize("function", [False, True])
def test_embeddings_come_in_and_out(function: bool) -> None:
    model = Reader(function=function).double()
    ids = torch.randint(9, (5, 6), generator=torch.Generator().manual_seed(0))
    network = from_torch(model, ids)
    kinds = [node.kind for node in network.spec.nodes.values()]
    assert kinds == ["input", "embedding", "positions", "conv1d", "flatten", "linear"]
    torch.testing.assert_close(network(ids), model(ids))
    again = from_torch(network.to_torch(), ids)
    assert [node.kind for node in again.spec.nodes.values()] == kinds
    torch.testing.assert_close(again(ids), model(ids))
    y = torch.randn(5, 2, dtype=torch.float64)
    event = GrowthScheduler(network, functional.mse_loss, epochs=4).step([(ids, y)], [(ids, y)])
    assert event is not None
    assert event.decision is not None
    torch.testing.assert_close(network.to_torch()(ids), network(ids))


@pytest.mark.parametrize("function", [False, True])
def test_training_leaves_the_vector_of_the_padding_alone(function: bool) -> None:
    model = Reader(padding_idx=2, function=function).double()
    with torch.no_grad():
        model.table.weight[2] = 0.5
    ids = torch.randint(9, (5, 6), generator=torch.Generator().manual_seed(0))
    network = from_torch(model, ids)
    assert (ids == 2).any()
    (table,) = (node for node in network.spec.nodes.values() if node.kind == "embedding")
    assert table.padding_idx == (None if function else 2)  # type: ignore[attr-defined]
    for made in (network, network.to_torch()):
        made(ids).square().sum().backward()
        (weight,) = (p for p in made.parameters() if p.dim() == 2 and 9 in p.shape)
        assert weight.grad is not None
        gradient = weight.grad if weight.shape[0] == 9 else weight.grad.T
        assert bool(gradient[2].any()) == function
    torch.testing.assert_close(network.to_torch()(ids), model(ids))


class Several(nn.Module):
    """Returns a tensor with whatever it is given."""

    def __init__(self, extra: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.extra = nn.Linear(4, 3), extra

    def forward(self, x: torch.Tensor) -> Any:
        return self.extra(self.layer(x))


class DynamicCache:
    """No output: what a later call would read."""


def test_none_and_caches_are_no_outputs() -> None:
    x = torch.randn(2, 4)
    for extra in (lambda y: (y, None), lambda y: (None, y, DynamicCache())):
        model = Several(extra)
        assert torch.equal(from_torch(model, x)(x), model.layer(x))
    found = from_torch(Several(lambda y: {"y": y, "cache": DynamicCache()}), x)(x)
    assert isinstance(found, dict)
    assert list(found) == ["y"]
