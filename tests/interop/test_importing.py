"""from_torch: models as people write them become networks that compute the same, grow, and come out again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

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
    """Control flow on shapes."""

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


def test_control_flow_on_shapes_is_followed() -> None:
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


@settings(max_examples=30)
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


class Checkpointed(nn.Module):
    """Computes a part anew in the backward pass, which torch calls without gradients at first if it is reentrant."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 2)
        self.inner = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(checkpoint(self.inner, self.first(x), use_reentrant=True))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("training", [False, True])
def test_a_part_that_is_checkpointed_comes_in(training: bool) -> None:
    model = Checkpointed().double().train(training)
    network = from_torch(model, torch.zeros(1, 4).double())
    assert list(network.spec.nodes) == ["x", "first", "inner.0", "inner.2", "last"]
    agree(model, network, (4,))


class Auxiliary(nn.Module):
    """Several outputs in training alone, as googlenet has them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.aux, self.head = nn.Linear(5, 6), nn.Linear(6, 2), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.stem(x).relu()
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


def test_a_model_in_evaluation_mode_is_what_it_computes_there() -> None:
    model = Auxiliary().double()
    assert "aux" not in from_torch(model.eval(), torch.zeros(1, 5).double()).spec.nodes
    with pytest.raises(TorchImportError, match="gives other outputs in evaluation mode"):
        from_torch(model.train(), torch.zeros(1, 5).double())
