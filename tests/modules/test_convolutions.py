"""Convolutions that grow again and again, through pools, flatten and depthwise kernels, on any kind of tensor."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import AvgPool1d, AvgPool2d, Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential

from gromo_graph.algebra import chosen_positions
from gromo_graph.statistics import cross_moments
from tests import reference
from tests.modules.chains import ACTIVATIONS, Chain
from tests.modules.convolutions import assert_statistics_are_dense, chain_of, pairs_of
from tests.modules.dense import stood_in
from tests.modules.pairs import F64, Pair

SLOPES = {"tanh": 1.0, "gelu": 0.5}
ROWS = 60


@dataclass(frozen=True)
class Kind:
    """The recipe of a chain: layers with or without a bias, operations around an activation, a sample's shape.

    Attributes:
        hidden: width of each hidden layer at first. behind: inputs of the next layer for each of its channels.
    """

    layers: Callable[[bool], list[Module]]
    between: Callable[[Module], list[Module]]
    shape: tuple[int, ...]
    hidden: int = 2
    behind: int = 1

    def chain(
        self,
        *,
        bias: bool = True,
        kernel: str = "full",
        activation: str = "tanh",
        rows: int = ROWS,
        seed: int = 0,
    ) -> Chain:
        functions = self.between(ACTIVATIONS[activation]())
        return chain_of(self.layers(bias), functions, self.shape, kernel=kernel, rows=rows, seed=seed)


def three_images(bias: bool) -> list[Module]:
    return [
        Conv2d(2, 2, 3, padding=1, bias=bias),
        Conv2d(2, 2, (2, 3), padding=(1, 0), bias=bias),
        Conv2d(2, 2, 3, stride=2, padding=1, bias=bias),
    ]


def three_sequences(bias: bool) -> list[Module]:
    return [
        Conv1d(2, 2, 3, padding="same", dilation=2, bias=bias),
        Conv1d(2, 2, 3, stride=2, padding=1, bias=bias),
        Conv1d(2, 2, 2, padding="valid", bias=bias),
    ]


KINDS = {
    "images": Kind(three_images, lambda act: [act, act], (2, 4, 5)),
    "sequences": Kind(three_sequences, lambda act: [act, act], (2, 8)),
    "images, flatten": Kind(
        lambda bias: [Conv2d(2, 2, 2, bias=bias), Linear(12, 3, bias=bias)],
        lambda act: [Sequential(act, Flatten())],
        (2, 3, 4),
        behind=6,
    ),
    "images, pool": Kind(
        lambda bias: [Conv2d(2, 2, 3, padding=1, bias=bias), Conv2d(2, 2, 3, padding=1, bias=bias)],
        lambda act: [Sequential(act, AvgPool2d(2, stride=1))],
        (2, 4, 5),
    ),
    "images, max pool": Kind(
        lambda bias: [Conv2d(2, 2, 3, padding=1, bias=bias), Conv2d(2, 2, 2, bias=bias)],
        lambda act: [Sequential(act, MaxPool2d(2, stride=1, padding=1))],
        (2, 4, 4),
    ),
    "sequences, pool, flatten": Kind(
        lambda bias: [Conv1d(2, 2, 2, bias=bias), Linear(6, 3, bias=bias)],
        lambda act: [Sequential(AvgPool1d(2), act, Flatten())],
        (2, 7),
        behind=3,
    ),
}
REPEATED = [
    (name, kernel, bias, activation)
    for name in KINDS
    for kernel in ("full", "centre")
    for bias in (True, False)
    for activation in SLOPES
    if kernel == "full" or "flatten" not in name  # which leaves no kernel to choose
]


def measure(found: Chain) -> None:
    """Count the batch in all statistics, on top of what they hold."""
    found.total_loss().backward()
    for module in found.modules:
        module.update_computation()
    found.net.zero_grad()


def slope_of_neurons(pair: Pair, activation: str) -> float:
    """The slope of the pending neurons on the raw gradient: −E⟨g, ω τ(α b)⟩, τ the function at first order."""
    first, second = pair.first, pair.second
    with torch.no_grad():
        new = first.extended_output_layer(first.input)
        function = first.post_layer_function
        for operation in function if isinstance(function, Sequential) else [function]:
            if type(operation) is ACTIVATIONS[activation]:
                new = SLOPES[activation] * new
            elif isinstance(operation, Conv1d | Conv2d):
                maps = new.reshape(-1, 1, *(new.shape[2:] if new.dim() == 4 else (1, new.shape[2])))
                passed = stood_in(operation, maps)
                new = passed.reshape(*new.shape[:2], *passed.shape[4 - (new.dim() - 2) :])
            else:
                new = operation(new)
        pull = second.extended_input_layer(new) * second.pre_activity.grad
    return -float(pull.sum()) / new.shape[0]


def measured_slope(found: Chain, *, deltas: bool = True) -> float:
    """Finite difference of the loss at γ = 1e-6 for everything pending, or for the neurons alone."""

    def loss(gamma: float) -> float:
        for module in found.modules:
            module.set_scaling_factor(gamma**0.5)
        out, further = found.x, None
        with torch.no_grad():
            for module in found.modules:
                out, further = module.extended_forward(out, further, use_optimal_delta=deltas)
        return float((out - found.y).square().sum()) / found.x.shape[0]

    return reference.finite_difference(loss, 1e-6)


def assert_slopes_are_measured(found: Chain, *, activation: str, promise_is_exact: bool = True) -> None:
    """The promise of the raw gradient, and what the neurons of the projected one do on the raw gradient.

    Of the two the second leaves something pending.
    """
    promised = solve(found, projected=False)
    deltas = sum(float(module.parameter_update_decrease) for module in found.modules)
    if promise_is_exact:
        assert measured_slope(found) == pytest.approx(promised, rel=0.01)
        assert measured_slope(found, deltas=False) == pytest.approx(promised - deltas, rel=0.01)
    solve(found, projected=True)
    neurons = sum(slope_of_neurons(pair, activation) for pair in pairs_of(found))
    assert measured_slope(found) == pytest.approx(deltas + neurons, rel=0.01)
    # Neurons of the projected gradient may do nearly nothing on the raw one.
    assert measured_slope(found, deltas=False) == pytest.approx(neurons, rel=0.01, abs=1e-4 * promised)


def solve(found: Chain, *, projected: bool, neurons: int = 1) -> float:
    """Make the best neurons of all modules pending; the sum of what they and the deltas promise."""
    for module in found.modules:
        module.compute_optimal_updates(
            dtype=F64, maximum_added_neurons=neurons, use_projected_gradient=projected
        )
    return sum(float(module.first_order_improvement) for module in found.modules)


def grow(found: Chain, factor: float = 0.2) -> None:
    """Apply what is pending; what was predicted is what happens."""
    for module in found.modules:
        module.set_scaling_factor(factor)
    predicted = found.predicted_output()
    for module in found.modules:
        module.apply_change()
        module.delete_update()
    with torch.no_grad():
        torch.testing.assert_close(found.net(found.x), predicted)


@pytest.mark.parametrize(("name", "kernel", "bias", "activation"), REPEATED)
def test_grown_five_times_in_a_row(name: str, kernel: str, bias: bool, activation: str) -> None:
    kind = KINDS[name]
    found = kind.chain(bias=bias, kernel=kernel, activation=activation)
    for module in found.modules:
        module.init_computation()
    for step in range(5):
        # Nothing is emptied by hand: what was measured at the old width would be seen in the statistics.
        measure(found)
        for pair in pairs_of(found):
            assert_statistics_are_dense(pair)
            assert pair.second.tensor_s.samples == pair.second.tensor_m_prev.samples == ROWS
        # For a max pool the mean stands in while sums are taken, and the promise is no more than a hint.
        assert_slopes_are_measured(found, activation=activation, promise_is_exact="max" not in name)
        grow(found)
        width = kind.hidden + step + 1
        for pair in pairs_of(found):
            assert (pair.first.out_neurons, pair.second.in_neurons) == (width, width * kind.behind)
            assert pair.first.weight.shape[0] == width
            assert (pair.first.bias is not None) == bias
            assert not bias or pair.first.bias.shape == (width,)


@dataclass(frozen=True)
class Depthwise:
    """A depthwise convolution between two layers, and what a sample is shaped like."""

    operation: Callable[[], Module]
    layers: Callable[[], list[Module]]
    shape: tuple[int, ...]


DEPTHWISE = {
    "same size": Depthwise(
        lambda: Conv2d(3, 3, 3, padding=1, groups=3),
        lambda: [Conv2d(2, 3, 2), Conv2d(3, 2, 2)],
        (2, 5, 4),
    ),
    "strides": Depthwise(
        lambda: Conv2d(3, 3, (3, 1), stride=(2, 1), dilation=(1, 2), padding=(2, 0), groups=3, bias=False),
        lambda: [Conv2d(2, 3, 2, bias=False), Conv2d(3, 2, 2, stride=(1, 2), padding=1)],
        (2, 5, 5),
    ),
    "sequences": Depthwise(
        lambda: Conv1d(3, 3, 3, padding="same", dilation=2, groups=3),
        lambda: [Conv1d(2, 3, 2), Conv1d(3, 2, 2)],
        (2, 8),
    ),
    "flatten": Depthwise(
        lambda: Conv2d(3, 3, 3, groups=3), lambda: [Conv2d(2, 3, 2), Linear(6, 2)], (2, 5, 4)
    ),
}


@pytest.mark.parametrize("name", DEPTHWISE)
@pytest.mark.parametrize("kernel", ["full", "centre"])
def test_a_depthwise_convolution_between_grows_three_times(name: str, kernel: str) -> None:
    kind = DEPTHWISE[name]
    depthwise = kind.operation()
    rest: list[Module] = [Flatten()] if name == "flatten" else []
    function = Sequential(depthwise, torch.nn.Tanh(), *rest)
    found = chain_of(kind.layers(), [function], kind.shape, kernel=kernel, rows=ROWS)
    depthwise.weight.data = torch.randn(
        depthwise.weight.shape, dtype=F64, generator=torch.Generator().manual_seed(1)
    )
    (pair,) = pairs_of(found)
    middle = tuple(size // 2 for size in depthwise.kernel_size)
    for step in range(3):
        found.gather()
        assert_statistics_are_dense(pair)
        assert_slopes_are_measured(found, activation="tanh")
        old = [parameter.detach().clone() for parameter in depthwise.parameters()]
        grow(found)
        width = 3 + step + 1
        assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (width,) * 3
        for before, after in zip(old, depthwise.parameters(), strict=True):
            assert torch.equal(before, after[:-1])
        assert depthwise.weight[(-1, 0, *middle)] == 1.0
        assert depthwise.weight[-1].abs().sum() == 1.0
        assert depthwise.bias is None or depthwise.bias[-1] == 0.0


def statistics_of(found: Chain) -> dict[str, Tensor]:
    """All statistics of all modules, by module and name."""
    values: dict[str, Tensor] = {}
    for module in found.modules:
        values |= {f"S of {module.name}": module.tensor_s(), f"M of {module.name}": module.tensor_m()}
        if module.previous_module is not None:
            values |= {
                f"S of the growth of {module.name}": module.tensor_s_growth(),
                f"M_prev of {module.name}": module.tensor_m_prev(),
                f"C of {module.name}": module.cross_covariance(),
            }
    return values


def assert_same_statistics(one: dict[str, Tensor], two: dict[str, Tensor], near: float = 1e-10) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(
            value.double(),
            two[name].double(),
            rtol=0,
            atol=near * scale,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("name", KINDS)
def test_single_precision_is_double_precision_nearly(name: str, kernel: str) -> None:
    double = KINDS[name].chain(kernel=kernel, rows=60)
    single = copy.deepcopy(double)
    single.net.float()
    single.x, single.y = single.x.float(), single.y.float()
    for found in (double, single):
        found.gather()
    assert_same_statistics(statistics_of(double), statistics_of(single), near=1e-5)
    for found in (double, single):
        for module in found.modules:
            module.compute_optimal_updates(maximum_added_neurons=2)  # which solves in single precision
            module.set_scaling_factor(0.2)
    for one, two in zip(double.modules, single.modules, strict=True):
        assert two.optimal_delta_layer.weight.dtype == torch.float32
        near = {"rtol": 1e-4, "atol": 1e-4}
        for layer in ("optimal_delta_layer", "extended_input_layer", "extended_output_layer"):
            wanted, grown = getattr(one, layer), getattr(two, layer)
            assert (wanted is None) == (grown is None)
            if wanted is not None:
                torch.testing.assert_close(grown.weight.double(), wanted.weight, **near)
    torch.testing.assert_close(
        single.predicted_output().double(), double.predicted_output(), rtol=1e-4, atol=1e-4
    )


def layouts(x: Tensor) -> dict[str, Tensor]:
    """The same values, laid out in memory in other ways."""
    wide = torch.zeros(*x.shape[:2], *(2 * size for size in x.shape[2:]), dtype=x.dtype)
    spaced = wide[(..., *[slice(1, None, 2)] * (x.dim() - 2))]
    spaced.copy_(x)
    channels = torch.zeros(x.shape[0], 3 * x.shape[1], *x.shape[2:], dtype=x.dtype)[:, 1::3]
    channels.copy_(x)
    found = {
        "spaced": spaced,
        "some channels": channels,
        "transposed": x.transpose(0, -1).contiguous().transpose(0, -1),
    }
    if x.dim() == 4:
        found["channels last"] = x.contiguous(memory_format=torch.channels_last)
    return found


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("name", KINDS)
def test_layout_in_memory_does_not_matter(name: str, kernel: str) -> None:
    usual = KINDS[name].chain(kernel=kernel)
    usual.gather()
    solve(usual, projected=True, neurons=2)
    expected, predicted = statistics_of(usual), usual.predicted_output()
    for x in layouts(usual.x).values():
        assert not x.is_contiguous()
        found = KINDS[name].chain(kernel=kernel)
        found.x = x
        found.gather()
        assert_same_statistics(statistics_of(found), expected)
        solve(found, projected=True, neurons=2)
        torch.testing.assert_close(found.predicted_output(), predicted)
        grow(found)


def test_a_network_in_channels_last_grows() -> None:
    usual, found = (KINDS["images"].chain() for _ in range(2))
    found.net.to(memory_format=torch.channels_last)
    found.x = found.x.contiguous(memory_format=torch.channels_last)
    assert not found.modules[0].weight.is_contiguous()
    for _ in range(2):
        for each in (usual, found):
            each.gather()
            solve(each, projected=True, neurons=2)
        assert_same_statistics(statistics_of(found), statistics_of(usual))
        for each in (usual, found):
            grow(each)
        for one, two in zip(usual.modules, found.modules, strict=True):
            torch.testing.assert_close(one.weight, two.weight)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_given_is_not_changed(name: str) -> None:
    found = KINDS[name].chain()
    given = [found.x, found.y]
    for module in found.modules:
        module.init_computation()
    loss = found.total_loss()
    modules = found.modules
    wanted = [
        *(module.pre_activity for module in modules),
        *(module.weight for module in modules),
        *(module.bias for module in modules),
    ]
    gradients = torch.autograd.grad(loss, wanted)
    given += gradients
    given += [module.weight for module in modules] + [module.bias for module in modules]
    before = [tensor.detach().clone() for tensor in given]
    count = len(modules)
    for place, module in enumerate(modules):
        module.update_computation(*(gradients[place + part * count] for part in range(3)))
    solve(found, projected=True, neurons=2)
    measured_slope(found)
    modules[-1].compute_n_update()
    modules[-1].projected_v_goal(modules[-1].input)
    modules[-1].scale_layer_extension(2.0, None, None)
    for tensor, copied in zip(given, before, strict=True):
        assert torch.equal(tensor, copied)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_m_is_free_where_the_gradients_of_the_parameters_are_at_hand(name: str, bias: bool) -> None:
    usual, free, half = (KINDS[name].chain(bias=bias) for _ in range(3))
    usual.gather()
    for found in (free, half):
        for module in found.modules:
            module.init_computation()
        loss = found.total_loss()
        modules = found.modules
        pulls = torch.autograd.grad(loss, [module.pre_activity for module in modules], retain_graph=True)
        weights = torch.autograd.grad(loss, [module.weight for module in modules], retain_graph=True)
        biases: list[Tensor | None] = [None] * len(modules)
        if bias and found is free:
            biases = list(torch.autograd.grad(loss, [module.bias for module in modules]))
        for module, *gradients in zip(modules, pulls, weights, biases, strict=True):
            module.update_computation(*gradients)
        assert_same_statistics(statistics_of(found), statistics_of(usual))


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("name", KINDS)
def test_one_sample_grows(name: str, kernel: str) -> None:
    found = KINDS[name].chain(kernel=kernel, rows=1)
    found.gather()
    for pair in pairs_of(found):
        assert pair.second.tensor_s.samples == 1
    solve(found, projected=False)
    grow(found)


POINTS: dict[str, tuple[Callable[[], list[Module]], Callable[[], Module], tuple[int, ...]]] = {
    "of one tap": (lambda: [Conv2d(2, 3, 1), Conv2d(3, 2, 1)], torch.nn.Tanh, (2, 1, 1)),
    "padded": (lambda: [Conv2d(2, 3, 3, padding=1), Conv2d(3, 2, 3, padding=1)], torch.nn.Tanh, (2, 1, 1)),
    "padded into more": (
        lambda: [Conv2d(2, 3, 2, padding=1), Conv2d(3, 2, (2, 1), stride=2, padding=1)],
        torch.nn.Tanh,
        (2, 1, 1),
    ),
    "pooled to one": (
        lambda: [Conv2d(2, 3, 2), Conv2d(3, 2, 3, padding="same")],
        lambda: Sequential(torch.nn.Tanh(), torch.nn.AdaptiveAvgPool2d(1)),
        (2, 3, 3),
    ),
    "flattened": (
        lambda: [Conv2d(2, 3, 3, padding=1), Linear(3, 2)],
        lambda: Sequential(torch.nn.Tanh(), Flatten()),
        (2, 1, 1),
    ),
    "sequences": (lambda: [Conv1d(2, 3, 3, padding=1), Conv1d(3, 2, 1)], torch.nn.Tanh, (2, 1)),
}


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("name", POINTS)
def test_images_of_one_point(name: str, kernel: str) -> None:
    layers, between, shape = POINTS[name]
    found = chain_of(layers(), [between()], shape, kernel=kernel, rows=ROWS)
    found.gather()
    (pair,) = pairs_of(found)
    assert_statistics_are_dense(pair)
    promised = solve(found, projected=False)
    assert measured_slope(found) == pytest.approx(promised, rel=0.01)
    grow(found)
    assert pair.first.out_neurons == pair.second.in_neurons == 4


def test_on_images_of_one_point_convolutions_are_linear_layers() -> None:
    images = chain_of([Conv2d(4, 3, 1), Conv2d(3, 2, 1)], [torch.nn.Tanh()], (4, 1, 1), rows=ROWS)
    flat = chain_of([Linear(4, 3), Linear(3, 2)], [torch.nn.Tanh()], (4,), rows=ROWS)
    for one, two in zip(images.modules, flat.modules, strict=True):
        two.weight.data, two.bias.data = one.weight.detach().flatten(1), one.bias.detach()
    flat.x, flat.y = images.x.flatten(1), images.y.flatten(1)
    for found in (images, flat):
        found.gather()
        solve(found, projected=True, neurons=2)
        for module in found.modules:
            module.set_scaling_factor(0.2)
    for name, value in statistics_of(flat).items():
        torch.testing.assert_close(statistics_of(images)[name].reshape(value.shape), value)
    torch.testing.assert_close(images.predicted_output().flatten(1), flat.predicted_output())


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("name", KINDS)
def test_several_batches_are_one_sample(name: str, kernel: str) -> None:
    whole, parts = KINDS[name].chain(kernel=kernel), KINDS[name].chain(kernel=kernel)
    whole.gather()
    x, y = parts.x, parts.y
    for module in parts.modules:
        module.init_computation()
    for piece in (slice(0, 3), slice(3, 4), slice(4, ROWS)):
        parts.x, parts.y = x[piece], y[piece]
        measure(parts)
    assert parts.modules[-1].tensor_s.samples == ROWS
    assert_same_statistics(statistics_of(parts), statistics_of(whole))


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("name", ["images", "images, pool", "images, max pool"])
def test_batches_may_have_images_of_several_sizes(name: str, kernel: str) -> None:
    """Positions are summed, so that sums of images of other sizes add up: those of both batches as one."""
    sizes = {(4, 5): 3, (6, 3): 5}
    found = KINDS[name].chain(kernel=kernel)
    for module in found.modules:
        module.init_computation()
    generator = torch.Generator().manual_seed(0)
    totals: dict[str, Tensor] = {}
    for size, rows in sizes.items():
        found.x = torch.randn(rows, 2, *size, generator=generator, dtype=F64)
        found.y = torch.zeros((), dtype=F64)
        alone = copy.deepcopy(found)
        alone.gather()
        for key, value in statistics_of(alone).items():
            totals[key] = totals.get(key, torch.zeros_like(value)) + rows * value
        measure(found)
    means = {key: value / sum(sizes.values()) for key, value in totals.items()}
    assert_same_statistics(statistics_of(found), means)


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("name", KINDS)
def test_samples_in_small_portions_are_the_same(
    name: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of large batches are written down a few samples at a time; here one by one."""
    monkeypatch.setitem(chosen_positions._GATHERED, "cpu", 1)
    monkeypatch.setitem(cross_moments._WRITTEN, "cpu", 1)
    found = KINDS[name].chain(kernel=kernel, rows=5)
    found.gather()
    for pair in pairs_of(found):
        assert_statistics_are_dense(pair)


def test_a_grown_convolution_keeps_its_options() -> None:
    found = KINDS["images"].chain()
    first, _, third = found.modules
    found.gather()
    solve(found, projected=True)
    for layer, module in ((first.extended_output_layer, first), (third.extended_input_layer, third)):
        assert isinstance(layer, Conv2d)
        for option in ("kernel_size", "stride", "padding", "dilation"):
            assert getattr(layer, option) == getattr(module.layer, option)
    grow(found)
    assert (third.layer.stride, third.layer.padding) == ((2, 2), (1, 1))
    assert (first.layer.out_channels, third.layer.in_channels) == (3, 3)
