"""Single operations of a model come in as the nodes that they are, compute the same, and go out again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import GrowthScheduler, compile_network, dump_spec, export, from_torch, parse_spec
from gromo_graph.interop.traces.trace import trace_by_export
from tests.interop.test_importing import agree, grown

ROW, SEQUENCE, IMAGE = (4,), (4, 7), (4, 6, 6)


class Between(nn.Module):
    """Something between two layers."""

    def __init__(
        self, function: Callable[[Any, Tensor], Tensor], shape: tuple[int, ...], **parts: Any
    ) -> None:
        super().__init__()
        kinds = {1: nn.Linear, 2: nn.Conv1d, 3: nn.Conv2d}
        extra = () if len(shape) == 1 else (1,)
        self.before = kinds[len(shape)](3, shape[0], *extra)
        self.after = nn.LazyLinear(2)
        self.function = function
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.function(self, self.before(x)).flatten(1))


def made(
    function: Callable[[Any, Tensor], Tensor], shape: tuple[int, ...], **parts: Any
) -> tuple[Between, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(3, 3, *shape[1:])
    model = Between(function, shape, **copy.deepcopy(parts))
    model(x)
    return model.double(), x.double()


def check(model: nn.Module, x: Tensor, kinds: Iterable[str]) -> None:
    """The model comes in as nodes of these kinds, is the same in any form, and is written and read."""
    network = from_torch(model, x)
    found = [node.kind for node in network.spec.nodes.values()][2:-1]
    assert [kind for kind in found if kind != "flatten"] == list(kinds)
    assert parse_spec(dump_spec(network.spec)) == network.spec
    random = any(kind == "dropout" for kind in found)
    for mode in (False,) if random else (False, True):
        model.train(mode), network.train(mode)
        torch.testing.assert_close(network(x), model(x), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(network.to_torch()(x), network(x), rtol=0, atol=1e-12)


class StochasticDepth(nn.Module):
    """As torchvision has it: a function that torch.fx cannot look into."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        size = [x.shape[0]] + [1] * (x.ndim - 1) if self.mode == "row" else [1] * x.ndim
        noise = torch.empty(size, dtype=x.dtype, device=x.device).bernoulli_(1.0 - self.p)
        return x * noise.div_(1.0 - self.p)


class DropPath(nn.Module):
    """As timm has it."""

    def __init__(self, drop_prob: float, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep = drop_prob, scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        return StochasticDepth(self.drop_prob, "row").train(self.training)(x)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.linspace(0.5, 1.5, max(1, torch.Size(shape).numel())).reshape(shape))


OPERATIONS: dict[str, tuple[Callable[[Any, Tensor], Tensor], tuple[int, ...], list[str], dict[str, Any]]] = {
    "a number times": (lambda m, x: 2 * x, ROW, ["scale"], {}),
    "divided by a number": (lambda m, x: x / 255, IMAGE, ["scale"], {}),
    "a number more": (lambda m, x: x + 1.5, SEQUENCE, ["scale"], {}),
    "a number less": (lambda m, x: 1 - x, ROW, ["scale", "scale"], {}),
    "negated": (lambda m, x: -x, ROW, ["scale"], {}),
    "a difference": (lambda m, x: x.tanh() - x, IMAGE, ["merge", "scale", "merge"], {}),
    "alpha": (lambda m, x: torch.add(x, x.tanh(), alpha=2), ROW, ["merge", "scale", "merge"], {}),
    "in place": (lambda m, x: x.tanh().mul_(2).sub_(1).div_(4), ROW, ["scale"] * 3, {}),
    "clamp": (lambda m, x: x.clamp(-0.5, 2), ROW, [], {}),
    "a trained slope": (
        lambda m, x: m.act(x.transpose(1, 2)).transpose(1, 2), SEQUENCE, ["prelu"], {"act": nn.PReLU()},
    ),
    "trained slopes": (lambda m, x: m.act(x), IMAGE, ["prelu"], {"act": nn.PReLU(4, init=0.4)}),
    "an image of a row": (lambda m, x: m.up(x.view(-1, 2, 1, 2)), ROW, ["unflatten", "conv_transpose2d"],
        {"up": nn.ConvTranspose2d(2, 3, 2)},
    ),
    "a sequence of a row": (lambda m, x: m.up(x.unflatten(1, (2, 2))), ROW, ["unflatten", "conv1d"],
        {"up": nn.Conv1d(2, 3, 1)},
    ),
    "an image of a sequence": (
        lambda m, x: m.up(x.transpose(1, 2).tanh().transpose(1, 2).view(x.shape[0], 4, 2, 3)), (4, 6),
        ["unflatten", "conv2d"], {"up": nn.Conv2d(4, 3, 2)},
    ),
    "features last to an image": (
        lambda m, x: m.up(x.mT.unflatten(1, (2, 3)).permute(0, 3, 1, 2)), (4, 6), ["unflatten", "conv2d"],
        {"up": nn.Conv2d(4, 3, 2)},
    ),
    "largest and places": (lambda m, x: x.max(2).values, SEQUENCE, ["adaptive_max_pool1d"], {}),
    "shares": (lambda m, x: x.softmax(-1), ROW, ["softmax"], {}),
    "shares at each position": (lambda m, x: m.end(x), IMAGE, ["log_softmax"], {"end": nn.LogSoftmax(1)}),
    "shares behind the positions": (
        lambda m, x: x.movedim(1, 3).log_softmax(3).movedim(3, 1), IMAGE, ["log_softmax"], {},
    ),
    "slopes as a function": (lambda m, x: functional.prelu(x, m.a), ROW, ["prelu"], {"a": parameter(4)}),
    "clamp from 0": (lambda m, x: x.clamp(min=0), ROW, [], {}),
    "leaky": (lambda m, x: functional.leaky_relu(x, 0.3), IMAGE, [], {}),
    "hard swish": (lambda m, x: m.act(x), IMAGE, [], {"act": nn.Hardswish()}),
    "hard swish as written": (
        lambda m, x: x * functional.relu6(x + 3) / 6, IMAGE, ["scale", "merge", "merge", "scale"], {},
    ),
    "layer scale": (lambda m, x: x * m.gamma, IMAGE, ["affine"], {"gamma": parameter(4, 1, 1)}),
    "layer scale, features last": (
        lambda m, x: (m.gamma * x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), IMAGE, ["affine"],
        {"gamma": parameter(4)},
    ),
    "affine": (
        lambda m, x: m.beta + m.alpha * x, ROW, ["affine"] * 2,
        {"alpha": parameter(4), "beta": parameter(1, 4)},
    ),
    "one number for all": (lambda m, x: x * m.alpha, IMAGE, ["affine"], {"alpha": parameter(1)}),
    "standardised": (
        lambda m, x: (x - m.mean) / m.std, IMAGE, ["affine", "affine"],
        {"mean": torch.randn(1, 4, 1, 1), "std": torch.rand(4, 1, 1) + 0.5},
    ),
    "square": (lambda m, x: x.square() + x**2, ROW, ["merge"] * 5, {}),
    "gate of a map": (lambda m, x: x * x.sigmoid(), IMAGE, ["merge", "merge"], {}),
    "gate of its mean": (
        lambda m, x: x * x.mean((2, 3), keepdim=True).sigmoid(), IMAGE,
        ["adaptive_avg_pool2d", "merge", "merge"], {},
    ),
    "gate of one feature": (
        lambda m, x: m.one(x).sigmoid() * x, IMAGE, ["conv2d", "merge"], {"one": nn.Conv2d(4, 1, 1)},
    ),
    "gate of a row": (
        lambda m, x: x * m.fc(x.mean((2, 3))).sigmoid().view(-1, 4, 1, 1).expand_as(x), IMAGE,
        ["adaptive_avg_pool2d", "linear", "merge"], {"fc": nn.Linear(4, 4)},
    ),
    "gate of a sequence, features last": (
        lambda m, x: (x.transpose(1, 2) * m.fc(x.transpose(1, 2)).sigmoid()).transpose(1, 2), SEQUENCE,
        ["conv1d", "merge"], {"fc": nn.Linear(4, 4)},
    ),
    "pool with a last window": (lambda m, x: functional.max_pool2d(x, 4, 3, ceil_mode=True), IMAGE, ["max_pool2d"], {}),
    "mean without padding": (
        lambda m, x: functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE,
        ["avg_pool2d"], {},
    ),
    "oblong pools": (
        lambda m, x: functional.avg_pool2d(functional.max_pool2d(x, (1, 2), (2, 1)), (2, 1)), IMAGE,
        ["max_pool2d", "avg_pool2d"], {},
    ),
    "oblong kernel": (
        lambda m, x: m.conv(x), IMAGE, ["conv2d"], {"conv": nn.Conv2d(4, 3, (1, 5), (2, 1), (0, 2), (1, 1))},
    ),
    "oblong depthwise": (
        lambda m, x: m.conv(x), IMAGE, ["depthwise_conv2d"],
        {"conv": nn.Conv2d(4, 4, (3, 1), padding=(2, 0), dilation=(2, 1), groups=4)},
    ),
    "groups": (lambda m, x: m.conv(x), IMAGE, ["depthwise_conv2d"], {"conv": nn.Conv2d(4, 4, 3, groups=2)}),
    "groups that widen": (
        lambda m, x: m.conv(x), SEQUENCE, ["grouped_conv1d"], {"conv": nn.Conv1d(4, 6, 3, groups=2, padding=1)},
    ),
    "oblong transposed": (
        lambda m, x: m.conv(x), IMAGE, ["conv_transpose2d"],
        {"conv": nn.ConvTranspose2d(4, 3, (2, 3), (2, 1), (0, 1), (1, 0))},
    ),
    "means of a grid": (
        lambda m, x: functional.adaptive_avg_pool2d(x, (2, 3)), IMAGE, ["adaptive_avg_pool2d"], {},
    ),
    "largest of all": (lambda m, x: x.amax((2, 3)), IMAGE, ["adaptive_max_pool2d"], {}),
    "largest of a grid": (
        lambda m, x: m.pool(x), IMAGE, ["adaptive_max_pool2d"], {"pool": nn.AdaptiveMaxPool2d((1, None))},
    ),
    "bilinear": (
        lambda m, x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), IMAGE,
        ["upsample2d"], {},
    ),
    "to a size": (lambda m, x: functional.interpolate(x, (9, 5), mode="bilinear"), IMAGE, ["upsample2d"], {}),
    "bicubic with corners": (
        lambda m, x: m.up(x), IMAGE, ["upsample2d"],
        {"up": nn.Upsample(size=11, mode="bicubic", align_corners=True)},
    ),
    "linear": (lambda m, x: m.up(x), SEQUENCE, ["upsample1d"], {"up": nn.Upsample(scale_factor=3, mode="linear")}),
    "zeros beside": (lambda m, x: functional.pad(x, (1, 2, 0, 1)), IMAGE, ["pad"], {}),
    "zeros beside, features last": (
        lambda m, x: functional.pad(x.permute(0, 2, 3, 1), (0, 0, 0, 1, 2, 0)).permute(0, 3, 1, 2), IMAGE, ["pad"], {},
    ),
    "no padding at all": (lambda m, x: functional.pad(x, (0, 0, 0, 0)), IMAGE, [], {}),
    "cut off": (lambda m, x: functional.pad(x, (-1, 0)), SEQUENCE, ["pad"], {}),
    "reflected": (lambda m, x: m.pad(x), IMAGE, ["pad"], {"pad": nn.ReflectionPad2d(2)}),
    "replicated": (lambda m, x: m.pad(x), SEQUENCE, ["pad"], {"pad": nn.ReplicationPad1d((3, 0))}),
    "zeros by a module": (lambda m, x: m.pad(x), IMAGE, ["pad"], {"pad": nn.ZeroPad2d((0, 1, 0, 1))}),
    "circular convolution": (
        lambda m, x: m.conv(x), IMAGE, ["pad", "conv2d"],
        {"conv": nn.Conv2d(4, 4, 3, padding=(1, 2), padding_mode="circular")},
    ),
    "some features": (lambda m, x: x[:, 1:3], IMAGE, ["slice"], {}),
    "features by number": (lambda m, x: x[:, [3, 0]], IMAGE, ["index_select"], {}),
    "a feature by number, features last": (
        lambda m, x: x.transpose(1, 2)[..., [1, 2, 0]].transpose(1, 2), SEQUENCE, ["index_select"], {},
    ),
    "all features": (lambda m, x: x[:, :4], IMAGE, [], {}),
    "a position": (lambda m, x: x.transpose(1, 2)[:, 0], SEQUENCE, ["pad"], {}),
    "the last position": (lambda m, x: x[:, :, -1], SEQUENCE, ["pad"], {}),
    "without the last": (lambda m, x: x[..., :-2], SEQUENCE, ["pad"], {}),
    "each second": (lambda m, x: x[:, :, 1::2, ::2], IMAGE, ["pad", "avg_pool2d", "avg_pool2d"], {}),
    "halves": (
        lambda m, x: (lambda y: torch.cat([y.chunk(2, dim=1)[1], y.split(2, 1)[0].relu()], 1))(x.tanh()), IMAGE,
        ["slice", "slice", "merge", "merge"], {},
    ),
    "halves of a layer": (
        lambda m, x: torch.cat([x.chunk(2, dim=1)[1], x.split(2, 1)[0].tanh()], 1), IMAGE, ["conv2d", "merge"], {},
    ),
    "a gated linear unit": (
        lambda m, x: (lambda a, b: a * b.sigmoid())(*x.chunk(2, -1)), ROW, ["linear", "merge"], {},
    ),
    "positions apart": (lambda m, x: sum(x.unbind(2)), (4, 2), ["pad", "pad", "merge"], {}),
    "shuffled": (
        lambda m, x: x.tanh().view(-1, 2, 2, 6, 6).transpose(1, 2).contiguous().view(-1, 4, 6, 6), IMAGE,
        ["channel_shuffle"], {},
    ),
    "shuffled by torch": (lambda m, x: m.mix(x.tanh()), IMAGE, ["channel_shuffle"], {"mix": nn.ChannelShuffle(2)}),
    "a stack added up": (lambda m, x: torch.stack([x, x.tanh(), -x]).sum(0), IMAGE, ["merge", "scale", "merge"], {}),
    "a class token": (
        lambda m, x: torch.cat([m.token.expand(x.shape[0], -1, -1), x.transpose(1, 2)], dim=1) + m.places, SEQUENCE,
        ["class_token", "positions", "transpose"], {"token": parameter(1, 1, 4), "places": parameter(1, 8, 4)},
    ),
    "two tokens": (
        lambda m, x: torch.cat([m.a.expand(len(x), 1, 4), m.b.expand(len(x), 1, 4), x.transpose(1, 2)], 1)[:, 0],
        SEQUENCE, ["class_token", "class_token", "pad"], {"a": parameter(1, 1, 4), "b": parameter(1, 1, 4)},
    ),
    "one behind the other": (
        lambda m, x: torch.cat([x.tanh(), x], 2), SEQUENCE,
        ["merge", "transpose", "transpose", "merge", "transpose"], {},
    ),
    "a factor for each position": (
        lambda m, x: torch.addcmul(m.b, m.a, x), SEQUENCE, ["transpose", "affine", "affine", "transpose"],
        {"a": parameter(1, 1, 7), "b": parameter(1, 1, 7)},
    ),
    "a norm without bias": (
        lambda m, x: m.norm(x.transpose(1, 2)), SEQUENCE, ["layer_norm", "transpose"],
        {"norm": nn.LayerNorm(4, bias=False)},
    ),
    "a norm without weights": (
        lambda m, x: functional.layer_norm(x, (4, 7)), SEQUENCE, ["layer_norm"], {},
    ),
    "to a sequence and back": (
        lambda m, x: m.wide(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(-1, 5, 6, 6), IMAGE, ["conv2d"],
        {"wide": nn.Linear(4, 5)},
    ),
    "positions of a table": (
        lambda m, x: x.transpose(1, 2) + m.places[:, : x.shape[2]], SEQUENCE, ["positions", "transpose"],
        {"places": parameter(1, 9, 4)},
    ),
    "sums of buffers": (
        lambda m, x: x * (m.a + m.b.sqrt())[:, None], SEQUENCE, ["affine"], {"a": torch.rand(4), "b": torch.rand(4)},
    ),
    "a constant": (lambda m, x: x + torch.ones(4), ROW, ["affine"], {}),
    "a constant of the shape": (lambda m, x: x + x.new_ones(x.shape[1]).cumsum(0), ROW, ["affine"], {}),
    "whole features": (lambda m, x: m.drop(x), IMAGE, ["dropout"], {"drop": nn.Dropout2d(0.25)}),
    "whole samples": (lambda m, x: m.drop(x), IMAGE, ["dropout"], {"drop": StochasticDepth(0.25, "row")}),
    "paths": (lambda m, x: x + m.drop(x.tanh()), ROW, ["merge", "dropout", "merge"], {"drop": DropPath(0.25)}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_comes_in(name: str) -> None:
    function, shape, kinds, parts = OPERATIONS[name]
    model, x = made(function, shape, **parts)
    check(model, x, kinds)


@pytest.mark.parametrize(
    "name",
    [
        *("gate of its mean", "layer scale", "standardised", "hard swish as written", "to a size", "linear"),
        *(
            "zeros beside",
            "reflected",
            "mean without padding",
            "oblong kernel",
            "halves",
            "a class token",
            "shuffled",
        ),
    ],
)
def test_an_operation_comes_in_by_torch_export(name: str) -> None:
    function, shape, kinds, parts = OPERATIONS[name]

    def checked(model: Any, x: Tensor) -> Tensor:
        if x.shape[0] > 100:  # torch.fx cannot follow this
            raise ValueError
        return function(model, x)

    model, x = made(checked, shape, **parts)
    check(model, x, kinds)


@pytest.mark.parametrize(
    "name",
    [
        *("gate of a row", "layer scale", "leaky", "standardised", "to a size", "reflected", "whole samples"),
        *(
            "mean without padding",
            "oblong kernel",
            "largest of all",
            "groups",
            "groups that widen",
            "some features",
            "each second",
            "shuffled",
            "a class token",
            "trained slopes",
            "an image of a row",
            "an image of a sequence",
            "shares at each position",
        ),
    ],
)
@pytest.mark.parametrize("file", ["net.py", "net.onnx", "net.pt2"])
def test_an_operation_goes_out(name: str, file: str, tmp_path: Path) -> None:
    function, shape, _, parts = OPERATIONS[name]
    model, x = made(function, shape, **parts)
    network = from_torch(model.float(), x.float())
    assert export(network, tmp_path / file).difference < 1e-5


class SqueezeExcitation(nn.Module):
    """As MobileNetV3 and EfficientNet have it."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.hardsigmoid(self.fc2(functional.silu(self.fc1(self.avgpool(x))))) * x


class Excited(nn.Module):
    """Convolutions, a gate, and a branch that is scaled before it is added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.gate = SqueezeExcitation(4, 2)
        self.branch, self.gamma = nn.Conv2d(4, 4, 3, padding=1), nn.Parameter(torch.full((4, 1, 1), 0.3))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.gate(functional.silu(self.norm(self.stem(x))))
        x = x - self.gamma * torch.tanh(self.branch(x)) / 2
        return self.head(x.mean((2, 3)))


def test_squeeze_and_excitation_grows_on_both_sides() -> None:
    """The map, its gate and the residual branch get new channels together; the slope is what the loss does."""
    torch.manual_seed(0)
    model, x = Excited().double(), torch.randn(6, 3, 6, 6).double()
    network = from_torch(model, x)
    torch.testing.assert_close(network.eval()(x), model.eval()(x))
    data = [(torch.randn(50, 3, 6, 6).double(), torch.randn(50, 3).double()) for _ in range(2)]
    loss = nn.functional.mse_loss
    scheduler = GrowthScheduler(network, loss)
    found = {candidate.target: candidate for candidate in scheduler.plan(data).candidates}
    assert found["stem"].group.producers == ("stem", "gate.fc2", "branch")
    assert not found["stem"].weights.fan_in[1].weight.any()  # the gate of a new channel is constant at first

    def total(of: nn.Module) -> float:
        with torch.no_grad():
            return sum(float(loss(of(a), b)) for a, b in data) / len(data)

    for target in ("stem", "gate.fc1"):
        candidate, gamma = found[target], 1e-8
        draft = candidate.draft(network, network.spec.growth)
        measured = (total(network) - total(draft.at(gamma))) / gamma
        assert candidate.slope == pytest.approx(measured, rel=3e-2)
    before = network.spec.nodes["gate.fc2"].features
    scheduler.apply(found["stem"], 0.01)
    assert network.spec.nodes["gate.fc2"].features == before + found["stem"].neurons
    torch.testing.assert_close(network.to_torch()(x), network(x))


def test_whole_samples_are_dropped_in_training() -> None:
    spec = parse_spec("""
nodes:
  x: {kind: input, shape: [3, 4, 4]}
  y: {kind: dropout, from: x, p: 0.25, drop: samples}
output: y
""")
    network = compile_network(spec).train()
    x = torch.ones(400, 3, 4, 4)
    for drop in (network, network.to_torch()):
        torch.manual_seed(0)
        found = drop(x).flatten(1)
        assert torch.equal(found, found[:, :1].expand_as(found))
        assert found[:, 0].unique().tolist() == pytest.approx([0.0, 4 / 3])
        assert 0.15 < float((found[:, 0] == 0).float().mean()) < 0.35


def test_a_trace_by_export_knows_its_operations() -> None:
    model, x = made(*OPERATIONS["square"][:2])
    assert not isinstance(trace_by_export(model, {"x": x}), tuple)


class Standardised(nn.Conv2d):
    """A weight of mean 0 and variance 1 for each channel, times a learned gain."""

    def __init__(self) -> None:
        super().__init__(4, 6, 3)
        self.gain = nn.Parameter(torch.ones(6, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        weight = functional.batch_norm(
            self.weight.reshape(1, 6, -1), None, None, weight=(self.gain * 0.3).view(-1), training=True
        ).reshape_as(self.weight)
        return functional.conv2d(x, weight, self.bias)


@pytest.mark.parametrize(
    "layer",
    [Standardised, lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3))],
    ids=["standardised", "weight norm"],
)
def test_weights_computed_from_weights_are_folded_into_the_layer(layer: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(layer(), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.Flatten()).double()
    network = from_torch(model, torch.zeros(1, *IMAGE).double())
    agree(model, network, IMAGE)
    assert network.parts["conv2d.0"].weight.requires_grad
    assert [name for name, _ in network.parts["conv2d.0"].named_parameters()] == ["weight", "bias"]
    grown(network, IMAGE)
    agree(network, network.to_torch(), IMAGE)


class Mixed(nn.Module):
    """Tokens are mixed and scaled by a factor for each feature, as ResMLP does."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.factor = nn.Parameter(torch.rand(4)), nn.Parameter(torch.rand(4))
        self.shift = nn.Parameter(torch.rand(1, 1, 4))
        self.tokens, self.out = nn.Linear(7, 7), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.addcmul(self.shift, self.scale, x.transpose(1, 2))
        x = x + self.factor.sin() * self.tokens(x.transpose(1, 2)).transpose(1, 2)
        return self.out(x.mean(1))


def test_factors_of_features_behind_mixed_positions() -> None:
    torch.manual_seed(0)
    model = Mixed().double()
    network = from_torch(model, torch.zeros(1, *SEQUENCE).double())
    agree(model, network, SEQUENCE)


def test_features_that_were_shuffled_are_split() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.out = nn.Conv2d(4, 6, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            size, channels, height, width = x.shape
            x = x.view(size, 2, channels // 2, height, width).transpose(1, 2).contiguous()
            one, other = x.view(size, channels, height, width).chunk(2, dim=1)
            return torch.cat([one, self.out(other)], dim=1).mean((2, 3))

    torch.manual_seed(0)
    model = Halves().double()
    network = from_torch(model, torch.zeros(1, *IMAGE).double())
    agree(model, network, IMAGE)


def test_features_behind_a_norm_are_split() -> None:
    class Partly(nn.Module):
        """The first features of a block are added to what it reads."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm = nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)

        def forward(self, x: Tensor) -> Tensor:
            inside = self.norm(self.stem(x))
            return torch.cat([inside[:, :4] + x, inside[:, 4:]], dim=1).mean((2, 3))

    torch.manual_seed(0)
    model = Partly().double()
    network = from_torch(model, torch.zeros(1, *IMAGE).double())
    agree(model, network, IMAGE)
