"""Networks and pairs of layers with norms on the way, for the tests of norms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import (
    Conv2d,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool2d,
    RMSNorm,
    Sequential,
    Tanh,
)
from torch.nn.modules.batchnorm import _BatchNorm

from gromo_graph.modules import GrowingModule, MergeGrowingModule
from tests.modules.networks import OTHERS, Problem, problem
from tests.modules.pairs import F64, Pair

close = torch.testing.assert_close
MSE = torch.nn.functional.mse_loss


BOTH_MODES = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])


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
    return next(m for m in found.net.modules() if isinstance(m, _BatchNorm | GroupNorm | LayerNorm | RMSNorm))


def pending(found: Pair, size: int = 2, factor: float = 0.7) -> GrowingModule:
    found.second.create_layer_extensions(size)
    found.second.set_scaling_factor(factor)
    return found.second


def own_channels(found: Pair, factor: float) -> Tensor:
    """The input of a norm directly behind the first layer from the pending channels, (channels, values)."""
    with torch.no_grad():
        return factor * found.first.extended_output_layer(found.x).transpose(0, 1).flatten(1)


def state(found: Pair) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in found.net.state_dict().items()}


def unchanged(found: Pair, before: dict[str, Tensor]) -> bool:
    now = found.net.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[name], before[name]) for name in before)


def raw_neurons(found: Pair, maximum: int) -> float:
    """The best neurons for the gradient as it is, and the decrease they promise per unit of γ: tanh'(0) is 1."""
    *_, values = found.second.compute_optimal_added_parameters(
        dtype=F64,
        maximum_added_neurons=maximum,
        use_projected_gradient=False,
        statistical_threshold=0.0,
    )
    return float(values.square().sum())


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
