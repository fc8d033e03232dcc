"""from_torch: models as people write them become networks that compute the same, grow, and come out again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import (
    GrowingNetwork,
    GrowthScheduler,
    Spec,
    TorchImportError,
    compile_network,
    dump_spec,
    from_torch,
    parse_spec,
)
from gromo_graph.interop import importing
from gromo_graph.spec.settings import Growth
from tests.interop.models import (
    MLP,
    VGG,
    ConvMixer,
    DenseNet,
    Mixer,
    ResNet18,
    SequenceDecoder,
    Several,
    TransposedUNet,
    UNet,
)
from tests.network.test_any_spec import batch, outputs
from tests.network.test_plain import without_dropout
from tests.spec.strategies import specs

MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (MLP, (8, 8)),
    "vgg": (VGG, (3, 16, 16)),
    "resnet": (ResNet18, (3, 32, 32)),
    "densenet": (DenseNet, (3, 8, 8)),
    "unet": (lambda: UNet(up=nn.Upsample(scale_factor=2)), (1, 8, 8)),
    "dilated unet": (UNet, (1, 8, 8)),
    "mixer": (Mixer, (1, 8, 8)),
    "convmixer": (ConvMixer, (8, 8)),
    "transposed unet": (TransposedUNet, (1, 8, 8)),
    "sequence decoder": (SequenceDecoder, (6, 1)),
}


def made(
    name: str, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[nn.Module, tuple[int, ...]]:
    """A model with running statistics as after some training."""
    torch.manual_seed(seed)
    build, shape = MODELS[name]
    model = build().to(dtype)
    with torch.no_grad():
        for _ in range(3):
            model(1.5 * torch.randn(6, *shape, dtype=dtype) + 0.3)
    return model, shape


def values(found: Any) -> list[Tensor]:
    if isinstance(found, dict):
        return list(found.values())
    return [found] if isinstance(found, Tensor) else list(found)


def agree(
    model: nn.Module, network: nn.Module, *shapes: tuple[int, ...], close: float = 1e-12, samples: int = 5
) -> None:
    """Outputs in evaluation and in training with the same draws, and the running statistics that training leaves."""
    like = next(model.parameters())
    one, other = copy.deepcopy(model), copy.deepcopy(network)
    inputs = [torch.randn(samples, *shape, dtype=like.dtype) for shape in shapes]
    for training in (False, True, False):
        found = []
        for module in (one, other):
            module.train(training)
            torch.manual_seed(1)
            found.append(values(module(*(value.clone() for value in inputs))))
        assert len(found[0]) == len(found[1])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(b, a, rtol=0, atol=close)


@pytest.mark.parametrize("name", MODELS)
def test_the_network_computes_what_the_model_does(name: str) -> None:
    model, shape = made(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    network = from_torch(model, torch.zeros(1, *shape, dtype=torch.float64))
    agree(model, network, shape)
    assert network.training == model.training
    assert network.graph.parameter_count == sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in network.parameters()) == network.graph.parameter_count
    for key, value in model.state_dict().items():
        assert torch.equal(before[key], value), key
    state = torch.random.get_rng_state()
    from_torch(model, torch.zeros(1, *shape, dtype=torch.float64))
    assert torch.equal(state, torch.random.get_rng_state())
    ours = {p.data_ptr() for p in network.parameters()}
    assert not ours & {p.data_ptr() for p in model.parameters()}


@pytest.mark.parametrize("name", MODELS)
def test_its_spec_is_a_document_that_makes_the_same_network(name: str) -> None:
    model, shape = made(name)
    network = from_torch(model, torch.randn(2, *shape, dtype=torch.float64), name="again")
    spec = parse_spec(dump_spec(network.spec))
    assert spec == network.spec
    again = compile_network(spec, seed=7, dtype=torch.float64)
    again.load_state_dict(network.state_dict())
    agree(model, again, shape)


@pytest.mark.parametrize("name", MODELS)
def test_in_float32_to_a_millionth(name: str) -> None:
    model, shape = made(name, dtype=torch.float32)
    network = from_torch(model, torch.randn(2, *shape))
    agree(model, network, shape, close=2e-6)


def grown(network: GrowingNetwork, *shapes: tuple[int, ...], samples: int = 40) -> None:
    """One growth step on random data; the outputs are flattened."""
    generator = torch.Generator().manual_seed(0)
    like = next(network.parameters()).dtype
    x = torch.randn(samples, *shapes[0], generator=generator, dtype=like)
    with torch.no_grad():
        y = torch.randn(network.eval()(x[:1]).flatten(1).shape[1], generator=generator, dtype=like)

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction.flatten(1) - y * target).square().mean()

    target = x.flatten(1).mean(dim=1, keepdim=True)
    scheduler = GrowthScheduler(network, loss, policy=Growth(neurons={"per_step": 2}), epochs=4)  # type: ignore[arg-type]
    before = network.graph.parameter_count
    event = scheduler.step([(x, target)], [(x, target)])
    assert event is not None
    assert event.decision is not None, event.reason
    assert network.graph.parameter_count > before


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_it_grows_and_comes_out_as_plain_torch(name: str) -> None:
    model, shape = made(name)
    network = from_torch(model, torch.randn(2, *shape, dtype=torch.float64))
    grown(network, shape)
    plain = network.to_torch()
    agree(network, plain, shape)
    agree(network, from_torch(plain, torch.randn(2, *shape, dtype=torch.float64)), shape)


def test_a_resnet_is_read_as_it_was_written() -> None:
    model, shape = made("resnet")
    network = from_torch(model, torch.zeros(1, *shape, dtype=torch.float64))
    spec = network.spec
    assert spec.name == "ResNet18"
    assert spec.nodes["layer1.0.add"].sources == ("layer1.0.bn2", "maxpool")
    assert spec.nodes["layer1.0.add"].activation == "relu"
    assert spec.nodes["layer2.0.downsample.0"].stride == 2
    assert not [name for name, node in spec.nodes.items() if node.kind == "merge" and len(node.sources) < 2]
    assert list(spec.nodes)[:3] == ["x", "conv1", "bn1"]
    growing = {group.target for group in network.graph.groups if group.reason is None}
    assert "layer3.0.conv1" in growing


def test_several_inputs_and_a_dict_of_outputs() -> None:
    torch.manual_seed(0)
    model = Several().double()
    example = torch.zeros(2, 1, 8, 8).double(), torch.zeros(2, 5).double()
    network = from_torch(model, example)
    assert network.spec.inputs == ("picture", "numbers")
    picture, numbers = torch.randn(3, 1, 8, 8).double(), torch.randn(3, 5).double()
    expected, found = model(picture, numbers), network(numbers=numbers, picture=picture)
    assert list(found) == ["size", "digit", "told"]
    assert (
        network.spec.nodes["told"].activation == "sigmoid"
    )  # what goes by the key, where a layer had its name
    assert network.spec.nodes["told.2"].kind == "linear"
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)
    again = from_torch(model, {"numbers": example[1], "picture": example[0]})
    torch.testing.assert_close(
        again(picture=picture, numbers=numbers)["size"], expected["size"], rtol=0, atol=1e-12
    )


class Tuples(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.a(x)
        return self.b(functional.relu(h)), h


def test_a_tuple_of_outputs_becomes_a_dict_in_the_same_order() -> None:
    model = Tuples().double()
    network = from_torch(model, torch.zeros(2, 3).double())
    assert network.spec.outputs == ("b", "a")
    assert network.spec.nodes["relu"].kind == "merge"  # what it bends is an output as well
    agree(model, network, (3,))


class Shapes(nn.Module):
    """Ways to get from an image to a row."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv = nn.Conv2d(2, 3, 3)
        self.out = nn.Linear(3 if way in ("mean", "squeeze", "two", "sequence") else 48, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        match self.way:
            case "mean":
                x = torch.mean(x, (-2, -1))
            case "squeeze":
                x = functional.adaptive_avg_pool2d(x, (1, 1)).squeeze(-1).squeeze(-1)
            case "two":
                x = (
                    x.mean((2, 3), keepdim=True)[:, :, 0, 0]
                    if False
                    else x.mean((2, 3), keepdim=True).view(-1, 3)
                )
            case "sequence":
                x = x.flatten(2).mean(2)
            case "view":
                x = x.view(x.shape[0], 48)
            case "reshape":
                x = x.reshape(x.size()[0], -1).contiguous()
            case "there and back":
                x = torch.relu(x.flatten(1)).view(-1, 3, 4, 4).flatten(1)
            case "unflatten":
                x = x.flatten(1).unsqueeze(1).squeeze(1)
        return self.out(x)


@pytest.mark.parametrize(
    "way", ["mean", "squeeze", "two", "sequence", "view", "reshape", "there and back", "unflatten"]
)
def test_ways_from_an_image_to_a_row(way: str) -> None:
    model = Shapes(way).double()
    agree(model, from_torch(model, torch.zeros(1, 2, 6, 6).double()), (2, 6, 6))


class Functional(nn.Module):
    """Weights held by hand, subclasses of torch's layers, functional dropout."""

    class Own(nn.Conv2d):
        pass

    def __init__(self) -> None:
        super().__init__()
        self.conv = self.Own(1, 3, 3)
        self.weight = nn.Parameter(torch.randn(5, 48))
        self.bias = nn.Parameter(torch.randn(5))
        self.norm = nn.BatchNorm1d(5)
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.avg_pool2d(functional.elu(self.conv(x)), 1)
        x = functional.linear(x.flatten(1), self.weight, bias=self.bias)
        x = functional.dropout(x, p=0.25, training=self.training)
        n = self.norm
        x = functional.batch_norm(
            x, n.running_mean, n.running_var, n.weight, n.bias, self.training, 0.1, n.eps
        )
        return self.out(sum([x, functional.leaky_relu(x)]))


def test_weights_held_by_hand() -> None:
    torch.manual_seed(0)
    model = Functional().double()
    network = from_torch(model, torch.zeros(1, 1, 6, 6).double())
    agree(model, network, (1, 6, 6))
    assert network.spec.nodes["dropout"].p == 0.25


class Static(nn.Module):
    """Control flow on shapes, which torch.fx refuses and torch.export follows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.drop, self.out = nn.Dropout(0.4), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu_()
        while x.shape[-1] > 2:
            x = functional.max_pool2d(x, 2)
        x = x + x.clone().tanh()
        return self.out(self.drop(x.view(x.size(0), -1)))


def test_what_fx_cannot_follow_is_read_by_torch_export() -> None:
    torch.manual_seed(0)
    model = Static().double()
    model(torch.randn(5, 1, 8, 8).double())
    network = from_torch(model, torch.zeros(1, 1, 8, 8).double())
    agree(model, network, (1, 8, 8))
    assert network.spec.nodes["norm"].kind == "batch_norm"
    assert [node.kind for node in network.spec.nodes.values()].count("max_pool2d") == 2


class Sized(nn.Module):
    """A transposed convolution that is told its size, as where the size on the way down was odd; read both ways."""

    def __init__(self, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.down = nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(2, 1, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        down = torch.tanh(self.down(x))
        if self.halves and down.shape[-1] * 2 != x.shape[-1]:  # torch.fx refuses it
            return down
        return self.up(down, output_size=x.shape[2:]) + x


@pytest.mark.parametrize("halves", [False, True])
def test_a_transposed_convolution_may_be_told_its_size(halves: bool) -> None:
    torch.manual_seed(0)
    model = Sized(halves).double()
    for size, further in ((8, 1), (7, 0)):
        if halves and size % 2:
            continue
        network = from_torch(model, torch.zeros(1, 1, size, size).double())
        agree(model, network, (1, size, size))
        node = next(node for node in network.spec.nodes.values() if node.kind == "conv_transpose2d")
        assert (node.stride, node.output_padding) == (2, further)  # type: ignore[attr-defined]


def test_weights_that_two_transposed_convolutions_share_are_told() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(2, 2, 2, 2))

        def forward(self, x: Tensor) -> Tensor:
            up = functional.conv_transpose2d(x, self.kernel, stride=2)
            return functional.conv_transpose2d(up, self.kernel, stride=2)

    with pytest.raises(TorchImportError, match="shares its weights with"):
        from_torch(Shared(), torch.zeros(1, 2, 3, 3))


def test_modes_and_what_is_frozen_are_taken_over() -> None:
    model, shape = made("resnet")
    model.train()
    model.get_submodule("bn1").eval()
    model.get_submodule("conv1").requires_grad_(False)
    network = from_torch(model, torch.zeros(1, *shape, dtype=torch.float64))
    assert network.training
    assert not network.parts["bn1"].training
    assert network.parts["layer1.0.bn1"].training
    frozen = [
        name for name, part in network.parts.items() if any(not p.requires_grad for p in part.parameters())
    ]
    assert frozen == ["conv1"]
    assert not from_torch(model.eval(), torch.zeros(1, *shape, dtype=torch.float64)).training


def test_sums_of_many_become_one_and_activations_move_into_their_nodes() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
            self.out = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            a, b, c = (layer(x) for layer in self.layers)
            return self.out(functional.relu(a + b + c + x) + functional.relu(a))

    torch.manual_seed(0)
    model = Many().double()
    network = from_torch(model, torch.zeros(1, 4).double())
    kinds = {name: node.sources for name, node in network.spec.nodes.items() if node.kind == "merge"}
    assert ("layers.0", "layers.1", "layers.2", "x") in kinds.values()
    agree(model, network, (4,))


class Keyed(nn.Module):
    """Keys that are names of an input, of a layer, and no names at all."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.layer(x)
        return {"x": self.out(h), "a->b": h, "": torch.tanh(h), "layer": torch.sigmoid(h)}


def test_keys_of_outputs_become_names_where_they_can() -> None:
    torch.manual_seed(0)
    model = Keyed().double()
    network = from_torch(model, torch.zeros(1, 4).double())
    assert network.spec.inputs == ("x",)
    assert network.spec.outputs == ("x.2", "a-b", "node", "layer")
    agree(model, network, (4,))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.Linear(4, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.layer(x)
        y = self.out(torch.cat([x + x, x], 1))
        return y, x, y


def test_a_value_that_is_taken_twice() -> None:
    torch.manual_seed(0)
    model = Twice().double()
    network = from_torch(model, torch.zeros(1, 4).double())
    agree(model, network, (4,))
    assert network.spec.nodes["add"].sources == ("layer", "layer.again")
    assert network.spec.outputs == ("out", "layer", "out.again")


class Options(nn.Module):
    """Arguments with defaults that the forward pass asks about."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, bend: bool = True, times: int = 2, scale: float | None = None) -> Tensor:
        x = self.layer(x)
        for _ in range(times):
            x = x.tanh() if bend else x
        return self.out(x if scale is None else x * scale)


def test_arguments_that_are_left_out_have_their_defaults() -> None:
    torch.manual_seed(0)
    model = Options().double()
    network = from_torch(model, torch.zeros(1, 4).double())
    agree(model, network, (4,))
    assert [node.kind for node in network.spec.nodes.values()] == ["input", "linear", "merge", "linear"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs(max_nodes=10, tokens=False, attention=False))
def test_any_network_comes_out_and_in_again(spec: Spec) -> None:
    network = without_dropout(compile_network(spec, seed=0, dtype=torch.float64))
    plain = network.to_torch()
    inputs = batch(network, samples=2)
    again = from_torch(plain, inputs)
    assert again.graph.parameter_count == network.graph.parameter_count
    for training in (False, True):
        network.train(training)
        again.train(training)
        found = again(*batch(network))
        for one, other in zip(outputs(network, *batch(network)), values(found), strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-9)


class FeaturesLast(nn.Module):
    """A model of one function behind an embedding that leaves (n, length, features)."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.embed, self.wide, self.back = nn.Conv2d(2, 5, 2, stride=2), nn.Linear(5, 7), nn.Linear(7, 5)
        self.tokens, self.norm, self.positions = nn.Linear(6, 6), nn.LayerNorm(5), nn.LayerNorm(6)
        self.whole, self.drop, self.pool = nn.LayerNorm([6, 5]), nn.Dropout(0.5), nn.AdaptiveAvgPool1d(1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, self.embed(x))


FEATURES_LAST: dict[str, tuple[Callable[[Any, Tensor], Tensor], set[str]]] = {
    "linear": (lambda m, x: m.wide(x.flatten(2).transpose(1, 2)).mean(1), {"conv1d"}),
    "positions last as they are": (lambda m, x: m.tokens(x.flatten(2)).flatten(1), {"transpose", "conv1d"}),
    "a norm along positions": (lambda m, x: m.positions(x.flatten(2)).flatten(1), {"transpose", "layer_norm"}),
    "images": (lambda m, x: m.wide(m.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2), {"conv2d", "layer_norm"}),
    "images by movedim": (lambda m, x: m.norm(x.movedim(1, -1)).movedim(-1, 1), {"layer_norm"}),
    "a mean over images": (lambda m, x: m.norm(x.permute(0, 2, 3, 1)).mean((1, 2)), {"adaptive_avg_pool2d"}),
    "mT, a pool": (lambda m, x: m.pool(m.norm(x.flatten(2).mT).mT).flatten(1), {"adaptive_avg_pool1d"}),
    "flat, positions first": (lambda m, x: m.norm(x.flatten(2).mT).flatten(1), {"transpose", "flatten"}),
    "an output of features last": (lambda m, x: m.norm(x.flatten(2).mT), {"transpose"}),
    "all values, positions first": (lambda m, x: m.whole(x.flatten(2).mT).sigmoid(), {"transpose"}),
    "a residual": (lambda m, x: _residual(m, x.flatten(2).mT), {"sequence", "merge"}),
    "sums of either order": (lambda m, x: x.flatten(2).mT + m.tokens(x.flatten(2)).mT, {"transpose", "merge"}),
    "a concat of features": (lambda m, x: torch.cat([m.wide(y := x.flatten(2).mT), y], -1).mT, {"merge"}),
    "a concat of positions": (lambda m, x: torch.cat([y := x.flatten(2).mT, m.norm(y)], 1), {"transpose"}),
    "a concat of rows along the last": (lambda m, x: torch.cat([y := x.flatten(2), m.tokens(y)], -1), {"merge"}),
    "dropout": (lambda m, x: m.wide(m.drop(x.flatten(2).mT.relu())).mean(1), {"dropout"}),
    "back to an image": (lambda m, x: m.norm(x.flatten(2).mT).mT.flatten(1), {"flatten"}),
    "swapped twice": (lambda m, x: x.flatten(2).mT.mT.swapaxes(1, 2).moveaxis(2, 1), {"sequence"}),
}  # fmt: skip


def _residual(model: Any, x: Tensor) -> Tensor:
    x = x + model.back(functional.gelu(model.wide(model.norm(x))))
    return (x + model.tokens(x.transpose(1, 2)).transpose(1, 2)).mean(dim=1)


@pytest.mark.parametrize("by_export", [False, True], ids=["fx", "export"])
@pytest.mark.parametrize("name", FEATURES_LAST)
def test_features_behind_positions(name: str, by_export: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_export:
        monkeypatch.setattr(importing, "trace_by_fx", lambda *_: [])
    function, kinds = FEATURES_LAST[name]
    torch.manual_seed(0)
    model = FeaturesLast(function).double()
    with torch.no_grad():
        for norm in (model.norm, model.positions, model.whole):
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.uniform_(-1.0, 1.0)
    network = from_torch(model.eval(), torch.zeros(2, 2, 4, 6).double())
    x = torch.randn(3, 2, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-12)
    assert kinds <= {node.kind for node in network.spec.nodes.values()}
    again = from_torch(network.to_torch(), x)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=1e-12)


def test_a_mixer_is_read_with_as_few_transposes_as_it_has() -> None:
    model, shape = made("mixer")
    network = from_torch(model, torch.zeros(1, *shape, dtype=torch.float64))
    kinds = [node.kind for node in network.spec.nodes.values()]
    assert (kinds.count("transpose"), kinds.count("sequence"), kinds.count("flatten")) == (4, 1, 1)
    norms = [node for node in network.spec.nodes.values() if node.kind == "layer_norm"]
    assert {norm.over for norm in norms} == {"features"}
    assert network.spec.nodes["blocks.0.add"].sources == ("patches.sequence", "blocks.0.tokens.2.turned")


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
        TorchImportError, match=r"adds the parameter `places` of shape \[3, 1, 1\] to \[3, 4, 5\]"
    ):
        from_torch(Places(3, 1, 1).double(), x)


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


def test_one_head_of_attention_comes_in_as_a_function() -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(4, size) for size in (3, 3, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = functional.scaled_dot_product_attention(
                self.query(x), self.key(x), self.value(x), scale=0.3
            )
            return found.mean(dim=1)

    model, x = Head().double(), torch.randn(3, 5, 4, dtype=torch.float64)
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x), rtol=0, atol=1e-12)
    again = from_torch(network.to_torch(), x)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=1e-12)
    kinds = [node.kind for node in again.spec.nodes.values()]
    assert kinds.count("attention") == 1


class Attending(nn.Module):
    """Attention alone, called as it is told to."""

    def __init__(self, call: Callable[[Any, torch.Tensor], Any], **options: Any) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, **{"batch_first": True, **options})
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.attend, x)[0].mean(dim=1)


ATTENTION: dict[str, tuple[Callable[[Any, torch.Tensor], Any], dict[str, Any], str | None]] = {
    "plain": (lambda m, x: m(x, x, x), {}, None),
    "without biases": (lambda m, x: m(x, x, x, need_weights=False), {"bias": False}, None),
    "other keys": (lambda m, x: m(x, x.tanh(), x.tanh()), {}, None),
    "a mask": (lambda m, x: m(x, x, x, attn_mask=torch.zeros(5, 5)), {}, "is given a mask"),
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


def test_an_embedding_with_a_padding_index_is_refused() -> None:
    with pytest.raises(TorchImportError, match="its padding_idx is 0"):
        from_torch(Reader(padding_idx=0).double(), torch.zeros(2, 6, dtype=torch.long))
