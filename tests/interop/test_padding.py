"""Encoders that are given a mask of padding come in with it, as a node that reads token ids."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gromo_graph import TorchImportError, from_torch
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
