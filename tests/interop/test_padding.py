"""Encoders that are given a mask of padding come in with it, as a node that reads token ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gromo_graph import GrowthScheduler, TorchImportError, from_torch
from gromo_graph.interop.exporting import export


class Encoder(nn.Module):
    """Texts of several lengths, filled up with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8, padding_idx=0)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True, norm_first=True)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        padding = ids == 0
        x = self.encoder(self.words(ids), src_key_padding_mask=padding)
        x = self.last(x, src_key_padding_mask=padding)
        return self.head(x + self.attend(x, x, x, key_padding_mask=padding)[0])


class Given(nn.Module):
    """Which positions are words is an input of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        padding = attention_mask == 0
        return self.head(self.attend(x, x, x, key_padding_mask=padding, need_weights=False)[0])


def texts() -> Tensor:
    ids = torch.randint(1, 11, (4, 7), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate((7, 5, 3, 1)):
        ids[row, length:] = 0
    return ids


def test_an_encoder_of_texts_comes_in_with_its_mask_and_goes_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, ids = Encoder().double().eval(), texts()
    network = from_torch(model, ids)
    torch.testing.assert_close(network(ids), model(ids), rtol=0, atol=1e-10)
    masked = [node for node in network.spec.nodes.values() if node.kind == "attention"]
    assert [len(node.sources) for node in masked] == [4] * 4
    assert [node.kind for node in network.spec.nodes.values()].count("padding_mask") == 1
    torch.testing.assert_close(network.to_torch()(ids), network(ids), rtol=0, atol=1e-12)
    done = export(network.float(), tmp_path / "net.py")
    assert done.difference is not None
    assert done.difference < 1e-5


def test_a_mask_that_is_an_input_comes_in() -> None:
    torch.manual_seed(0)
    model, x, mask = Given().double().eval(), torch.randn(4, 7, 8, dtype=torch.float64), (texts() > 0).long()
    network = from_torch(model, (x, mask))
    torch.testing.assert_close(network(x, mask), model(x, mask), rtol=0, atol=1e-10)


class Compared(nn.Module):
    """A comparison that is no mask of padding."""

    def __init__(self, of: str) -> None:
        super().__init__()
        self.of, self.words, self.attend = (
            of,
            nn.Embedding(11, 8),
            nn.MultiheadAttention(8, 2, batch_first=True),
        )

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        mask = {"values": x[..., 0] == 0, "seen": ids != 0, "sum": ids == 0}[self.of]
        if self.of == "sum":
            return x + mask[..., None]
        return self.attend(x, x, x, key_padding_mask=mask)[0]


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ("values", "a spec compares no values"),
        ("seen", "expected a comparison `ids == padding`"),
        ("sum", "a mask of padding"),
    ],
)
def test_other_comparisons_are_told_of(of: str, told: str) -> None:
    with pytest.raises(TorchImportError, match=told):
        from_torch(Compared(of), texts())


class Pooled(nn.Module):
    """The mean over the words of each text, computed in the model or by a module of its own."""

    def __init__(self, mean: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.words, self.wide, self.narrow = nn.Embedding(11, 8), nn.Linear(8, 12), nn.Linear(12, 6)
        self.mean, self.head = mean, nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.mean(self.narrow(torch.relu(self.wide(self.words(ids)))), ids))


def mean_of_words(x: Tensor, ids: Tensor) -> Tensor:
    keep = (ids != 0).unsqueeze(-1).float()
    return (x * keep).sum(1) / keep.sum(1)


def mean_by_filling(x: Tensor, ids: Tensor) -> Tensor:
    padding = ids == 0
    return x.masked_fill(padding[..., None], 0.0).sum(1) / (1 - padding.float()).sum(1, keepdim=True)


def mean_of_truths(x: Tensor, ids: Tensor) -> Tensor:
    padding = ids == 0
    return (x * ~padding.unsqueeze(-1)).sum(1) / (~padding).sum(1, keepdim=True)


def mean_by_shares(x: Tensor, ids: Tensor) -> Tensor:
    shares = (ids > 0).to(x.dtype)
    return torch.einsum("nl,nld->nd", shares / shares.sum(1, keepdim=True), x)


class MeanOfWords(nn.Module):
    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return mean_of_words(x, ids)


class MeanOfLast(nn.Module):
    """Counts the words by a call that gives a single number for each text."""

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return x.sum(1) / (ids != 0).sum(1).unsqueeze(-1)


@pytest.mark.parametrize(
    ("mean", "kept"),
    [
        (mean_of_words, {"ne", "unsqueeze", "float", "mul", "sum", "div"}),
        (mean_by_filling, {"eq", "getitem", "masked_fill", "sum", "float", "div"}),
        (mean_of_truths, {"eq", "unsqueeze", "invert", "mul", "sum", "div"}),
        (mean_by_shares, {"gt", "to", "sum", "div", "einsum"}),
        (MeanOfWords(), {"ne", "unsqueeze", "float", "mul", "sum", "div"}),
        (MeanOfLast(), {"MeanOfLast"}),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_calls_of_ids_and_masks_are_kept(mean: Callable[[Tensor, Tensor], Tensor], kept: set[str]) -> None:
    torch.manual_seed(0)
    model, ids = Pooled(mean).double(), texts()
    network = from_torch(model, ids, allow_fixed=True)
    torch.testing.assert_close(network(ids[:3]), model(ids[:3]), rtol=0, atol=1e-10)
    fixed = [node for node in network.spec.nodes.values() if node.kind == "fixed"]
    assert {node.details[0] for node in fixed} == kept
    assert {group.target for group in network.graph.groups if group.reason is None} >= {"wide"}


class Masked(nn.Module):
    """One mask, which attention reads and a module that is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mean, self.head = nn.Embedding(11, 8), MeanOfMask(), nn.Linear(8, 3)
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        padding = ids == 0
        return self.head(self.mean(self.layer(self.words(ids), src_key_padding_mask=padding), padding))


class MeanOfMask(nn.Module):
    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        return x.masked_fill(padding.unsqueeze(-1), 0.0).sum(1) / (~padding).sum(1).unsqueeze(-1)


def test_attention_and_a_kept_module_read_one_mask() -> None:
    torch.manual_seed(0)
    model, ids = Masked().double().eval(), texts()
    network = from_torch(model, ids, allow_fixed=True)
    assert [node.kind for node in network.spec.nodes.values()].count("padding_mask") == 1
    assert network.spec.nodes["mean"].kind == "fixed"
    scheduler = GrowthScheduler(network, nn.functional.cross_entropy, epochs=2)
    event = scheduler.step([(ids, ids[:, 0] % 3)], [(ids, ids[:, 0] % 3)])
    assert event is not None
    assert event.decision is not None
    torch.testing.assert_close(network.to_torch()(ids), network(ids), rtol=0, atol=1e-10)


@pytest.mark.parametrize("mean", [mean_of_words, mean_by_filling, mean_of_truths, mean_by_shares])
def test_what_follows_from_a_mask_is_no_obstacle_of_its_own(mean: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(TorchImportError, match="allow_fixed=True") as caught:
        from_torch(Pooled(mean), texts())
    (obstacle,) = caught.value.obstacles
    assert str(obstacle).startswith("in the forward of Pooled: `")


def test_what_cannot_be_kept_is_told_without_the_option_that_is_given() -> None:
    with pytest.raises(TorchImportError, match="put these calls into such a module") as caught:
        from_torch(Pooled(MeanOfLast().forward), texts(), allow_fixed=True)
    assert "allow_fixed=True" not in str(caught.value)


def test_a_product_that_no_node_is_tells_the_sizes() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.gate = nn.Embedding(11, 8), nn.Linear(7, 7)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.words(ids)
            return x * self.gate(x.mean(2)).unsqueeze(-1)

    told = (
        r"`mul`: it multiplies \[7, 8\] and \[7, 1\] of each sample, which nodes give as \[8, 7\] and \[7\],"
    )
    with pytest.raises(TorchImportError, match=told):
        from_torch(Gated(), texts())
