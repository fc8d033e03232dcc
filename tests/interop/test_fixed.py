"""allow_fixed: what a spec cannot say stays as it is, and the rest of the network grows."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gromo_graph import (
    CompileError,
    GraphError,
    GrowingNetwork,
    GrowthScheduler,
    SpecError,
    compile_network,
    dump_spec,
    edit,
    export,
    from_torch,
    parse_spec,
    render,
)
from gromo_graph.spec.settings import Growth
from tests.interop.models import Mixer, MixerBlock, UNet
from tests.interop.test_importing import agree, grown

SHAPE = (1, 8, 8)
EXAMPLE = torch.zeros(1, *SHAPE, dtype=torch.float64)


def unet(*, seed: int = 0) -> tuple[nn.Module, GrowingNetwork]:
    torch.manual_seed(seed)
    up = nn.Sequential(
        nn.ConvTranspose2d(8, 8, 2, stride=2, groups=2), nn.AlphaDropout(0.0), nn.Hardshrink(0.01)
    )
    model = UNet(up=up).double()
    return model, from_torch(model, EXAMPLE, allow_fixed=True)


def test_modules_without_a_kind_are_kept_each_as_a_node() -> None:
    model, network = unet()
    fixed = {name: node.details for name, node in network.spec.nodes.items() if node.kind == "fixed"}
    assert fixed == {"up.0": ("ConvTranspose2d",), "up.1": ("AlphaDropout",), "up.2": ("Hardshrink",)}
    agree(model, network, SHAPE)
    assert network.graph.parameter_count == sum(p.numel() for p in network.parameters())
    assert network.parts["up.0"] is not model.get_submodule("up.0")
    for many in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):  # noqa: S301 - what was just written
        agree(model, many, SHAPE)
    for _ in range(20):  # the quick way
        network(EXAMPLE)
    agree(model, network, SHAPE)


def test_what_enters_and_leaves_them_does_not_grow_and_the_rest_does() -> None:
    _, network = unet()
    reasons = {group.target: group.reason for group in network.graph.groups}
    assert reasons["down2.0"] == "the imported module `up.0` reads it as it is"
    assert reasons["down1.0"] is None
    widths = {name: network.graph.shapes[name] for name in ("up.0", "down2.0", "bottom")}
    grown(network, SHAPE)
    assert {name: network.graph.shapes[name] for name in widths} == widths
    agree(network, network.to_torch(), SHAPE)
    before = network.parts["up.0"].weight.clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.randn(4, *SHAPE).double()).square().sum().backward()
    optimizer.step()
    assert not torch.equal(before, network.parts["up.0"].weight)


def test_new_edges_and_nodes_beside_them() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.odd, self.b = nn.Linear(6, 5), nn.Hardshrink(0.1), nn.Linear(5, 4)
            self.out = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.tanh(self.b(self.odd(self.a(x)))))

    torch.manual_seed(0)
    model = Rows().double()
    network = from_torch(model, torch.zeros(1, 6).double(), allow_fixed=True)
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0)).double()
    y = (x[:, :2] * x[:, 2:4]).tanh()
    policy = Growth(actions=("widen", "new_edge", "new_node"))
    scheduler = GrowthScheduler(network, nn.functional.mse_loss, policy=policy, epochs=16)
    plan = scheduler.plan([(x, y)])
    assert "odd->out" in {each.target for each in plan.candidates if each.slope}
    for _ in range(3):
        event = scheduler.step([(x, y)], [(x, y)])
        assert event is not None
        assert event.decision is not None
        assert event.loss_after < event.loss_before
    agree(network, network.to_torch(), (6,))


def test_edits_keep_them() -> None:
    _, network = unet()
    x = torch.randn(3, *SHAPE).double()
    expected = network.eval()(x)
    part = network.parts["up.0"]
    with edit(network) as e:
        e.rename("up.0", "lift").set_features("joint", 6)
    assert network.parts["lift"] is part
    torch.testing.assert_close(network(x), expected)
    with edit(network) as e:
        e.insert("lift", "up.1", "between", {"kind": "batch_norm"})
    torch.testing.assert_close(network(x), expected)
    with pytest.raises((GraphError, SpecError), match="was imported to read"), edit(network) as e:
        e.set_features("down2.0", 9)
    torch.testing.assert_close(network(x), expected)


def test_such_a_spec_is_drawn_and_exported_but_neither_written_as_source_nor_read(tmp_path: Path) -> None:
    _, network = unet()
    render(network, tmp_path / "u.svg")
    assert "Hardshrink" in (tmp_path / "u.svg").read_text()
    assert export(network, tmp_path / "u.pt2").difference == 0.0
    with pytest.raises(
        CompileError, match=r"`up.1` is a torch.nn.modules.dropout.AlphaDropout that was imported"
    ):
        export(network, tmp_path / "u.py")
    with pytest.raises(SpecError, match='unknown kind "fixed"'):
        parse_spec(dump_spec(network.spec))
    with pytest.raises(CompileError, match="only from_torch can make it"):
        compile_network(network.spec)


class Patches(nn.Module):
    """To tokens, mixed, and back to an image: what cannot be mapped is in modules of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.body = nn.Conv2d(1, 6, 2, stride=2), Body()
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.patches(x)))


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = MixerBlock(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)


def test_positions_of_a_sequence_that_become_an_image_again_keep_nothing() -> None:
    torch.manual_seed(0)
    model = Patches().double()
    network = from_torch(model, EXAMPLE, allow_fixed=True)
    assert "fixed" not in {node.kind for node in network.spec.nodes.values()}
    agree(model, network, SHAPE)


def test_a_call_of_the_model_itself_is_kept_alone() -> None:
    class Waves(Mixer):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).sin()

    torch.manual_seed(0)
    model = Waves().double()
    network = from_torch(model, EXAMPLE, allow_fixed=True)
    assert {name: node.details for name, node in network.spec.nodes.items() if node.kind == "fixed"} == {
        "sin": ("sin",)
    }
    agree(model, network, SHAPE)


class Scaled(nn.Module):
    """Calls that a spec cannot express: with a weight, in the order of a transformer, and with the shape of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.rand(6) + 1.0)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > 1000:  # a path that only the shapes decide
            raise ValueError("too large")
        return (x.abs() + 1).pow(self.power)


class FeaturesBehind(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm, self.scaled = nn.Conv2d(1, 6, 2, stride=2), nn.LayerNorm(6), Scaled()
        self.wide, self.narrow, self.head = nn.Linear(6, 9), nn.Linear(9, 6), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        x = x + self.narrow(self.wide(self.norm(self.scaled(x))).relu())
        return self.head(x.permute(0, 3, 1, 2)).mean((2, 3))


def test_layers_behind_a_kept_call_are_read_and_grow() -> None:
    torch.manual_seed(0)
    model = FeaturesBehind().double()
    network = from_torch(model, EXAMPLE, allow_fixed=True)
    kinds = {name: node.kind for name, node in network.spec.nodes.items()}
    assert [name for name, kind in kinds.items() if kind == "fixed"] == ["scaled.abs", "scaled.pow"]
    assert kinds["wide"] == kinds["narrow"] == "conv2d"
    agree(model, network, SHAPE)
    agree(network, pickle.loads(pickle.dumps(network)), SHAPE)  # noqa: S301 - what was just written
    assert 0.5 < network.growing_share < 1
    grown(network, SHAPE)
    agree(network, network.to_torch(), SHAPE)


def test_a_kept_shape_holds_for_any_batch() -> None:
    class Tiles(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(x.shape[0], 3, 2, -1).flatten(2).mean(1)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 1), nn.Flatten(), Tiles(), nn.Linear(128, 3)).double()
    network = from_torch(model, EXAMPLE, allow_fixed=True)
    assert "fixed" in {node.kind for node in network.spec.nodes.values()}
    agree(model, network, SHAPE)


def test_a_module_that_gives_several_values_is_kept_with_the_one_around_it() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(4, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x)[0]

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.recurrent, self.last = nn.Conv1d(3, 5, 1), Recurrent(), nn.Conv1d(5, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.recurrent(self.first(x)))

    torch.manual_seed(0)
    model = Steps().double()
    network = from_torch(model, torch.zeros(1, 3, 4).double(), allow_fixed=True)
    assert network.spec.nodes["recurrent"].kind == "fixed"
    agree(model, network, (3, 4))


def test_modes_inside_them_are_taken_over() -> None:
    model, _ = unet()
    model.train()
    model.get_submodule("up.1").eval()
    network = from_torch(model, EXAMPLE, allow_fixed=True)
    assert network.parts["up.0"].training
    assert not network.parts["up.1"].training


def test_a_kept_module_reads_the_positions_of_an_image_in_a_row() -> None:
    class Talking(nn.Module):
        """Reads (n, positions, features) and refuses anything else."""

        def forward(self, x: Tensor) -> Tensor:
            _, _, width = x.shape
            return x.flip(1) * width

    model = nn.Sequential(
        nn.Conv2d(1, 4, 2, stride=2), nn.Flatten(2), Rows(), nn.LayerNorm(4), Talking(), nn.Linear(4, 3)
    )
    example = torch.randn(2, *SHAPE)
    network = from_torch(model, example, allow_fixed=True)
    torch.testing.assert_close(network(example), model(example))


class Rows(nn.Module):
    """Features behind positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Windows(nn.Module):
    """Mixes the positions of windows with learned numbers, which a spec cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.wide, self.narrow = nn.LayerNorm(4), nn.Linear(4, 8), nn.Linear(8, 4)
        self.mix = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        cut = x.reshape(n, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 3, 5, 1)
        rows = cut.reshape(n, -1, 4, channels)
        rows = rows + self.mixed(self.norm(rows))
        rows = rows + self.narrow(torch.relu(self.wide(self.norm(rows))))
        back = rows.reshape(n, height // 2, width // 2, 2, 2, channels).permute(0, 5, 1, 3, 2, 4)
        return back.reshape(n, channels, height, width)

    def mixed(self, rows: Tensor) -> Tensor:
        return self.mix @ rows


def test_of_windows_the_call_alone_is_kept_and_all_layers_are_read() -> None:
    blocks = [nn.Conv2d(1, 4, 1), nn.ReLU(), Windows(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 1)]
    model, example = nn.Sequential(*blocks), torch.randn(2, *SHAPE)
    network = from_torch(model, example, allow_fixed=True)
    torch.testing.assert_close(network(example), model(example))
    kept = {name: node.details for name, node in network.spec.nodes.items() if node.kind == "fixed"}
    assert kept == {"fixed.2.matmul": ("matmul",)}
    free = {group.target for group in network.graph.groups if group.reason is None}
    assert free == {"conv2d.2.wide", "conv2d.3"}


def test_of_two_windows_in_a_row_what_is_behind_the_first_is_no_obstacle() -> None:
    class Attentive(Windows):
        def mixed(self, rows: Tensor) -> Tensor:
            return self.mixing(rows)

        def __init__(self) -> None:
            super().__init__()
            self.mixing = Mixing()

    class Mixing(nn.Module):
        """Gives products by which no call can be kept, before its result; the second time of one window."""

        def forward(self, rows: Tensor) -> Tensor:
            shares = (rows @ rows.transpose(-2, -1) + torch.arange(4.0)).tanh()
            return shares @ rows

    model = nn.Sequential(
        nn.Conv2d(1, 4, 1), Attentive(), nn.Conv2d(4, 4, 7), Attentive(), nn.Conv2d(4, 2, 1)
    )
    example = torch.randn(2, *SHAPE)
    network = from_torch(model, example, allow_fixed=True)
    torch.testing.assert_close(network(example), model(example), rtol=1e-4, atol=1e-5)
    kept = {name: node.details for name, node in network.spec.nodes.items() if node.kind == "fixed"}
    assert kept == {"fixed.1.mixing": ("Mixing",), "fixed.3.mixing": ("Mixing",)}
