"""Two layers in a row, of every kind of layer and of everything that may stand between them, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import AvgPool2d, BatchNorm2d, Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Sequential, Tanh

from gromo_graph.modules import GrowingModule, MergeGrowingModule
from tests.modules.chains import Chain

F64 = torch.float64
ROWS = 80


@dataclass
class Pair(Chain):
    """The layers `first` and `second`, with what stands between them."""

    kind: str = ""

    @property
    def modules(self) -> list[GrowingModule]:
        return [module for module in self.net if isinstance(module, GrowingModule)]

    @property
    def first(self) -> GrowingModule:
        return self.modules[0]

    @property
    def second(self) -> GrowingModule:
        return self.modules[1]

    def total_loss(self) -> Tensor:
        return (self.net(self.x).flatten(1) - self.y).square().sum()

    def predicted_output(self) -> Tensor:
        h, further = self.x, None
        with torch.no_grad():
            for module in self.net:
                if isinstance(module, MergeGrowingModule):
                    h, further = module.extended_forward((h, further))
                else:
                    h, further = module.extended_forward(h, further)
        assert further is None
        return h


@dataclass(frozen=True)
class Kind:
    """A recipe for a pair: the two layers, the function between them, the shape of a sample."""

    first: Callable[[], torch.nn.Module]
    second: Callable[[], torch.nn.Module]
    between: Callable[[], torch.nn.Module]
    shape: tuple[int, ...]
    kernel: str = "full"
    merged: bool = False


KINDS: dict[str, Kind] = {
    "linear": Kind(lambda: Linear(5, 3), lambda: Linear(3, 4), Tanh, (5,)),
    "linear, no bias": Kind(lambda: Linear(5, 3, bias=False), lambda: Linear(3, 4, bias=False), Tanh, (5,)),
    "linear, positions": Kind(lambda: Linear(5, 3), lambda: Linear(3, 4), Tanh, (2, 5)),
    "linear, merge": Kind(lambda: Linear(5, 3), lambda: Linear(3, 4), Tanh, (5,), merged=True),
    "conv2d": Kind(lambda: Conv2d(2, 3, 3, padding=1), lambda: Conv2d(3, 4, 3, padding=1), Tanh, (2, 4, 5)),
    "conv2d, centre": Kind(
        lambda: Conv2d(2, 3, 3, padding=1), lambda: Conv2d(3, 4, 3, padding=1), Tanh, (2, 4, 5), "centre"
    ),
    "conv2d, no bias": Kind(
        lambda: Conv2d(2, 3, (3, 2), stride=(2, 1), bias=False),
        lambda: Conv2d(3, 4, (2, 3), stride=2, padding=(1, 2), dilation=(1, 2), bias=False),
        Tanh,
        (2, 7, 6),
    ),
    "conv2d, pool": Kind(
        lambda: Conv2d(2, 3, 2),
        lambda: Conv2d(3, 4, 3, padding="same"),
        lambda: Sequential(Tanh(), AvgPool2d(2)),
        (2, 5, 7),
    ),
    "conv2d, max pool": Kind(
        lambda: Conv2d(2, 3, 2), lambda: Conv2d(3, 4, 2), lambda: Sequential(Tanh(), MaxPool2d(2)), (2, 5, 7)
    ),
    "conv2d, norm": Kind(
        lambda: Conv2d(2, 3, 3, padding=1, bias=False),
        lambda: Conv2d(3, 4, 1),
        lambda: Sequential(BatchNorm2d(3), Tanh()),
        (2, 4, 5),
    ),
    "conv2d, merge": Kind(lambda: Conv2d(2, 3, 2), lambda: Conv2d(3, 4, 2), Tanh, (2, 4, 4), merged=True),
    "conv1d": Kind(lambda: Conv1d(2, 3, 3, padding=1), lambda: Conv1d(3, 4, 2, stride=2), Tanh, (2, 7)),
    "conv2d to linear": Kind(
        lambda: Conv2d(2, 3, 2), lambda: Linear(3 * 6, 4), lambda: Sequential(Tanh(), Flatten()), (2, 3, 4)
    ),
    "conv2d to linear, pool": Kind(
        lambda: Conv2d(2, 3, 2, bias=False),
        lambda: Linear(3, 4, bias=False),
        lambda: Sequential(Tanh(), torch.nn.AdaptiveAvgPool2d(1), Flatten()),
        (2, 3, 4),
    ),
}


def pair(kind: str = "linear", *, seed: int = 0, rows: int = ROWS) -> Pair:
    """The pair of a kind, linked, with random weights and data."""
    made = KINDS[kind]
    generator = torch.Generator().manual_seed(seed)
    layers = [made.first().double(), made.second().double()]
    between = made.between().double()
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=F64) / 2
    first = GrowingModule(layers[0], post_layer_function=None if made.merged else between, name="first")
    second = GrowingModule(layers[1], growth_kernel=made.kernel, name="second")
    members: list[torch.nn.Module] = [first, second]
    if made.merged:
        members.insert(
            1, MergeGrowingModule(between, previous_modules=[first], next_modules=[second], name="merge")
        )
    else:
        second.previous_module, first.next_module = first, second
    x = torch.randn(rows, *made.shape, generator=generator, dtype=F64)
    net = torch.nn.Sequential(*members).eval()
    with torch.no_grad():
        out = net(x).flatten(1)
    y = out + torch.randn(out.shape, generator=generator, dtype=F64)
    return Pair(net, x, y, kind)
