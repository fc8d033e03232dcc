"""All obstacles to an import are listed at once, by module path, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import GromoGraphError, TorchImportError, compile_network, from_torch, parse_spec
from gromo_graph.interop.traces.trace import is_users


def obstacles(model: Any, example: Any) -> dict[str, str]:
    """Reasons by module path; several of one path are put together."""
    with pytest.raises(TorchImportError) as caught:
        from_torch(model, example)
    error = caught.value
    assert isinstance(error, GromoGraphError)
    lines = str(error).splitlines()
    assert lines[0].startswith("this model cannot be imported, ")
    found: dict[str, str] = {}
    for obstacle in error.obstacles:
        assert any(str(obstacle).splitlines()[0] in line for line in lines)
        found[obstacle.path] = "; ".join(filter(None, [found.get(obstacle.path), obstacle.reason]))
    return found


class Lambda(nn.Module):
    """A model of one line behind a layer."""

    def __init__(self, function: Callable[[Tensor], Any], shape: tuple[int, ...] = (4,)) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4) if len(shape) == 1 else nn.Conv2d(shape[0], 4, 1)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.layer(x))


SMALL = """
nodes:
  x: {kind: input, shape: [4]}
  y: {kind: linear, from: x, features: 2}
output: y
"""
ROW, IMAGE = torch.zeros(2, 4), torch.zeros(2, 1, 6, 6)

LINES: list[tuple[Callable[[Tensor], Any], Tensor, str]] = [
    (lambda x: x.softmax(0), ROW, "`softmax`: it is taken along dimension 0: expected the features"),
    (lambda x: x.softmax(2), IMAGE, "`softmax`: it is taken along dimension 2: expected the features"),
    (lambda x: torch.cat([x, x.relu()], 0), ROW, "`cat`: it concatenates along dimension 0: expected the"),
    (lambda x: torch.cat([x, x.relu()], -2), IMAGE, "along dimension 2: expected the features"),
    (lambda x: x[:, [[1, 2]]], ROW, "`getitem`: it takes values by a tensor: expected numbers and slices"),
    (lambda x: x[:1], ROW, "`getitem`: it takes some samples of the batch: expected all of them"),
    (lambda x: x[:, ::2], ROW, "`getitem`: it takes features at a distance of 2: expected neighbours"),
    (lambda x: torch.stack([x, x.relu()]).tanh(), ROW, "`tanh`: it takes stacked values: expected values of nodes"),
    (lambda x: x.mean(1), ROW, "takes the mean over 1 of [4]"),
    (lambda x: x.detach(), ROW, "`detach`: a spec has nothing like it: a spec does not cut the gradient"),
    (lambda x: x * x.ne(0), ROW, "`ne`: a spec has nothing like it: a spec compares no values"),
    (lambda x: x.cumsum(1), ROW, "`cumsum`: a spec has nothing like it: a spec counts and looks up no values"),
    (lambda x: functional.softplus(x, threshold=3), ROW, "its threshold is 3: the language knows"),
    (lambda x: x.clamp(max=3), ROW, "it clamps to min=None, max=3: expected two numbers, or min=0"),
    (lambda x: x / (1 + x.exp()), ROW, "`exp`: a spec has nothing like it"),
    (lambda x: x / x.tanh(), ROW, "`div`: it divides by something that changes: expected a number, or a buffer"),
    (lambda x: torch.div(x, 2, rounding_mode="floor"), ROW, "it rounds what it divides (floor)"),
    (lambda x: x**4, ROW, "`pow`: it takes the power 4: expected 2 or 3"),
    (lambda x: x.expand(-1, -1, 6, 6) + x.mean(3, keepdim=True), IMAGE, "`mean`"),
    (lambda x: (x, x.sum(1)), ROW, "output 1: it has the batch as its only dimension"),
    (lambda x: {"a": x, "b": 3}, ROW, "the output 'b': it is no tensor"),
    (lambda x: x.sum(), ROW, "`sum`: a spec has nothing like it"),
    (lambda x: x.permute(0, 2, 3, 1), IMAGE, "reads [4, 6, 6] of each sample as [6, 6, 4]: expected the features to"),
    (lambda x: x.permute(0, 1, 3, 2), IMAGE, "as [2, 4, 6, 6] with the batch, in an order made by `permute`; test_"),
    (lambda x: x.mT, IMAGE, "with the batch, in an order made by `getattr`"),
    (lambda x: x.transpose(0, 1), ROW, "it reads [4] of each sample as [4, 2] with the batch, in an order made by"),
    (lambda x: x.t().t(), ROW, "`t`: a spec has nothing like it: a spec keeps the batch first"),
    (lambda x: x.movedim((1, 2), (2, 1)), IMAGE, "`movedim`: it moves several dimensions"),
    (lambda x: x.view(-1, 2, 18, 4), IMAGE, "reads [4, 6, 6] of each sample as [2, 18, 4]"),
    (lambda x: x.flatten(2).mT.mean(2), IMAGE, "takes the mean over 2 of [36, 4]"),
    (lambda x: x.mean(2), IMAGE, "takes the mean over 2 of [4, 6, 6]"),
    (lambda x: functional.conv2d(x, x.tanh()[:, :, :1, :1]), IMAGE, "its weight is computed in the forward pass"),
    (lambda x: x + x.mean((2, 3), keepdim=True), IMAGE, "adds [4, 6, 6] and [4, 1, 1]: expected equal shapes"),
    (lambda x: functional.pad(x, (0, 0, 0, 0, 0, 2)), IMAGE, "it pads [0, 0, 0, 0, 0, 2]: expected positions alone"),
    (lambda x: functional.interpolate(x, 12, mode="bilinear", antialias=True), IMAGE, "smooths before it samples"),
    (lambda x: x.reshape(8, -1, 6, 6), IMAGE, "as [8, 1, 6, 6] with the batch, in an order made by `reshape`"),
    (lambda x: functional.relu(x.squeeze(), 1, 2, 3), torch.zeros(2, 4, 1, 1), "Error"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "example", "reason"),
    LINES,
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_what_a_spec_cannot_say(function: Callable[[Tensor], Any], example: Tensor, reason: str) -> None:
    found = obstacles(Lambda(function, tuple(example.shape[1:])), example)
    assert reason in found[""]


MODULES: list[tuple[nn.Module, Tensor, str]] = [
    (nn.RNN(4, 4, batch_first=True), ROW, "RNN: the language has no such kind"),
    (nn.Softmin(1), ROW, "Softmin: the language has no such kind"),
    (nn.Linear(4, 4), torch.zeros(2, 3, 4, 4), "it reads the last of the dimensions [3, 4, 4], alike"),
    (nn.ConvTranspose2d(4, 6, 2, groups=2), torch.zeros(2, 4, 6, 6), "it has 2 groups of 2 channels that give 6"),
    (nn.ConvTranspose1d(4, 4, 2, stride=2), torch.zeros(4, 6), "ConvTranspose1d"),
    (nn.Upsample(scale_factor=1.7, mode="bilinear"), torch.zeros(2, 4, 6, 6), "its scale 1.7 makes no whole number"),
    (nn.ConstantPad2d(1, 2.0), torch.zeros(2, 4, 6, 6), "it pads with 2.0: expected zeros"),
    (nn.BatchNorm1d(4, affine=False), ROW, "no weight and bias: expected affine=True"),
    (nn.BatchNorm1d(4, track_running_stats=False), ROW, "keeps no running mean"),
    (nn.BatchNorm1d(4, momentum=None), ROW, "momentum=None"),
    (nn.LayerNorm(6), torch.zeros(2, 4, 6), ""),
    (nn.LayerNorm([5, 6]), torch.zeros(2, 4, 5, 6), "it normalises (5, 6) of [4, 5, 6]"),
    (nn.GroupNorm(2, 4, affine=False), ROW, "expected affine=True"),
    (nn.GroupNorm(4, 4), torch.zeros(2, 4, 2), ""),
    (nn.Dropout(1.0), ROW, "Dropout: p: found 1.0, expected less than 1"),
    (nn.Embedding(9, 4, max_norm=1.0), torch.zeros(2, 3, dtype=torch.long), "its max_norm is 1.0"),
    (nn.Hardshrink(), ROW, "Hardshrink: the language has no such kind"),
    (nn.MaxPool2d(2, dilation=2), torch.zeros(2, 4, 6, 6), "its dilation is 2"),
    (nn.MaxPool2d(2, return_indices=True), torch.zeros(2, 4, 6, 6), "it gives several values"),
    (nn.AvgPool2d(2, divisor_override=3), torch.zeros(2, 4, 6, 6), "divides by 3"),
    (nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), ROW, "its weights are parametrized"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "example", "reason"), MODULES, ids=lambda value: type(value).__name__)
def test_modules_that_have_no_kind(module: nn.Module, example: Tensor, reason: str) -> None:
    model = nn.Sequential(nn.Identity(), module)
    if not reason:
        from_torch(model, example)
        return
    assert reason in obstacles(model, example)["1"]


class Block(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.layer, self.wrong = nn.Linear(4, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        if self.wrong and x.sum() > 0:
            return x
        return x.relu()


def test_control_flow_is_found_in_every_module_at_once() -> None:
    model = nn.Sequential(Block(False), Block(True), nn.Sequential(Block(True)), nn.Linear(4, 2))
    found = obstacles(model, ROW)
    assert {"1", "2.0"} <= set(found)
    assert "control flow on a tensor" in found["1"]
    assert "test_obstacles.py:" in found["2.0"]
    assert "`if self.wrong and x.sum() > 0:`" in found["2.0"]


def test_everything_at_once_by_path() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.utils.parametrizations.spectral_norm(nn.Conv2d(1, 4, 1))
            self.body = nn.Sequential(nn.Hardshrink(), nn.Conv2d(4, 4, 1), nn.Softmin(1), nn.Softmin(1))
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((self.body(self.stem(x)) % 2).mean((2, 3)).sin())

    found = obstacles(Many(), IMAGE)
    assert set(found) == {"stem", "body.0", "body.2", "body.3", ""}
    assert "`remainder`" in found[""]
    assert "`return self.head((self.body(self.stem(x)) % 2).mean((2, 3)).sin())`" in found[""]
    assert "`sin`" in found[""]


class OwnAttention(nn.Module):
    """Attention with a call between products and softmax that nothing can be said of."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, 2, 4).permute(2, 0, 3, 1, 4)
        shares = (q @ k.transpose(-2, -1)).cumsum(-1).softmax(-1)
        return self.out((shares @ v).transpose(1, 2).reshape(n, length, width)).mean(dim=1)


class CountedUp(nn.Module):
    """A convolution that is counted up, and what a function makes of that."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.function = nn.Conv1d(3, 8, 3), nn.Conv1d(8, 8, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, torch.cumsum(self.first(x), 2))


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (OwnAttention(), torch.zeros(2, 5, 8)),
        (CountedUp(lambda own, x: x.transpose(1, 2)), torch.zeros(2, 3, 12)),
        (CountedUp(lambda own, x: x.unflatten(2, (2, 5)).softmax(1)), torch.zeros(2, 3, 12)),
    ],
    ids=["attention", "an output", "parts"],
)
def test_what_follows_from_an_obstacle_is_none_of_its_own(model: nn.Module, example: Tensor) -> None:
    """The softmax would be one of attention, and the output a sequence, if only the call before could be read."""
    (reason,) = obstacles(model.eval(), example).values()
    assert reason.startswith("`cumsum`: ")
    assert "; `" not in reason
    assert "the output" not in reason


def test_behind_the_next_layer_all_is_told_again() -> None:
    model = CountedUp(lambda own, x: own.second(x).reshape(x.shape[0], 4, -1).softmax(1))
    (reason,) = obstacles(model.eval(), torch.zeros(2, 3, 12)).values()
    assert "`cumsum`" in reason
    assert "`softmax`: it reads [8, 8] of each sample as [4, 16]" in reason


def test_shared_weights() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.c.weight = self.b.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.b(self.a(self.a(x))))

    found = obstacles(Twice(), ROW)
    assert "a" not in found
    assert "it shares its weights with `b`, and uses them otherwise" in found["c"]


IN_PLACE: list[tuple[Callable[[nn.Module, Tensor], Tensor], str]] = [
    (lambda m, x: m(x).relu_() + x.tanh_(), ""),
    (lambda m, x: (h := m(x)).relu_() + h, ""),
    (lambda m, x: functional.relu(h := m(x), inplace=True) + h, ""),
    (lambda m, x: (h := m(x)).flatten(1).relu_() + h, ""),
    (lambda m, x: (h := m(x), h.add_(x))[0], ""),
    (
        lambda m, x: (h := m(x)).view(-1, 2, 2).relu_().view(-1, 4) + h,
        "reads `layer`, which `relu` has changed in place",
    ),
    (lambda m, x: (h := m(x), h.view(-1, 2, 2).add_(1))[0], "`add` has changed it in place"),
]


@pytest.mark.parametrize(("function", "reason"), IN_PLACE)
def test_tricks_in_place(function: Callable[[nn.Module, Tensor], Tensor], reason: str) -> None:
    class Trick(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return function(self.layer, x)

    if reason:
        assert reason in obstacles(Trick(), ROW)[""]
    else:
        from_torch(Trick(), ROW)


def test_an_assignment_to_a_part_of_a_tensor() -> None:
    class Assigns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer(x)
            x[:, 0] = 0
            return x

    found = obstacles(Assigns(), ROW)[""]
    assert "`setitem`: it assigns to a part of a tensor: a spec changes nothing in place" in found
    assert "test_obstacles.py" in found
    assert "`x[:, 0] = 0`" in found


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (torch.zeros(2, 5), "does not run on the example input (input (2, 5))"),
        (torch.zeros(2, 4, 1, 1, 1), "does not run"),
        (torch.zeros(4), "a float32 tensor of shape (4,): expected a tensor of floats, or of "),
        (torch.zeros(0, 4), "expected a tensor of floats"),
        (torch.zeros(2, 4, dtype=torch.bool), "is a bool tensor"),
        (torch.zeros(2, 4, dtype=torch.int64), "does not run"),
        (torch.zeros(2, 4).double(), "does not run"),
        ("x", "the example input is a str"),
        ([], "the example input is a list"),
        ([ROW, ROW], "does not fit `forward`"),
        ({"other": ROW}, "does not run"),
        ({"input": 3}, "the example input `input` is a int"),
    ],
    ids=str,
)
def test_a_wrong_example_input(example: Any, reason: str) -> None:
    assert reason in obstacles(nn.Sequential(nn.Linear(4, 2)), example)[""]


def test_inputs_of_different_batches_and_one_that_nobody_reads() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.layer(a)

    assert "no output depends on the input `b`" in obstacles(Pair(), (ROW, ROW))[""]
    assert "expected one size" in obstacles(Pair(), (ROW, torch.zeros(3, 4)))[""]


def test_what_tracing_does_not_see_is_found_by_comparing() -> None:
    class ByMode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer(x)
            return x.relu() if self.training else x

    torch.manual_seed(0)  # some outputs of the layer must be negative
    assert "gives other outputs in evaluation mode" in obstacles(ByMode(), ROW)[""]

    class Batch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).view(2, 4)

    assert "the batch" in obstacles(Batch(), ROW)[""]


def test_hooks_lazy_modules_and_things_that_are_no_models() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[1].register_forward_hook(lambda *_: None)
    assert "it has forward hooks" in obstacles(model, ROW)["1"]
    assert "the model once first" in obstacles(nn.Sequential(nn.LazyLinear(3)), ROW)["0"]
    assert "it is a str" in obstacles("model", ROW)[""]
    network = compile_network(parse_spec(SMALL))
    assert "a GrowingNetwork already" in obstacles(network, ROW)[""]


def test_models_that_take_any_arguments_or_none() -> None:
    class Any_(nn.Module):  # noqa: N801
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, *tensors: Tensor) -> Tensor:
            return self.layer(tensors[0])

    assert "any number of arguments" in obstacles(Any_(), ROW)[""]


def test_the_lines_of_libraries_whose_name_begins_like_torch_are_told() -> None:
    packages = Path(torch.__file__).parent.parent
    assert is_users(str(packages / "torchvision" / "models" / "resnet.py"))
    assert not is_users(str(packages / "torch" / "nn" / "functional.py"))
