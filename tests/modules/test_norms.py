"""Growth through norms: the grown network computes what was predicted, and old channels stay what they were."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import (
    AvgPool1d,
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    Flatten,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool2d,
    Sequential,
    Tanh,
)
from torch.nn.modules.batchnorm import _BatchNorm

from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network, parse_spec
from gromo_graph.errors import GrowthError
from gromo_graph.growth.apply import linked, set_pending
from gromo_graph.modules import GrowingModule, MergeGrowingModule
from gromo_graph.modules.link import growing_link
from tests.modules.networks import OTHERS, Problem, problem, solved
from tests.modules.pairs import F64, Pair

close = torch.testing.assert_close
MSE = torch.nn.functional.mse_loss
BOTH_MODES = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])


# Networks in which batch norms stand behind a layer, behind a merge, and as part of longer functions.

NETWORKS = {
    "behind a layer": """
x: {kind: input, shape: [5]}
a: {kind: linear, from: x, features: 4, bias: false}
n: {kind: batch_norm, from: a, activation: tanh}
y: {kind: linear, from: n, features: 3}
""",
    "with an activation and a pool": """
x: {kind: input, shape: [2, 4, 4]}
a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1}
n: {kind: batch_norm, from: a, activation: gelu}
p: {kind: max_pool2d, from: n, kernel: 2}
b: {kind: conv2d, from: p, features: 2, kernel: 1, activation: tanh}
f: {kind: flatten, from: b}
y: {kind: linear, from: f, features: 2}
""",
    "along one axis": """
x: {kind: input, shape: [2, 8]}
a: {kind: conv1d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh}
n: {kind: batch_norm, from: a}
p: {kind: avg_pool1d, from: n, kernel: 2}
b: {kind: conv1d, from: p, features: 2, kernel: 2, activation: tanh}
f: {kind: flatten, from: b}
y: {kind: linear, from: f, features: 2}
""",
    "behind a sum": """
x: {kind: input, shape: [5]}
h: {kind: linear, from: x, features: 4, activation: tanh}
p: {kind: linear, from: x, features: 3}
q: {kind: linear, from: h, features: 3, bias: false}
m: {kind: merge, from: [p, q]}
n: {kind: batch_norm, from: m, activation: tanh}
c: {kind: linear, from: n, features: 2}
d: {kind: linear, from: n, features: 2}
y: {kind: merge, from: [c, d]}
""",
    "behind a concat, then a pool": """
x: {kind: input, shape: [2, 4, 4]}
a: {kind: conv2d, from: x, features: 2, kernel: 3, padding: 1, activation: tanh}
b: {kind: conv2d, from: x, features: 3, kernel: 1}
j: {kind: merge, from: [a, b], merge: concat}
n: {kind: batch_norm, from: j, activation: tanh}
p: {kind: avg_pool2d, from: n, kernel: 2}
f: {kind: flatten, from: p}
y: {kind: linear, from: f, features: 2}
""",
    "behind a flatten": """
x: {kind: input, shape: [2, 4, 4]}
a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh}
p: {kind: avg_pool2d, from: a, kernel: 2}
f: {kind: flatten, from: p}
n: {kind: batch_norm, from: f}
y: {kind: linear, from: n, features: 2}
""",
    "several on one way": """
x: {kind: input, shape: [2, 4, 4]}
a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, bias: false}
n: {kind: batch_norm, from: a, activation: tanh}
k: {kind: batch_norm, from: n, activation: gelu}
b: {kind: conv2d, from: k, features: 3, kernel: 1}
j: {kind: merge, from: [k, b]}
m: {kind: batch_norm, from: j, activation: tanh}
p: {kind: avg_pool2d, from: m, kernel: 2}
f: {kind: flatten, from: p}
y: {kind: linear, from: f, features: 2}
""",
    "with a depthwise convolution": OTHERS["norms, depthwise and pools"],
}
EVERY_NETWORK = pytest.mark.parametrize("nodes", NETWORKS.values(), ids=list(NETWORKS))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Created extensions are drawn from the global generator."""
    torch.manual_seed(0)


def warmed(nodes: str, *, samples: int = 40) -> Problem:
    """A network whose norms have learned: running statistics, weights and biases of their own."""
    found = problem(nodes, samples=samples)
    warm_up(found.network, found.x)
    return found


def warm_up(net: torch.nn.Module, x: Tensor) -> None:
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(1.5 * x + 0.3)
        for module in net.modules():
            if isinstance(module, _BatchNorm | GroupNorm | LayerNorm):
                for parameter in module.parameters():
                    parameter.add_(0.3 * torch.randn_like(parameter))
    net.eval()


def created(found: Problem, size: int = 2, fan_out: str = "copy_uniform") -> Iterator[GrowingModule]:
    """Each group of the network in turn, with neurons pending."""
    names = [(consumer.name, link.group.producers[0].name) for consumer, link in found.links()]
    assert names
    for reader, producer in names:
        consumer = found.network.growing(reader)
        consumer.create_layer_extensions(
            size, input_extension_init=fan_out, producer=found.network.growing(producer)
        )
        yield consumer
        consumer.delete_update()


@torch.no_grad()
def run(net: torch.nn.Module, x: Tensor) -> Tensor:
    return net(x)


@torch.no_grad()
def promised(found: Problem) -> Tensor:
    return found.network.extended_forward(found.x)


@EVERY_NETWORK
@BOTH_MODES
def test_right_after_growth_a_batch_norm_gives_what_was_predicted(nodes: str, training: bool) -> None:
    """In training mode on the batch that was measured: batch statistics are those that new channels started from."""
    found = warmed(nodes)
    for consumer in created(found):
        consumer.set_scaling_factor(0.7)
        found.network.train(training)
        predicted = promised(found)
        assert not torch.allclose(predicted, run(found.network, found.x), atol=1e-6)
        consumer.apply_change()
        close(run(found.network, found.x), predicted)
        found.network.eval()


@dataclass(frozen=True)
class Norm:
    """A batch norm as it was at one moment, with what entered and left it."""

    mean: Tensor
    variance: Tensor
    weight: Tensor
    bias: Tensor
    batches: int
    entered: Tensor
    left: Tensor


def seen(network: torch.nn.Module, x: Tensor) -> dict[str, Norm]:
    """All batch norms of a network, in evaluation mode on some data."""
    found: dict[str, Norm] = {}

    def look(name: str) -> Callable[[_BatchNorm, tuple[Tensor, ...], Tensor], None]:
        def hook(norm: _BatchNorm, entered: tuple[Tensor, ...], left: Tensor) -> None:
            own = [norm.running_mean, norm.running_var, norm.weight, norm.bias]
            found[name] = Norm(
                *(tensor.detach().clone() for tensor in own),
                int(norm.num_batches_tracked),
                entered[0].transpose(0, 1).flatten(1),
                left.transpose(0, 1).flatten(1),
            )

        return hook

    hooks = [
        module.register_forward_hook(look(name))
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
    ]
    assert not network.training
    run(network, x)
    for hook in hooks:
        hook.remove()
    return found


def places(old: Tensor, now: Tensor) -> tuple[list[int], list[int]]:
    """Where the old entries stand, in their order and with all their bits, and where the new ones do."""
    kept: list[int] = []
    for place, value in enumerate(now.tolist()):
        if len(kept) < len(old) and value == old[len(kept)].item():
            kept.append(place)
    assert len(kept) == len(old), "an old entry has changed"
    return kept, [place for place in range(len(now)) if place not in kept]


@EVERY_NETWORK
def test_new_channels_have_their_measured_moments_and_old_ones_stay(nodes: str) -> None:
    found = warmed(nodes)
    grown = set()
    for consumer in created(
        found, fan_out="zeros"
    ):  # or layers behind would give other values, and rightly so
        before = seen(found.network, found.x)
        consumer.set_scaling_factor(0.7)
        promised(found)
        consumer.apply_change()
        for name, now in seen(found.network, found.x).items():
            old = before[name]
            kept, new = places(old.mean, now.mean)
            for is_now, was in ((now.variance, old.variance), (now.weight, old.weight), (now.bias, old.bias)):
                assert torch.equal(is_now[kept], was)
            assert now.batches == old.batches
            if not new:
                continue
            grown.add(name)
            close(now.left[kept], old.left, rtol=0, atol=1e-12)
            close(now.mean[new], now.entered[new].mean(dim=1))
            close(now.variance[new], now.entered[new].var(dim=1, unbiased=False))
            close(now.weight[new], (now.variance[new] + 1e-5).sqrt())
            close(now.bias[new], now.mean[new])
            close(now.left[new], now.entered[new])  # the identity
    assert grown == set(before)


def test_moments_behind_a_concat_go_where_their_channels_are() -> None:
    found = warmed(NETWORKS["behind a concat, then a pool"])
    (norm,) = [m for m in found.network.modules() if isinstance(m, _BatchNorm)]
    for place, consumer in zip(([2, 3], [7, 8]), created(found), strict=True):
        old = norm.running_mean.clone()
        consumer.set_scaling_factor(0.7)
        promised(found)
        consumer.apply_change()
        assert places(old, norm.running_mean)[1] == place
    assert norm.num_features == 9


# Two layers with any function between.


def two(
    first: torch.nn.Module,
    between: torch.nn.Module,
    second: torch.nn.Module,
    shape: tuple[int, ...],
    *,
    merged: bool = False,
    **options: object,
) -> Pair:
    """Two linked layers in float64, the function behind the first or behind a merge after it."""
    generator = torch.Generator().manual_seed(0)
    layers = [first.double(), second.double()]
    for parameter in (p for layer in layers for p in layer.parameters()):
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=F64) / 2
    between = between.double()
    before = GrowingModule(layers[0], post_layer_function=None if merged else between, name="first")
    after = GrowingModule(layers[1], name="second", **options)  # type: ignore[arg-type]
    members: list[torch.nn.Module] = [before, after]
    if merged:
        members.insert(
            1, MergeGrowingModule(between, previous_modules=[before], next_modules=[after], name="m")
        )
    else:
        after.previous_module, before.next_module = before, after
    net = torch.nn.Sequential(*members)
    x = torch.randn(40, *shape, generator=generator, dtype=F64)
    warm_up(net, x)
    out = run(net, x).flatten(1)
    return Pair(net, x, out + torch.randn(out.shape, generator=generator, dtype=F64))


def dense_pair(norm: torch.nn.Module, *, merged: bool = False, **options: object) -> Pair:
    return two(Linear(5, 4), Sequential(norm, Tanh()), Linear(4, 3), (5,), merged=merged, **options)


def image_pair(norm: torch.nn.Module, *, merged: bool = False, **options: object) -> Pair:
    function = Sequential(norm, Tanh(), MaxPool2d(2))
    return two(Conv2d(2, 4, 3, padding=1), function, Conv2d(4, 3, 1), (2, 4, 4), merged=merged, **options)


def norm_of(found: Pair) -> torch.nn.Module:
    return next(m for m in found.net.modules() if isinstance(m, _BatchNorm | GroupNorm | LayerNorm))


def pending(found: Pair, size: int = 2, factor: float = 0.7) -> GrowingModule:
    found.second.create_layer_extensions(size)
    found.second.set_scaling_factor(factor)
    return found.second


def own_channels(found: Pair, factor: float) -> Tensor:
    """What a norm directly behind the first layer gets of the pending channels, (channels, values)."""
    with torch.no_grad():
        return factor * found.first.extended_output_layer(found.x).transpose(0, 1).flatten(1)


def state(found: Pair) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in found.net.state_dict().items()}


def unchanged(found: Pair, before: dict[str, Tensor]) -> bool:
    now = found.net.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[name], before[name]) for name in before)


OPTIONS: dict[str, dict[str, object]] = {
    "momentum None": {"momentum": None},
    "eps": {"eps": 0.1},
    "no running statistics": {"track_running_stats": False},
    "no weights": {"affine": False},
    "neither": {"affine": False, "track_running_stats": False},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
@BOTH_MODES
def test_variants_of_batch_norm_give_what_was_predicted(
    options: dict[str, object], merged: bool, training: bool
) -> None:
    for found in (
        dense_pair(BatchNorm1d(4, **options), merged=merged),  # type: ignore[arg-type]
        image_pair(BatchNorm2d(4, **options), merged=merged),  # type: ignore[arg-type]
    ):
        norm = norm_of(found)
        names = [name for name, _ in [*norm.named_parameters(), *norm.named_buffers()]]
        found.net.train(training)
        before = state(found)
        try:
            second = pending(found)
        except (
            GrowthError
        ):  # sound where the norm has no weights with which a channel could start as the identity
            assert "affine" in options
            assert unchanged(found, before)
            continue
        predicted = found.predicted_output()
        second.apply_change()
        close(run(found.net, found.x), predicted)
        assert norm.num_features == 6
        assert [name for name, _ in [*norm.named_parameters(), *norm.named_buffers()]] == names


@pytest.mark.parametrize("affine", [True, False])
def test_slope_through_a_batch_norm_is_what_the_grown_network_does(affine: bool) -> None:
    """A norm without weights of its own cannot start a channel as the identity: then there may be no slope at all."""
    found = dense_pair(BatchNorm1d(4, affine=affine))
    found.gather()
    try:
        promised_decrease = raw_neurons(found, 2)
    except GrowthError:
        assert not affine
        return
    before = found.mean_loss()
    found.second.set_scaling_factor(1e-4)
    found.predicted_output()
    found.second.apply_change()
    assert (before - found.mean_loss()) / 1e-8 == pytest.approx(promised_decrease, rel=1e-3)


def raw_neurons(found: Pair, maximum: int) -> float:
    """The best neurons for the gradient as it is, and the decrease they promise per unit of γ: tanh'(0) is 1."""
    *_, values = found.second.compute_optimal_added_parameters(
        dtype=F64,
        maximum_added_neurons=maximum,
        use_projected_gradient=False,
        statistical_threshold=0.0,
    )
    return float(values.square().sum())


@pytest.mark.parametrize("momentum", [0.1, None])
def test_num_batches_tracked_counts_batches_and_not_growth(momentum: float | None) -> None:
    found = dense_pair(BatchNorm1d(4, momentum=momentum))
    norm = norm_of(found)
    counted = int(norm.num_batches_tracked)
    second = pending(found)
    found.predicted_output()
    second.apply_change()
    assert int(norm.num_batches_tracked) == counted == 3
    found.net.train()
    run(found.net, found.x)
    assert int(norm.num_batches_tracked) == counted + 1


def test_a_frozen_norm_stays_frozen_and_keeps_its_dtype() -> None:
    found = dense_pair(BatchNorm1d(4))
    norm = norm_of(found).float()
    found.net.float()
    found.x = found.x.float()
    norm.requires_grad_(False)
    second = pending(found)
    found.predicted_output()
    second.apply_change()
    assert [p.requires_grad for p in norm.parameters()] == [False, False]
    assert {tensor.dtype for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var)} == {
        torch.float32
    }


# Moments belong to the neurons and the scaling factor that are applied.


def check_moments(found: Pair, factor: float, alone: Tensor) -> None:
    """Applying at this factor leaves the moments of these channels, given at factor 1."""
    norm = norm_of(found)
    close(norm.running_mean[4:], factor * alone.mean(dim=1))
    close(norm.running_var[4:], factor**2 * alone.var(dim=1, unbiased=False))
    found.net.train()
    size = len(alone)
    new: list[Tensor] = []
    hook = norm.register_forward_hook(lambda _, entered, left: new.extend((entered[0], left)))
    run(found.net, found.x)
    hook.remove()
    close(new[1].narrow(1, 4, size), new[0].narrow(1, 4, size))  # in training mode only right moments do this


@pytest.mark.parametrize("make", [dense_pair, image_pair])
@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
def test_moments_of_another_factor_are_forgotten(make: Callable[..., Pair], merged: bool) -> None:
    found = make(BatchNorm1d(4) if make is dense_pair else BatchNorm2d(4), merged=merged)
    second = pending(found, factor=0.1)
    found.predicted_output()
    second.set_scaling_factor(0.9)
    found.predicted_output()
    alone = own_channels(found, 1.0)
    second.apply_change()
    check_moments(found, 0.9, alone)


def test_a_factor_given_on_applying_is_measured_from_the_stored_input() -> None:
    found = dense_pair(BatchNorm1d(4))
    second = pending(found, factor=0.1)
    found.predicted_output()
    found.first.store_input = True
    run(found.net, found.x)
    alone = own_channels(found, 1.0)
    second.apply_change(scaling_factor=0.9)
    check_moments(found, 0.9, alone)


def test_a_factor_given_on_applying_is_refused_without_anything_to_measure() -> None:
    found = dense_pair(BatchNorm1d(4))
    second = pending(found, factor=0.1)
    found.predicted_output()
    with pytest.raises(GrowthError, match="mean and variance of the 2 new channels"):
        second.apply_change(scaling_factor=0.9)


@pytest.mark.parametrize("after", ["shown", "set and shown", "stored"])
def test_a_factor_that_an_optimizer_moves_leaves_no_stale_moments(after: str) -> None:
    """The tensor is kept so that gradients flow into it, and an optimizer changes it in place."""
    found = dense_pair(BatchNorm1d(4))
    found.second.create_layer_extensions(2)
    s = torch.tensor(0.1, dtype=F64, requires_grad=True)
    found.second.set_scaling_factor(s)
    found.predicted_output()
    with torch.no_grad():
        s.fill_(0.9)
    if after == "set and shown":
        found.second.set_scaling_factor(s)
    if after == "stored":
        found.first.store_input = True
        run(found.net, found.x)
    else:
        found.predicted_output()
    alone = own_channels(found, 1.0)
    found.second.apply_change()
    check_moments(found, 0.9, alone)


def test_moments_of_other_neurons_are_forgotten() -> None:
    changes: dict[str, Callable[[GrowingModule], object]] = {
        "created anew": lambda m: m.create_layer_extensions(2),
        "scaled": lambda m: m.scale_layer_extension(3.0, None, None),
        "selected": lambda m: m.sub_select_optimal_added_parameters(1),
        "normalised": lambda m: m.normalize_optimal_updates(0.2, "equalize_extensions"),
    }
    for name, change in changes.items():
        found = dense_pair(BatchNorm1d(4))
        second = pending(found, factor=0.5)
        found.predicted_output()
        change(second)
        found.predicted_output()
        alone = own_channels(found, 1.0)
        second.apply_change()
        assert second.in_neurons == (5 if name == "selected" else 6)
        check_moments(found, 0.5, alone)


def test_moments_are_those_of_all_batches_that_were_shown() -> None:
    found = dense_pair(BatchNorm1d(4))
    second = pending(found)
    whole, found.x = found.x, found.x[:25]
    found.predicted_output()
    found.x = whole[25:]
    found.predicted_output()
    found.x = whole
    alone = own_channels(found, 1.0)
    second.apply_change()
    check_moments(found, 0.7, alone)


def test_deleted_growth_leaves_no_moments_behind() -> None:
    found = dense_pair(BatchNorm1d(4), merged=True)
    second = pending(found)
    found.predicted_output()
    second.delete_update()
    second.create_layer_extensions(2)
    with pytest.raises(GrowthError, match="must know the mean and variance"):
        second.apply_change(scaling_factor=0.7)


@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
def test_growth_from_the_stored_input_alone(merged: bool) -> None:
    found = image_pair(BatchNorm2d(4), merged=merged)
    found.first.store_input = True
    run(found.net, found.x)
    second = pending(found)
    other = copy.deepcopy(found)
    alone = own_channels(found, 1.0)
    second.apply_change()
    predicted = other.predicted_output()
    close(run(found.net, found.x), predicted)
    check_moments(found, 0.7, alone)


@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
def test_growth_without_any_measurement_is_refused_and_changes_nothing(merged: bool) -> None:
    found = dense_pair(BatchNorm1d(4), merged=merged)
    second = pending(found)
    before, out = state(found), run(found.net, found.x)
    with pytest.raises(
        GrowthError,
        match=r"BatchNorm1d\(4.* mean and variance of the 2 new channels: run extended_forward on data with the "
        r"scaling factor set, or keep the stored inputs",
    ):
        second.apply_change()
    assert unchanged(found, before)
    assert torch.equal(run(found.net, found.x), out)
    predicted = found.predicted_output()  # what the message says to do
    second.apply_change()
    close(run(found.net, found.x), predicted)


def test_a_refusal_behind_a_merge_of_several_leaves_all_of_them_alone() -> None:
    found = warmed(NETWORKS["several on one way"])
    before = copy.deepcopy(found.network.state_dict())
    consumer = next(created(found))
    with pytest.raises(GrowthError, match="mean and variance"):
        consumer.apply_change(scaling_factor=0.7)
    now = found.network.state_dict()
    assert all(torch.equal(now[name], before[name]) for name in before)


# A function of their own for new channels.


def test_an_explicit_function_for_new_channels_beside_a_norm() -> None:
    """A new channel of a norm starts as the identity: leaving the norm out says the same."""
    found = dense_pair(BatchNorm1d(4))
    found.first.explicit_extended_function = Tanh()
    second = pending(found)
    found.first.store_input = True
    run(found.net, found.x)
    predicted = found.predicted_output()
    alone = own_channels(found, 1.0)
    second.apply_change()
    close(run(found.net, found.x), predicted)
    check_moments(found, 0.7, alone)


@BOTH_MODES
def test_an_explicit_function_with_a_norm_of_its_own(training: bool) -> None:
    """Where the new channels cannot start as that norm makes them, growing must be refused."""
    found = dense_pair(BatchNorm1d(4))
    own = BatchNorm1d(2).double()
    with torch.no_grad():
        own.running_mean.fill_(0.5)
        own.running_var.fill_(2.0)
        own.weight.fill_(1.5)
    found.first.explicit_extended_function = Sequential(own, Tanh())
    second = pending(found)
    found.first.store_input = True
    run(found.net, found.x)
    found.net.train(training)
    predicted = found.predicted_output()
    before = state(found)
    try:
        second.apply_change()
    except GrowthError:
        assert unchanged(found, before)
    else:
        close(run(found.net, found.x), predicted)


# What is normalised must be the features.


@pytest.mark.parametrize(
    "make",
    [
        lambda: two(Linear(5, 4), BatchNorm1d(7), Linear(4, 3), (7, 5)),
        lambda: two(Linear(5, 4), GroupNorm(7, 7), Linear(4, 3), (7, 5)),
        lambda: two(
            Conv2d(2, 3, 3, padding=1), LayerNorm([4, 6]), Conv2d(3, 2, 1), (2, 4, 6), allow_jump=True
        ),
        lambda: two(Linear(5, 4), LayerNorm([7, 4]), Linear(4, 3), (7, 5), allow_jump=True),
    ],
    ids=["batch norm over positions", "group norm over positions", "layer norm of images", "both"],
)
def test_norms_over_something_else_than_the_features_grow_soundly_or_not_at_all(
    make: Callable[[], Pair],
) -> None:
    found = make()
    before = state(found)
    try:
        second = pending(found)
        predicted = found.predicted_output()
        second.apply_change()
    except GrowthError:
        assert unchanged(found, before)
    else:
        close(run(found.net, found.x), predicted)


# Group norm.

GROUPED = {
    "linear": lambda norm, **o: two(Linear(5, 6), Sequential(norm, Tanh()), Linear(6, 3), (5,), **o),
    "conv2d": lambda norm, **o: two(
        Conv2d(2, 6, 3, padding=1), Sequential(norm, Tanh(), MaxPool2d(2)), Conv2d(6, 3, 2), (2, 4, 4), **o
    ),
    "conv1d": lambda norm, **o: two(
        Conv1d(2, 6, 3), Sequential(Tanh(), norm, AvgPool1d(2)), Conv1d(6, 3, 2), (2, 7), **o
    ),
    "flatten": lambda norm, **o: two(
        Conv2d(2, 6, 3), Sequential(norm, Tanh(), Flatten()), Linear(24, 3), (2, 4, 4), **o
    ),
}
EVERY_GROUPED = pytest.mark.parametrize("make", GROUPED.values(), ids=list(GROUPED))


@EVERY_GROUPED
@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
@pytest.mark.parametrize("solve", [False, True], ids=["created", "solved"])
@BOTH_MODES
def test_group_norm_grows_by_whole_groups_as_predicted(
    make: Callable[..., Pair], merged: bool, solve: bool, training: bool
) -> None:
    found = make(GroupNorm(3, 6), merged=merged)
    norm, second = norm_of(found), found.second
    if solve:
        found.gather()
        second.compute_optimal_delta(update=False, dtype=F64)
        second.compute_optimal_added_parameters(dtype=F64, maximum_added_neurons=4, statistical_threshold=0.0)
    else:
        second.create_layer_extensions(2)
    size = found.first.extended_output_layer.weight.shape[0]
    assert size % 2 == 0
    assert size > 0
    second.set_scaling_factor(0.3)
    found.net.train(training)
    predicted = found.predicted_output()
    outputs: list[Tensor] = []
    hook = norm.register_forward_hook(lambda _, entered, left: outputs.append(left))
    run(found.net, found.x)
    old = norm.weight.detach().clone(), norm.bias.detach().clone()
    second.apply_change()
    close(run(found.net, found.x), predicted)
    hook.remove()
    assert (norm.num_groups, norm.num_channels) == (3 + size // 2, 6 + size)
    assert torch.equal(norm.weight[:6], old[0])
    assert torch.equal(norm.bias[:6], old[1])
    assert not norm.bias[6:].any()
    close(outputs[1][:, :6], outputs[0], rtol=0, atol=1e-12)


def test_group_norm_starts_at_the_size_that_new_channels_have() -> None:
    """weight² = s² · (mean square of the group's channels) + ε, so that a new group is no larger than its input."""
    found = GROUPED["conv2d"](GroupNorm(3, 6))
    found.gather()
    second = found.second
    raw_neurons(found, 2)
    second.set_scaling_factor(0.3)
    with torch.no_grad():
        values = 0.3 * found.first.extended_output_layer(found.x)
    inside = values - values.mean(dim=(1, 2, 3), keepdim=True)  # one group: less its own mean in each sample
    second.apply_change()
    weight = norm_of(found).weight[6:].detach()
    close(weight.square(), (inside.square().mean() + 1e-5).expand(2))


def test_the_number_of_solved_neurons_is_rounded_down_to_whole_groups() -> None:
    for maximum, expected in ((1, 0), (2, 2), (3, 2), (5, 4)):
        found = GROUPED["conv2d"](GroupNorm(3, 6))
        found.gather()
        second = found.second
        raw_neurons(found, maximum)
        assert (0 if expected == 0 else len(second.eigenvalues_extension)) == expected
        assert (second.extended_input_layer is None) == (expected == 0)


def test_norms_of_different_groups_grow_by_a_common_multiple() -> None:
    function = Sequential(GroupNorm(3, 6), Tanh(), GroupNorm(2, 6))  # groups of 2 and of 3
    found = two(Conv2d(2, 6, 3, padding=1), function, Conv2d(6, 3, 2), (2, 4, 4))
    found.gather()
    second = found.second
    raw_neurons(found, 11)
    assert len(second.eigenvalues_extension) == 6
    second.set_scaling_factor(0.3)
    predicted = found.predicted_output()
    second.apply_change()
    close(run(found.net, found.x), predicted)
    assert (function[0].num_groups, function[2].num_groups) == (6, 4)


@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
def test_part_of_a_group_is_refused_and_changes_nothing(merged: bool) -> None:
    message = (
        r"GroupNorm\(3, 6.* grows by whole groups of 2 channels: found 3 new ones, expected a multiple of 2"
    )
    found = GROUPED["conv2d"](GroupNorm(3, 6), merged=merged)
    before, out = state(found), run(found.net, found.x)
    second = pending(found, 3)
    with pytest.raises(GrowthError, match=message):
        found.predicted_output()
    with pytest.raises(GrowthError, match=message):
        second.apply_change()
    assert unchanged(found, before)
    assert torch.equal(run(found.net, found.x), out)
    second.create_layer_extensions(4)
    second.sub_select_optimal_added_parameters(3)
    with pytest.raises(GrowthError, match=message):
        second.apply_change(scaling_factor=0.5)
    assert unchanged(found, before)


GROUP_NETWORKS = {
    "linear": """
x: {kind: input, shape: [5]}
a: {kind: linear, from: x, features: 6}
n: {kind: group_norm, from: a, groups: 2, activation: tanh}
y: {kind: linear, from: n, features: 3}
""",
    "conv2d, pool": """
x: {kind: input, shape: [2, 4, 4]}
a: {kind: conv2d, from: x, features: 4, kernel: 3, padding: 1}
n: {kind: group_norm, from: a, groups: 2, activation: tanh}
p: {kind: avg_pool2d, from: n, kernel: 2}
f: {kind: flatten, from: p}
y: {kind: linear, from: f, features: 2}
""",
    "behind a sum": """
x: {kind: input, shape: [2, 4, 4]}
a: {kind: conv2d, from: x, features: 4, kernel: 3, padding: 1}
b: {kind: conv2d, from: x, features: 4, kernel: 1, bias: false}
j: {kind: merge, from: [a, b]}
n: {kind: group_norm, from: j, groups: 2, activation: tanh}
c: {kind: conv2d, from: n, features: 2, kernel: 3, padding: 1}
f: {kind: flatten, from: c}
y: {kind: linear, from: f, features: 2}
""",
}


@pytest.mark.parametrize(("gamma", "tolerance"), [(1e-8, 2e-3), (1e-7, 1e-2), (1e-6, 5e-2)])
@pytest.mark.parametrize("nodes", GROUP_NETWORKS.values(), ids=list(GROUP_NETWORKS))
def test_slope_through_a_group_norm_is_the_finite_difference(
    nodes: str, gamma: float, tolerance: float
) -> None:
    """Samples differ in size, which shows as soon as γ times their squares is no longer small beside ε = 1e-5."""
    found = problem(nodes).gather()
    (consumer, link), *_ = [
        pair for pair in found.links() if growing_link(pair[0], pair[1].group.producers[0]).group.unit > 1
    ]
    solved(found, consumer, growing_link(consumer, link.group.producers[0]).group)
    assert consumer.extended_input_layer is not None
    slope = found.slope(consumer)
    before = found.loss()
    consumer.set_scaling_factor(gamma**0.5)
    assert (before - found.loss(extended=True)) / gamma == pytest.approx(slope, rel=tolerance)
    consumer.apply_change()
    assert (before - found.loss()) / gamma == pytest.approx(slope, rel=tolerance)


def test_a_group_norm_without_weights_has_its_slope_or_is_refused() -> None:
    """It cannot start as the identity, so at first order it may not pass for one."""
    found = GROUPED["conv2d"](GroupNorm(3, 6, affine=False))
    found.gather()
    second = found.second
    try:
        promised_decrease = raw_neurons(found, 2)
    except GrowthError:
        return
    before = found.mean_loss()
    second.set_scaling_factor(1e-4)
    with torch.no_grad():
        after = float((found.predicted_output().flatten(1) - found.y).square().sum()) / len(found.x)
    assert (before - after) / 1e-8 == pytest.approx(promised_decrease, rel=1.0)


# Layer norm.

LAYER_NORMS: dict[str, Callable[..., Pair]] = {
    "linear": lambda **o: dense_pair(LayerNorm(4), **o),
    "linear, no weights": lambda **o: dense_pair(LayerNorm(4, elementwise_affine=False), **o),
    "linear, no bias": lambda **o: dense_pair(LayerNorm(4, bias=False), **o),
    "linear, positions": lambda **o: two(
        Linear(5, 4), Sequential(LayerNorm(4), Tanh()), Linear(4, 3), (7, 5), **o
    ),
    "conv2d": lambda **o: image_pair(LayerNorm([4, 4, 4]), **o),
    "merge": lambda **o: image_pair(LayerNorm([4, 4, 4]), merged=True, **o),
}


@pytest.mark.parametrize("make", LAYER_NORMS.values(), ids=list(LAYER_NORMS))
def test_layer_norm_is_refused_unless_a_jump_is_allowed(make: Callable[..., Pair]) -> None:
    found = make()
    where = "m" if len(found.net) == 3 else "first"
    message = rf"second cannot grow through {where}: LayerNorm of {where} changes its old outputs at once.*allow_jump"
    for call in (
        lambda: found.second.create_layer_extensions(2),
        lambda: found.second.compute_optimal_updates(),
        lambda: found.second.tensor_s_growth,
    ):
        with pytest.raises(GrowthError, match=message):
            call()


@pytest.mark.parametrize("make", LAYER_NORMS.values(), ids=list(LAYER_NORMS))
@pytest.mark.parametrize("solve", [False, True], ids=["created", "solved"])
@BOTH_MODES
def test_layer_norm_grows_as_predicted_where_a_jump_is_allowed(
    make: Callable[..., Pair], solve: bool, training: bool
) -> None:
    found = make(allow_jump=True)
    second, norm = found.second, norm_of(found)
    if solve:
        found.gather()
        second.compute_optimal_updates(dtype=F64, maximum_added_neurons=2)
    else:
        second.create_layer_extensions(2)
    added = found.first.extended_output_layer.weight.shape[0]
    second.set_scaling_factor(0.3)
    found.net.train(training)
    predicted = found.predicted_output()
    old = {name: parameter.detach().clone() for name, parameter in norm.named_parameters()}
    second.apply_change()
    close(run(found.net, found.x), predicted)
    assert norm.normalized_shape[0] == 4 + added
    for name, parameter in norm.named_parameters():
        assert torch.equal(parameter[:4], old[name])
        assert (parameter[4:] == (1.0 if name == "weight" else 0.0)).all()


def test_behind_a_layer_norm_there_is_a_jump_however_small_the_step() -> None:
    """Why it is refused by default: at a vanishing scale the loss is not the loss before."""
    found = dense_pair(LayerNorm(4), allow_jump=True)
    out = run(found.net, found.x)
    second = pending(found, factor=1e-6)
    second.apply_change()
    assert (run(found.net, found.x) - out).abs().max() > 0.05


# Through the scheduler.

NORM_NODES = {
    "batch_norm": "kind: batch_norm",
    "group_norm": "kind: group_norm, groups: 2",
    "layer_norm": "kind: layer_norm",
}
CRITERIA = ("tiny", "gradmax", "random", "variance_transfer")


def compiled(
    norm: str, growth: str = "", *, image: bool = False, alone: bool = False, seed: int = 0
) -> GrowingNetwork:
    """Two layers with a norm behind the first, which may grow alone or as the second may."""
    kind, shape = ("conv2d", "[2, 4, 4]") if image else ("linear", "[5]")
    kernel = ", kernel: 3, padding: 1" if image else ""
    jump = "allow_jump: true, " if norm == "layer_norm" else ""
    pool = "\n  p: {kind: adaptive_avg_pool2d, from: b}\n  f: {kind: flatten, from: p}" if image else ""
    text = f"""
version: 1
name: normed
nodes:
  x: {{kind: input, shape: {shape}}}
  a: {{kind: {kind}, from: x, features: 4{kernel}}}
  n: {{{NORM_NODES[norm]}, from: a, activation: tanh}}
  b: {{kind: {kind}, from: n, features: 4{kernel}, activation: tanh, grow: {str(not alone).lower()}}}{pool}
  y: {{kind: linear, from: {"f" if image else "b"}, features: 3}}
output: y
growth: {{{jump}{growth}}}
"""
    return compile_network(parse_spec(text), seed=seed, dtype=F64)


def batches(samples: int, *, image: bool, seed: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *((2, 4, 4) if image else (5,)), generator=generator, dtype=F64)
    flat = x.flatten(1)
    y = torch.stack([flat[:, 0] * flat[:, 1], (flat[:, 2] + flat[:, 3]).tanh(), flat[:, 4].square()], dim=1)
    return list(zip(x.split(40), y.split(40), strict=True))


def train_once(
    network: GrowingNetwork, optimizer: torch.optim.Optimizer, data: list[tuple[Tensor, Tensor]]
) -> None:
    network.train()
    for x, y in data:
        optimizer.zero_grad()
        MSE(network(x), y).backward()
        optimizer.step()


def held_out_loss(network: GrowingNetwork, data: list[tuple[Tensor, Tensor]]) -> float:
    network.eval()
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    return float(MSE(run(network, x), y))


@pytest.mark.parametrize("image", [False, True], ids=["linear", "conv2d"])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("norm", NORM_NODES)
def test_held_out_loss_never_goes_up_at_an_applied_step(norm: str, criterion: str, image: bool) -> None:
    policy = f"criterion: {criterion}, neurons: {{per_step: 6}}, when: {{until: 1.0}}"
    network = compiled(norm, policy, image=image, alone=criterion != "tiny")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    train, held_out = batches(120, image=image, seed=1), batches(80, image=image, seed=2)
    scheduler = GrowthScheduler(
        network, MSE, optimizer=optimizer, epochs=5, generator=torch.Generator().manual_seed(0)
    )
    grown = set()
    for _ in range(5):
        train_once(network, optimizer, train)
        before = held_out_loss(network, held_out)
        event = scheduler.step(train, held_out)
        after = held_out_loss(network, held_out)
        assert event is not None
        assert event.loss_before == pytest.approx(before)
        assert event.loss_after == pytest.approx(after)
        assert after <= before + 1e-12
        if event.decision is None:
            assert after == before
            continue
        grown.add(event.decision.target)
        assert network.graph.parameter_count == sum(p.numel() for p in network.parameters())
        listed = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert listed == {id(p) for p in network.parameters()}
        again = compile_network(parse_spec(event.spec), seed=9, dtype=F64).eval()
        again.load_state_dict(network.state_dict())
        assert torch.equal(run(again, held_out[0][0]), run(network, held_out[0][0]))
    # Where the loss decides, it may well be that the jump of a layer norm never pays.
    assert "a" in grown or norm == "layer_norm"


@pytest.mark.parametrize("select", ["balanced", "slope", "slope_per_parameter", "slope_per_madd"])
def test_a_layer_norm_can_be_ranked_by_every_rule(select: str) -> None:
    """It has no slope, so a rule that sorts by slopes must know what to do with it."""
    network = compiled("layer_norm", f"select: {select}")
    scheduler = GrowthScheduler(network, MSE)
    plan = scheduler.plan(batches(120, image=False, seed=1))
    by_target = {candidate.target: candidate for candidate in plan.candidates}
    assert by_target["a"].reason is by_target["a"].slope is None
    assert "no slope behind a layer norm" in by_target["a"].note
    assert by_target["b"].slope > 0


def test_the_spec_key_allows_the_jump_and_the_reason_names_it() -> None:
    spec = compiled("layer_norm").spec
    growth = spec.growth.model_copy(update={"allow_jump": False})
    network = compile_network(copy.copy(spec), seed=0, dtype=F64)
    refused = GrowthScheduler(network, MSE, policy=growth).plan(batches(80, image=False, seed=1))
    reasons = {candidate.target: candidate.reason for candidate in refused.candidates}
    assert "layer norm `n` changes its old outputs at once" in reasons["a"]
    assert "`growth.allow_jump: true`" in reasons["a"]
    assert reasons["b"] is None
    allowed = GrowthScheduler(network, MSE).plan(batches(80, image=False, seed=1))
    assert {candidate.target for candidate in allowed.candidates if candidate.reason is None} == {"a", "b"}


def parameters_of(norm: torch.nn.Module) -> list[torch.nn.Parameter]:
    return list(norm.parameters())


@pytest.mark.parametrize("image", [False, True], ids=["linear", "conv2d"])
@pytest.mark.parametrize("norm", NORM_NODES)
def test_optimizer_state_follows_the_norm(norm: str, image: bool) -> None:
    network = compiled(norm, image=image)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    data = batches(80, image=image, seed=1)
    for _ in range(2):
        train_once(network, optimizer, data)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer)
    candidate = next(c for c in scheduler.plan(data).candidates if c.target == "a")
    module = next(m for m in network.modules() if isinstance(m, _BatchNorm | GroupNorm | LayerNorm))
    old = [copy.deepcopy(optimizer.state[p]) for p in parameters_of(module)]
    values = [p.detach().clone() for p in parameters_of(module)]
    scheduler.apply(candidate, 0.1)
    for was, value, parameter in zip(old, values, parameters_of(module), strict=True):
        now = optimizer.state[parameter]
        width = len(value)
        assert len(parameter) == width + candidate.neurons
        assert torch.equal(parameter[:width], value)
        assert torch.equal(now["exp_avg"][:width], was["exp_avg"])
        assert not now["exp_avg"][width:].any()
        assert torch.equal(now["exp_avg_sq"][:width], was["exp_avg_sq"])
        close(now["exp_avg_sq"][width:], was["exp_avg_sq"].mean().expand_as(now["exp_avg_sq"][width:]))
        assert torch.equal(now["step"], was["step"])
    assert len(optimizer.state) == len(list(network.parameters()))
    train_once(network, optimizer, data)


def test_optimizer_state_of_a_norm_behind_a_concat_stays_with_its_channels() -> None:
    """New channels of the first branch are inserted in the middle of the norm."""
    network = compile_network(
        parse_spec(
            """
version: 1
name: side by side
nodes:
  x: {kind: input, shape: [5]}
  a: {kind: linear, from: x, features: 2, activation: tanh}
  b: {kind: linear, from: x, features: 3, activation: tanh}
  j: {kind: merge, from: [a, b], merge: concat}
  n: {kind: batch_norm, from: j}
  y: {kind: linear, from: n, features: 3}
output: y
growth: {neurons: {per_step: 2}}
"""
        ),
        seed=0,
        dtype=F64,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    data = batches(80, image=False, seed=1)
    train_once(network, optimizer, data)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer)
    candidate = next(c for c in scheduler.plan(data).candidates if c.target == "a")
    (norm,) = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    old = optimizer.state[norm.weight]["exp_avg"].clone()
    scheduler.apply(candidate, 0.1)
    added = candidate.neurons
    now = optimizer.state[norm.weight]["exp_avg"]
    assert torch.equal(now[:2], old[:2])
    assert not now[2 : 2 + added].any()
    assert torch.equal(now[2 + added :], old[2:])


@pytest.mark.parametrize("image", [False, True], ids=["linear", "conv2d"])
@pytest.mark.parametrize("norm", NORM_NODES)
@BOTH_MODES
def test_the_scheduler_grows_what_it_promised_on_the_data_it_planned_with(
    norm: str, image: bool, training: bool
) -> None:
    network = compiled(norm, image=image)
    data = batches(40, image=image, seed=1)
    warm_up(network, data[0][0])
    scheduler = GrowthScheduler(network, MSE)
    candidate = next(c for c in scheduler.plan(data).candidates if c.target == "a")
    group = linked(network, candidate, scheduler.policy)
    set_pending(candidate, group, 0.37, finite_scale=False)
    network.train(training)
    with torch.no_grad():
        predicted = network.extended_forward(data[0][0])
    scheduler.apply(candidate, 0.37)
    network.train(training)
    close(run(network, data[0][0]), predicted)


def test_consecutive_growth_of_norms_keeps_everything_together() -> None:
    """Several growths in a row with training between: widths agree everywhere and old channels are never moved."""
    found = warmed(NETWORKS["several on one way"])
    widths = [found.network.growing("a").out_neurons]
    for _ in range(3):
        for consumer in created(found, 1):
            consumer.set_scaling_factor(0.5)
            predicted = promised(found)
            consumer.apply_change()
            close(run(found.network, found.x), predicted)
        found.network.train()
        run(found.network, found.x)
        found.network.eval()
        widths.append(found.network.growing("a").out_neurons)
    assert all(after > before for before, after in pairwise(widths))
    sizes = {m.num_features for m in found.network.modules() if isinstance(m, _BatchNorm)}
    assert sizes == {widths[-1]}
