"""Networks in which several layers grow together, compiled from small specs, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gromo_graph import GrowingNetwork, compile_network, parse_spec
from gromo_graph.modules import GrowingModule
from gromo_graph.modules.group_links import links_of
from gromo_graph.modules.growing_module import LinkedGroup
from gromo_graph.modules.pending import group_of_pending, pending_neurons
from gromo_graph.statistics.forward_new_channels import given, tangents
from gromo_graph.statistics.growth_link import GrowthLink

F64 = torch.float64


def residual(blocks: int, *, activation: str = "tanh", outside: str = "identity") -> str:
    """A stream that `blocks` blocks of two linear layers read and add to."""
    lines = ["x: {kind: input, shape: [5]}", "stem: {kind: linear, from: x, features: 3}"]
    stream = "stem"
    for b in range(blocks):
        lines += [
            f"a{b}: {{kind: linear, from: {stream}, features: 4, activation: {activation}}}",
            f"b{b}: {{kind: linear, from: a{b}, features: 3}}",
            f"j{b}: {{kind: merge, from: [{stream}, b{b}], activation: {outside}}}",
        ]
        stream = f"j{b}"
    return "\n".join([*lines, f"y: {{kind: linear, from: {stream}, features: 2}}"])


def convolutional_residual(blocks: int, *, activation: str = "tanh") -> str:
    """The same with convolutions, a pool and a flatten at the end."""
    lines = [
        "x: {kind: input, shape: [2, 4, 4]}",
        "stem: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1}",
    ]
    stream = "stem"
    for b in range(blocks):
        lines += [
            f"a{b}: {{kind: conv2d, from: {stream}, features: 2, kernel: 3, padding: 1, activation: {activation}}}",
            f"b{b}: {{kind: conv2d, from: a{b}, features: 3, kernel: 1, bias: false}}",
            f"j{b}: {{kind: merge, from: [{stream}, b{b}]}}",
        ]
        stream = f"j{b}"
    lines += [
        f"act: {{kind: merge, from: {stream}, activation: {activation}}}",
        "pool: {kind: avg_pool2d, from: act, kernel: 2}",
        "flat: {kind: flatten, from: pool}",
        "y: {kind: linear, from: flat, features: 2}",
    ]
    return "\n".join(lines)


def many(producers: int, consumers: int, *, merge: str = "sum", activation: str = "tanh") -> str:
    """So many layers into one merge, and so many that read it; their outputs are added up."""
    lines = ["x: {kind: input, shape: [5]}"]
    for i in range(producers):
        bias = str(i % 2 == 0).lower()
        lines.append(f"h{i}: {{kind: linear, from: x, features: 4, activation: tanh, grow: false}}")
        lines.append(f"p{i}: {{kind: linear, from: h{i}, features: 3, bias: {bias}}}")
    names = ", ".join(f"p{i}" for i in range(producers))
    lines.append(f"m: {{kind: merge, from: [{names}], merge: {merge}, activation: {activation}}}")
    lines += [f"c{i}: {{kind: linear, from: m, features: 2}}" for i in range(consumers)]
    names = ", ".join(f"c{i}" for i in range(consumers))
    return "\n".join([*lines, f"y: {{kind: merge, from: [{names}]}}"])


OTHERS: dict[str, str] = {
    "a layer that reads what it adds to": """
x: {kind: input, shape: [5]}
s: {kind: linear, from: x, features: 3}
a: {kind: linear, from: s, features: 3, activation: tanh}
j: {kind: merge, from: [s, a]}
y: {kind: linear, from: j, features: 2}
""",
    "two paths of one channel, added": """
x: {kind: input, shape: [5]}
s: {kind: linear, from: x, features: 3}
r: {kind: merge, from: [s], activation: gelu}
j: {kind: merge, from: [s, r]}
y: {kind: linear, from: j, features: 2}
""",
    "two paths of one channel, side by side": """
x: {kind: input, shape: [2, 4, 4]}
s: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1}
r: {kind: merge, from: [s], activation: gelu}
j: {kind: merge, from: [s, r], merge: concat}
c: {kind: conv2d, from: j, features: 2, kernel: 3, padding: 1, activation: tanh}
f: {kind: flatten, from: j}
e: {kind: flatten, from: c}
u: {kind: linear, from: f, features: 2}
v: {kind: linear, from: e, features: 2}
y: {kind: merge, from: [u, v]}
""",
    "concat in the middle, with the input": """
x: {kind: input, shape: [5]}
s: {kind: linear, from: x, features: 3, activation: tanh}
a: {kind: linear, from: s, features: 4, activation: tanh}
c: {kind: merge, from: [a, s, x], merge: concat}
t: {kind: linear, from: c, features: 4, activation: tanh}
y: {kind: linear, from: t, features: 2}
""",
    "flatten before and after a sum": """
x: {kind: input, shape: [2, 4, 4]}
s: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh}
a: {kind: conv2d, from: s, features: 3, kernel: 1}
p: {kind: max_pool2d, from: s, kernel: 2}
q: {kind: avg_pool2d, from: a, kernel: 2}
f: {kind: flatten, from: p}
g: {kind: flatten, from: q}
j: {kind: merge, from: [f, g], activation: gelu}
y: {kind: linear, from: j, features: 2}
""",
    "norms, depthwise and pools": """
x: {kind: input, shape: [2, 6, 6]}
a: {kind: conv2d, from: x, features: 3, kernel: 3, padding: same, bias: false}
n: {kind: batch_norm, from: a, activation: gelu}
d: {kind: depthwise_conv2d, from: n, kernel: 3, padding: 1}
b: {kind: conv2d, from: d, features: 3, kernel: 3, padding: 1}
j: {kind: merge, from: [d, b]}
m: {kind: batch_norm, from: j, activation: tanh}
p: {kind: avg_pool2d, from: m, kernel: 2, padding: 1}
g: {kind: adaptive_avg_pool2d, from: p}
f: {kind: flatten, from: g}
y: {kind: linear, from: f, features: 3}
""",
    "sequences": """
x: {kind: input, shape: [2, 12]}
a: {kind: conv1d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh}
p: {kind: avg_pool1d, from: a, kernel: 2}
b: {kind: conv1d, from: p, features: 3, kernel: 1}
j: {kind: merge, from: [p, b]}
c: {kind: conv1d, from: j, features: 4, kernel: 3, stride: 2, activation: tanh}
g: {kind: adaptive_avg_pool1d, from: c, size: 2}
f: {kind: flatten, from: g}
y: {kind: linear, from: f, features: 2}
""",
}


@dataclass
class Problem:
    """A network with data, and statistics gathered in all of its layers."""

    network: GrowingNetwork
    x: Tensor
    y: Tensor

    @property
    def layers(self) -> list[GrowingModule]:
        return [
            self.network.growing(key)
            for key, unit in self.network.graph.units.items()
            if unit.role == "layer"
        ]

    def total(self, prediction: Tensor) -> Tensor:
        """Sum of the per-sample losses."""
        return (prediction - self.y).square().sum()

    def loss(self, *, extended: bool = False) -> float:
        """Mean loss, as it is or as it would be after the pending growth."""
        with torch.no_grad():
            run = self.network.extended_forward if extended else self.network
            return float(self.total(run(self.x))) / len(self.x)

    def gather(self) -> Problem:
        for layer in self.layers:
            layer.init_computation()
        self.total(self.network(self.x)).backward()
        self.gradients = {layer.name: layer.pre_activity.grad for layer in self.layers}
        for layer in self.layers:
            layer.update_computation()
        return self

    def links(self) -> list[tuple[GrowingModule, GrowthLink]]:
        """A consumer of each group that can grow, with its link."""
        found: dict[frozenset[str], tuple[GrowingModule, GrowthLink]] = {}
        for layer in self.layers:
            if layer.previous_module is not None:
                for link in links_of(layer):
                    if link.group.reason is None:
                        found.setdefault(frozenset(p.name for p in link.group.producers), (layer, link))
        return list(found.values())

    def slope(self, consumer: GrowingModule, sign: float = 1.0) -> float:
        """The exact slope of the pending neurons of a group, at first order on the stored batch."""
        group = group_of_pending(consumer)
        starts = given(group, pending_neurons(consumer))
        arrived = tangents(group, {place: sign * values for place, values in starts.items()})
        total = 0.0
        for reader, places in group.reads.items():
            read = torch.cat([arrived[place].values for place in places], dim=reader.adapter.feature_dim)
            pull = sign * reader.extended_input_layer(read) * self.gradients[reader.name]
            total -= float(pull.detach().sum()) / len(self.x)
        return total


def problem(nodes: str, *, seed: int = 0, samples: int = 200) -> Problem:
    """The network of some nodes, with random data."""
    network = compile_network(
        parse_spec(f"nodes:\n{_indented(nodes)}\noutput: y\n"), seed=seed, dtype=F64
    ).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    x = torch.randn(samples, *network.graph.shapes["x"], generator=generator, dtype=F64)
    y = torch.randn(samples, *network.graph.shapes["y"], generator=generator, dtype=F64)
    return Problem(network, x, y)


def _indented(nodes: str) -> str:
    return "\n".join(f"  {line}" for line in nodes.strip().splitlines())


def solved(found: Problem, consumer: GrowingModule, group: LinkedGroup, neurons: int = 2) -> None:
    """Make the best neurons of a group pending."""
    for reader in group.consumers:
        reader.compute_optimal_delta(update=False, dtype=F64)
    wanted = neurons * group.unit
    consumer.compute_optimal_added_parameters(
        dtype=F64, maximum_added_neurons=wanted, statistical_threshold=1e-9, producer=group.producers[0]
    )
