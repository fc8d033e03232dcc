"""Attention inside windows comes in as one node, however a model cuts its images; rolls stand beside it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import GrowingNetwork, GrowthScheduler, TorchImportError, from_torch
from gromo_graph.spec.kinds import Attention
from gromo_graph.spec.settings import Growth

WIDTH, HEADS, HEIGHT, BREADTH, WINDOW = 8, 2, 5, 7, 4


def distances(height: int, width: int) -> Tensor:
    """The row of a table for each pair of positions."""
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    apart = places[:, None] - places + torch.tensor([height - 1, width - 1])
    return apart[..., 0] * (2 * width - 1) + apart[..., 1]


class Shifted(nn.Module):
    """A block of Swin: images padded, rolled, cut into windows and put together again."""

    def __init__(self, shift: int = 2, far: float = -100.0) -> None:
        super().__init__()
        self.shift, self.far = shift, far
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.table = nn.Parameter(torch.randn((2 * WINDOW - 1) ** 2, HEADS))
        self.register_buffer("index", distances(WINDOW, WINDOW).flatten())

    def mask(self, height: int, width: int) -> Tensor:
        regions = torch.zeros(height, width)
        edges = (slice(0, -WINDOW), slice(-WINDOW, -self.shift), slice(-self.shift, None))
        for number, (rows, columns) in enumerate((rows, columns) for rows in edges for columns in edges):
            regions[rows, columns] = number
        by_window = regions.view(height // WINDOW, WINDOW, width // WINDOW, WINDOW).permute(0, 2, 1, 3)
        flat = by_window.reshape(-1, WINDOW**2)
        return (flat[:, None] - flat[:, :, None]).ne(0) * self.far

    def forward(self, image: Tensor) -> Tensor:
        n, height, width, features = image.shape
        x = functional.pad(image, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
        _, high, wide, _ = x.shape
        if self.shift:
            x = torch.roll(x, shifts=(-self.shift, -self.shift), dims=(1, 2))
        x = x.view(n, high // WINDOW, WINDOW, wide // WINDOW, WINDOW, features)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, WINDOW**2, features)
        q, k, v = self.qkv(x).reshape(len(x), -1, 3, HEADS, features // HEADS).permute(2, 0, 3, 1, 4)
        scores = q * (features // HEADS) ** -0.5 @ k.transpose(-2, -1)
        scores = scores + self.table[self.index].view(WINDOW**2, WINDOW**2, -1).permute(2, 0, 1).unsqueeze(0)
        if self.shift:
            mask = self.mask(high, wide)
            scores = scores.view(n, len(mask), HEADS, WINDOW**2, WINDOW**2) + mask[:, None][None]
            scores = scores.view(-1, HEADS, WINDOW**2, WINDOW**2)
        x = self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape))
        x = x.view(n, high // WINDOW, wide // WINDOW, WINDOW, WINDOW, features)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(n, high, wide, features)
        if self.shift:
            x = torch.roll(x, shifts=(self.shift, self.shift), dims=(1, 2))
        return x[:, :height, :width].contiguous()


class Swin(nn.Module):
    """Two blocks, the second with shifted windows."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, WIDTH, 1), nn.LayerNorm(WIDTH)
        self.plain, self.shifted = Shifted(0), Shifted(**options)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        x = x + self.plain(self.norm(x))
        x = x + self.shifted(x)
        return self.head(x.mean(dim=(1, 2)))


class Grid(nn.Module):
    """Positions at equal distances see each other, as in MaxViT; its dimensions stand in front of the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.qkv, self.proj = (
            nn.Conv2d(3, WIDTH, 1),
            nn.Linear(WIDTH, 3 * WIDTH),
            nn.Linear(WIDTH, WIDTH),
        )
        self.table = nn.Parameter(torch.randn(3 * 5, HEADS))
        self.register_buffer("index", distances(2, 3))
        self.head = nn.Conv2d(WIDTH, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        n, features, height, width = x.shape
        rows, columns = height // 2, width // 3
        x = x.reshape(n, features, 2, rows, 3, columns).permute(0, 3, 5, 2, 4, 1).reshape(n, -1, 6, features)
        q, k, v = (
            each.reshape(n, rows * columns, 6, HEADS, -1).permute(0, 1, 3, 2, 4)
            for each in torch.chunk(self.qkv(x), 3, dim=-1)
        )
        scores = torch.einsum("B G H I D, B G H J D -> B G H I J", q, k * 0.3)
        bias = self.table[self.index.view(-1)].view(6, 6, -1).permute(2, 0, 1).contiguous().unsqueeze(0)
        shares = functional.softmax(scores + bias, dim=-1)
        x = torch.einsum("B G H I J, B G H J D -> B G H I D", shares, v)
        x = self.proj(x.permute(0, 1, 3, 2, 4).reshape(n, -1, 6, features))
        x = x.reshape(n, rows, columns, 2, 3, features).permute(0, 5, 3, 1, 4, 2)
        return self.head(x.reshape(n, features, height, width)).mean(dim=(2, 3))


class Local(nn.Module):
    """Windows of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.reshape(-1, 4, WIDTH)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(mixed.transpose(1, 2).reshape(x.shape)).mean(1)


IMAGE, SEQUENCE = (3, HEIGHT, BREADTH), (12, WIDTH)
MODELS: dict[str, tuple[nn.Module, tuple[int, ...], list[dict[str, Any]]]] = {
    "swin": (Swin(), IMAGE, [{"window": 4, "rolled": 0}, {"window": 4, "rolled": 2}]),
    "another shift": (Swin(shift=1), IMAGE, [{"window": 4, "rolled": 0}, {"window": 4, "rolled": 1}]),
    "a grid": (Grid(), (3, 4, 6), [{"grid": (2, 3)}]),
    "a sequence": (Local(), SEQUENCE, [{"window": 4, "causal": True}]),
}


def attentions(network: GrowingNetwork) -> list[Attention]:
    return [node for node in network.spec.nodes.values() if isinstance(node, Attention)]


@pytest.mark.parametrize(("model", "shape", "options"), MODELS.values(), ids=MODELS)
def test_attention_in_windows_comes_in_grows_and_goes_out(
    model: nn.Module, shape: tuple[int, ...], options: list[dict[str, Any]]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, *shape, dtype=torch.float64)
    model = model.double().eval()
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-12)
    for node, expected in zip(attentions(network), options, strict=True):
        assert node.heads == HEADS
        assert {key: getattr(node, key) for key in expected} == expected
    assert not {"slice", "channel_shuffle", "scale"} & {node.kind for node in network.spec.nodes.values()}
    scheduler = GrowthScheduler(
        network, functional.cross_entropy, policy=Growth(groups=1, neurons={"per_step": 2})
    )
    for name in (
        ("query",) if isinstance(model, Local) else ("query", "value")
    ):  # it has all values of its input
        planned = scheduler.plan([(x, torch.randint(2, (3,)))]).candidates
        able = [c for c in planned if c.reason is None and c.target.endswith(f".{name}")]
        scheduler.apply(able[-1], 0.1)
    torch.testing.assert_close(network.to_torch()(x), network(x), rtol=0, atol=1e-12)


class Odd(nn.Module):
    """Layers of one sequence, and something that is no attention of a spec."""

    def __init__(self, compute: Any) -> None:
        super().__init__()
        self.compute, self.q, self.k, self.v = compute, *(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.register_buffer("band", torch.zeros(4, 4).masked_fill(torch.eye(4).flip(0).bool(), -100.0))
        self.table = nn.Parameter(torch.randn(3, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, self.q(x), self.k(x), self.v(x)).reshape(x.shape)


def windows(x: Tensor) -> Tensor:
    return x.reshape(-1, 3, 4, WIDTH)


NOT_WINDOWS = {
    "another mask": (
        lambda m, q, k, v: (windows(q) @ windows(k).mT + m.band).softmax(-1) @ windows(v),
        "or that of shifted windows",
    ),
    "queries of other windows": (
        lambda m, q, k, v: (
            (q.reshape(-1, 4, 3, WIDTH).transpose(1, 2) @ windows(k).mT).softmax(-1) @ windows(v)
        ),
        "in different windows",
    ),
    "a bias of each window": (
        lambda m, q, k, v: (windows(q) @ windows(k).mT + m.table).softmax(-1) @ windows(v),
        "to products by window",
    ),
    "products as rows": (
        lambda m, q, k, v: (
            (windows(q) @ windows(k).mT).reshape(-1, 3, 16).softmax(-1).reshape(-1, 3, 4, 4) @ windows(v)
        ),
        "expected those of queries and keys last",
    ),
    "features rolled": (lambda m, q, k, v: q.roll(1, 2) + k + v, "expected positions along whole axes"),
    "all rolled": (lambda m, q, k, v: q.roll(1) + k + v, "expected positions along whole axes"),
}


@pytest.mark.parametrize(("compute", "told"), NOT_WINDOWS.values(), ids=NOT_WINDOWS)
def test_other_windows_are_told_of(compute: Any, told: str) -> None:
    with pytest.raises(TorchImportError, match=told):
        from_torch(Odd(compute), torch.randn(2, *SEQUENCE))


def test_a_mask_that_hides_less_is_told_of() -> None:
    with pytest.raises(TorchImportError, match="or that of shifted windows"):
        from_torch(Swin(far=-5.0), torch.randn(2, *IMAGE))
