"""Recurrent layers of torch come in, as models use them, compute the same, grow, and go out in every format."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gromo_graph import TorchImportError, dump_spec, export, from_torch, parse_spec
from tests.interop.test_importing import agree, grown

Use = Callable[[Any, Tensor], Tensor]


class Reader(nn.Module):
    """A recurrent layer between two others."""

    def __init__(self, rnn: nn.RNNBase, use: Use, width: int = 6) -> None:
        super().__init__()
        self.look, self.rnn, self.out = nn.Linear(3, 5), rnn, nn.Linear(width, 2)
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.use(self.rnn, self.look(x)))


def last_hidden(rnn: Any, x: Tensor) -> Tensor:
    _, (h, _) = rnn(x)
    return h[-1]


def last_output(rnn: Any, x: Tensor) -> Tensor:
    output, _ = rnn(x)
    return output[:, -1]


def squeezed(rnn: Any, x: Tensor) -> Tensor:
    return rnn(x)[1].squeeze(0)


def both(rnn: Any, x: Tensor) -> Tensor:
    output, (h, _) = rnn(x)
    return h[0] + output.mean(dim=1)


def both_ends(rnn: Any, x: Tensor) -> Tensor:
    _, h = rnn(x)
    return torch.cat((h[-2], h[-1]), dim=1)


def from_zeros(rnn: Any, x: Tensor) -> Tensor:
    start = torch.zeros(1, x.size(0), 6, dtype=x.dtype)
    return rnn(x, (start, start))[0]


def time_first(rnn: Any, x: Tensor) -> Tensor:
    output, h = rnn(x.permute(1, 0, 2))
    return output[-1] * h[0]


def lstm(**options: Any) -> nn.LSTM:
    return nn.LSTM(5, 6, batch_first=True, **options)


def gru(**options: Any) -> nn.GRU:
    return nn.GRU(5, 6, batch_first=True, **options)


ROWS = ["flatten", "flatten", "merge", "linear"]
READERS: dict[str, tuple[Callable[[], nn.RNNBase], Use, list[str]]] = {
    "last state": (lstm, last_hidden, ["lstm", "pad", "flatten", "linear"]),
    "two layers": (
        lambda: lstm(num_layers=2, dropout=0.0, bias=False),
        last_hidden,
        ["lstm", "lstm", "pad", "flatten", "linear"],
    ),
    "last output": (gru, last_output, ["gru", "pad", "flatten", "linear"]),
    "squeezed": (gru, squeezed, ["gru", "pad", "flatten", "linear"]),
    "all states": (lambda: gru(bias=False), lambda rnn, x: rnn(x)[0], ["gru", "conv1d", "transpose"]),
    "from zeros": (lstm, from_zeros, ["lstm", "conv1d", "transpose"]),
    "time first": (lambda: nn.GRU(5, 6), time_first, ["gru", "pad", "pad", *ROWS]),
    "both directions": (
        lambda: gru(num_layers=2, bidirectional=True),
        both_ends,
        [*["gru"] * 4, *["merge"] * 2, "pad", "pad", "flatten", "flatten", "linear"],
    ),
    "both": (lstm, both, ["lstm", "pad", "adaptive_avg_pool1d", *ROWS]),
}


def made(name: str) -> tuple[Reader, Tensor]:
    torch.manual_seed(0)
    make, use, _ = READERS[name]
    rnn = make()
    return Reader(rnn, use, width=6 * (1 + rnn.bidirectional)).double(), torch.randn(
        3, 7, 3, dtype=torch.float64
    )


@pytest.mark.parametrize("name", READERS)
def test_a_recurrent_layer_comes_in(name: str) -> None:
    model, x = made(name)
    network = from_torch(model, x)
    found = [node.kind for node in network.spec.nodes.values() if node.kind != "input"]
    assert sorted(found) == sorted(["transpose", "conv1d", *READERS[name][2]])
    assert parse_spec(dump_spec(network.spec)) == network.spec
    agree(model, network, (7, 3))
    own = {key: value for key, value in model.named_parameters() if key.startswith("rnn")}
    plain = network.to_torch()
    given = {key: value for key, value in plain.named_parameters() if key.startswith("rnn")}
    assert len(given) == len(own)
    for mine, theirs in zip(given.values(), own.values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", ["last state", "both directions", "all states", "both"])
def test_it_grows_and_goes_out(name: str) -> None:
    model, _ = made(name)
    network = from_torch(model, torch.randn(3, 7, 3, dtype=torch.float64))
    grown(network, (7, 3))
    agree(network, network.to_torch(), (7, 3), close=1e-9)


def test_dropout_between_layers_is_one_of_training() -> None:
    model = Reader(lstm(num_layers=2, dropout=0.5), last_hidden)
    network = from_torch(model.eval(), torch.randn(3, 7, 3))
    (dropout,) = [node for node in network.spec.nodes.values() if node.kind == "dropout"]
    assert dropout.p == 0.5
    x = torch.randn(4, 7, 3)
    torch.testing.assert_close(network(x), model(x))
    assert not torch.equal(network.train()(x), network(x))


def test_the_source_is_readable(tmp_path: Path) -> None:
    model, x = made("two layers")
    network = from_torch(model, x)
    assert export(network, tmp_path / "net.py").difference < 1e-9
    text = (tmp_path / "net.py").read_text()
    assert "self.rnn = nn.LSTM(5, 6, bias=False, batch_first=True)\n" in text
    assert "[0].transpose(1, 2)" in text


@pytest.mark.parametrize("file", ["net.onnx", "net.pt2"])
def test_both_directions_go_out(file: str, tmp_path: Path) -> None:
    model = Reader(gru(bidirectional=True), both_ends, width=12).eval()
    network = from_torch(model, torch.randn(3, 7, 3))
    assert export(network, tmp_path / file).difference < 1e-5


def cell_state(rnn: Any, x: Tensor) -> Tensor:
    return rnn(x)[1][1][-1]


def from_ones(rnn: Any, x: Tensor) -> Tensor:
    return rnn(x, torch.ones(1, x.size(0), 6, dtype=x.dtype))[0]


@pytest.mark.parametrize(
    ("rnn", "use", "reason"),
    [
        (lstm, cell_state, "`getitem`: it takes the cell state of an LSTM, which no node gives"),
        (gru, from_ones, "GRU: it is given a first state: expected none, or zeros"),
        (lambda: lstm(proj_size=3), lambda rnn, x: rnn(x)[0], "LSTM: its proj_size is 3: expected 0"),
    ],
)
def test_a_use_that_cannot_come_in(rnn: Callable[[], nn.RNNBase], use: Use, reason: str) -> None:
    module = rnn()
    model = Reader(module, use, width=module.proj_size or 6)
    with pytest.raises(TorchImportError) as error:
        from_torch(copy.deepcopy(model).double(), torch.randn(2, 7, 3, dtype=torch.float64))
    assert reason in str(error.value)
    assert len(error.value.obstacles) == 1
