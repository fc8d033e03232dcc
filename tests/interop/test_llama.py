"""Language models with rotary positions, RMS norms written out, shared keys and values, and gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import GrowthScheduler, TorchImportError, from_torch, parse_spec
from gromo_graph.layers import build_module
from gromo_graph.spec.kinds.rotary import Rotary

WIDTH, HEADS, LENGTH, TOKENS = 16, 4, 5, 11
DIM = WIDTH // HEADS


def angles(dim: int = DIM, base: float = 500.0) -> Tensor:
    return torch.outer(torch.arange(LENGTH), base ** (-torch.arange(0, dim, 2) / dim))


def by_halves(x: Tensor) -> Tensor:
    """As transformers has it."""
    cos, sin = (torch.cat((table, table), dim=-1)[None, None] for table in (angles().cos(), angles().sin()))
    first, second = x[..., : DIM // 2], x[..., DIM // 2 :]
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def by_neighbours(x: Tensor) -> Tensor:
    cos, sin = angles().cos(), angles().sin()
    first, second = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((first * cos - second * sin, first * sin + second * cos), dim=-1).flatten(3).type_as(x)


def by_complex_numbers(x: Tensor) -> Tensor:
    """As LLaMA had it, with the heads behind the positions."""
    turns = torch.polar(torch.ones(LENGTH, DIM // 2), angles())[None, :, None]
    pairs = torch.view_as_complex(x.transpose(1, 2).float().reshape(x.shape[0], LENGTH, -1, DIM // 2, 2))
    return torch.view_as_real(pairs * turns).flatten(3).type_as(x).transpose(1, 2)


def by_part(x: Tensor) -> Tensor:
    """The rest of the features is left as it is."""
    cos, sin = angles(2).cos(), angles(2).sin()
    first, second, rest = x[..., :1], x[..., 1:2], x[..., 2:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)


class RMS(nn.Module):
    def __init__(self, *, divides: bool) -> None:
        super().__init__()
        self.weight, self.divides = nn.Parameter(torch.rand(WIDTH) + 0.5), divides

    def forward(self, x: Tensor) -> Tensor:
        if self.divides:
            return x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + 1e-5) * self.weight
        high = x.to(torch.float32)
        return self.weight * (high * torch.rsqrt(high.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


class Llama(nn.Module):
    """A layer of a LLaMA between a table of tokens and a classifier."""

    def __init__(
        self, turn: Callable[[Tensor], Tensor], *, groups: int, by: str = "", divides: bool = False
    ) -> None:
        super().__init__()
        self.turn, self.groups, self.by = turn, groups, by
        self.table = nn.Embedding(TOKENS, WIDTH, padding_idx=0)
        self.norms = nn.ModuleList(RMS(divides=divides) for _ in range(3))
        self.q, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        self.k, self.v = (nn.Linear(WIDTH, groups * DIM, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(WIDTH, 6, bias=False) for _ in range(2))
        self.down, self.head = nn.Linear(6, WIDTH, bias=False), nn.Linear(WIDTH, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        x = x + self.out(self.attended(self.norms[0](x)))
        normed = self.norms[1](x)
        x = x + self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return self.head(self.norms[2](x).mean(dim=1))

    def attended(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = (layer(x).view(n, length, -1, DIM).transpose(1, 2) for layer in (self.q, self.k, self.v))
        q, k = self.turn(q), self.turn(k)
        if self.by == "expand":
            k, v = (part[:, :, None].expand(-1, -1, HEADS // self.groups, -1, -1) for part in (k, v))
            k, v = (part.reshape(n, HEADS, length, DIM) for part in (k, v))
        shared: dict[str, Any] = {"enable_gqa": True} if self.by == "function" else {}
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, **shared)
        return mixed.transpose(1, 2).reshape(n, length, -1)


TURNS = (by_halves, by_neighbours, by_complex_numbers, by_part)
SHARED: list[tuple[Callable[[Tensor], Tensor], int, str]] = [
    *((turn, HEADS, "") for turn in TURNS),
    (by_halves, 2, "expand"),
    (by_complex_numbers, 1, "function"),
    (by_neighbours, 2, "function"),
]


def ids_of(samples: int = 4) -> Tensor:
    return torch.randint(TOKENS, (samples, LENGTH), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("turn", "groups", "by"), SHARED)
def test_a_llama_comes_in_whole_grows_and_goes_out(
    turn: Callable[[Tensor], Tensor], groups: int, by: str
) -> None:
    torch.manual_seed(0)
    model, ids = Llama(turn, groups=groups, by=by, divides=turn is by_part), ids_of()
    network = from_torch(model, ids)
    kinds = [node.kind for node in network.spec.nodes.values()]
    assert (kinds.count("rotary"), kinds.count("attention"), kinds.count("rms_norm")) == (2, 1, 3)
    assert "affine" not in kinds
    torch.testing.assert_close(network(ids), model(ids), rtol=0, atol=1e-6)
    plain = network.to_torch()
    torch.testing.assert_close(plain(ids), model(ids), rtol=0, atol=1e-6)
    y = torch.randint(3, (4,), generator=torch.Generator().manual_seed(1))
    scheduler = GrowthScheduler(network, functional.cross_entropy)
    able = {each.target for each in scheduler.plan([(ids, y)]).candidates if each.reason is None}
    assert ("v" in able) == (groups == HEADS)
    if "v" in able:
        (candidate,) = (each for each in scheduler.plan([(ids, y)]).candidates if each.target == "v")
        assert scheduler.apply(candidate, 0.1).decision is not None
        torch.testing.assert_close(network.to_torch()(ids), network(ids), rtol=0, atol=1e-6)


class HeadNorm(nn.Module):
    """Norms the features of each head, which a spec cannot; it is called by a keyword, with more than values."""

    def forward(self, *, states: Tensor, eps: Tensor, cache: object) -> Tensor:
        return states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + eps)


class DynamicCache:
    """Stands for keys and values of earlier calls."""


class NormedHeads(Llama):
    def __init__(self) -> None:
        super().__init__(by_halves, groups=HEADS)
        self.head_norms = nn.ModuleList(HeadNorm() for _ in range(2))
        self.turn, self.at = self.turned, 0

    def turned(self, x: Tensor) -> Tensor:
        self.at = 1 - self.at
        norm = self.head_norms[self.at]
        normed = norm(states=x.transpose(1, 2), eps=torch.full((1,), 1e-5), cache=DynamicCache())
        return by_halves(normed.transpose(1, 2))


def test_a_norm_of_each_head_is_kept_and_all_behind_it_is_read() -> None:
    torch.manual_seed(0)
    model, ids = NormedHeads(), ids_of()
    network = from_torch(model, ids, allow_fixed=True)
    torch.testing.assert_close(network(ids), model(ids), rtol=0, atol=1e-6)
    kinds = [node.kind for node in network.spec.nodes.values()]
    assert (kinds.count("fixed"), kinds.count("rotary"), kinds.count("attention")) == (2, 2, 1)
    plain = network.to_torch()
    torch.testing.assert_close(plain(ids), model(ids), rtol=0, atol=1e-6)


def test_rotary_positions_are_those_of_the_model() -> None:
    network = from_torch(Llama(by_part, groups=HEADS), ids_of())
    (first, _) = (node for node in network.spec.nodes.values() if isinstance(node, Rotary))
    assert (first.heads, first.dim, first.interleaved) == (HEADS, 2, False)
    network = from_torch(Llama(by_neighbours, groups=HEADS), ids_of())
    (first, _) = (node for node in network.spec.nodes.values() if isinstance(node, Rotary))
    assert (first.heads, first.dim, first.interleaved, first.base) == (HEADS, None, True, 500.0)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dim", [None, 2])
def test_products_of_turned_queries_and_keys_depend_on_their_distance(
    interleaved: bool, dim: int | None
) -> None:
    node = Rotary(sources=("x",), heads=2, dim=dim, interleaved=interleaved)
    turned = build_module(node, [(8, 6)])
    query, key = torch.randn(2, 1, 8, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, -1, 6)
    products = torch.einsum("nfi,nfj->ij", turned(query), turned(key))
    for distance in range(-5, 6):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert not torch.allclose(products[0], products[0, :1].expand(6))


def test_what_is_no_turn_of_pairs_is_read_call_by_call() -> None:
    stretch = torch.rand(1, 1, LENGTH, DIM)
    with pytest.raises(TorchImportError, match="mul"):
        from_torch(Llama(lambda x: x * stretch + x.flip(-1) * stretch, groups=HEADS), ids_of())


def test_a_mean_of_squares_that_is_no_norm_is_refused() -> None:
    class Loud(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            found = super().forward(input)
            return found * (found.pow(2).mean(-1, keepdim=True) + 1.0)

    with pytest.raises(TorchImportError, match="otherwise than an RMS norm"):
        from_torch(Loud(4, 3), torch.randn(2, 4))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("heads: 3", "3 heads with pairs"),
        ("dim: 3", "pairs of features"),
        ("heads: 4, dim: 4", "pairs of features"),
    ],
)
def test_heads_of_rotary_positions_have_pairs(options: str, reason: str) -> None:
    text = f"""
version: 1
name: turned
nodes:
  x: {{kind: input, shape: [8, 6]}}
  r: {{kind: rotary, from: x, {options}}}
  y: {{kind: conv1d, from: r, features: 2, kernel: 1}}
output: y
"""
    with pytest.raises(Exception, match=reason):
        parse_spec(text)
