"""Transposed convolutions in growing networks: slopes wherever they stand, pruning, edits, and new paths."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph import GrowthScheduler, compile_network, edit, parse_spec
from gromo_graph.spec.settings import Growth, Neurons, When
from tests.growth.test_any_graph import able_to_grow, check, data_for, loss, measured_loss

IMAGE = "  x: {kind: input, shape: [2, 3, 4]}\n"
UP = "kind: conv_transpose2d, kernel: 3, stride: 2, padding: 1, output_padding: 1"

# What stands where: the number of width groups that can grow, and the nodes behind `x`.
GRAPHS: dict[str, tuple[int, str]] = {
    "producer, read by a convolution": (
        1,
        """
  h: {UP, from: x, features: 2, activation: tanh}
  y: {kind: conv2d, from: h, features: 2, kernel: 3, stride: 2}
""",
    ),
    "producer, before a flatten and a linear layer": (
        1,
        """
  h: {UP, from: x, features: 2, activation: gelu}
  flat: {kind: flatten, from: h}
  y: {kind: linear, from: flat, features: 2}
""",
    ),
    "producer, before pools and norms": (
        1,
        """
  h: {UP, from: x, features: 2, activation: silu}
  norm: {kind: batch_norm, from: h}
  pool: {kind: avg_pool2d, from: norm, kernel: 2}
  y: {kind: conv2d, from: pool, features: 2, kernel: 2}
""",
    ),
    "consumer of a convolution": (
        1,
        """
  h: {kind: conv2d, from: x, features: 2, kernel: 2, activation: tanh}
  y: {UP, from: h, features: 2}
""",
    ),
    "consumer behind a pool": (
        1,
        """
  h: {kind: conv2d, from: x, features: 2, kernel: 3, padding: same, activation: tanh}
  pool: {kind: max_pool2d, from: h, kernel: 2, stride: 1}
  y: {kind: conv_transpose2d, from: pool, features: 2, kernel: 2, stride: 2, bias: false}
""",
    ),
    "consumer behind an upsampling": (
        1,
        """
  h: {kind: conv2d, from: x, features: 2, kernel: 2, activation: tanh}
  wide: {kind: upsample2d, from: h}
  y: {kind: conv_transpose2d, from: wide, features: 2, kernel: 2, stride: 3, dilation: 2, output_padding: 2}
""",
    ),
    "both": (
        2,
        """
  h: {UP, from: x, features: 2, activation: tanh}
  i: {kind: conv_transpose2d, from: h, features: 3, kernel: 3, stride: 3, padding: 2, activation: gelu}
  y: {kind: conv_transpose2d, from: i, features: 1, kernel: 2, bias: false}
""",
    ),
    "more cut off than the kernel adds": (
        1,
        """
  h: {kind: conv_transpose2d, from: x, features: 2, kernel: 2, stride: 2, padding: 2, activation: tanh}
  y: {kind: conv_transpose2d, from: h, features: 2, kernel: 2, padding: 1}
""",
    ),
    "a kernel smaller than the stride": (
        1,
        """
  h: {kind: conv_transpose2d, from: x, features: 2, kernel: 2, stride: 3, activation: silu}
  y: {kind: conv_transpose2d, from: h, features: 2, kernel: 1, stride: 2}
""",
    ),
    "in a sum with a convolution behind an upsampling": (
        1,
        """
  a: {UP, from: x, features: 2}
  wide: {kind: upsample2d, from: x}
  b: {kind: conv2d, from: wide, features: 2, kernel: 3, padding: same}
  sum: {kind: merge, from: [a, b], activation: tanh}
  y: {kind: conv_transpose2d, from: sum, features: 2, kernel: 2}
""",
    ),
    "two readers that enter a sum": (
        2,
        """
  h: {kind: conv2d, from: x, features: 2, kernel: 2, activation: tanh}
  a: {kind: conv_transpose2d, from: h, features: 2, kernel: 2, stride: 2}
  wide: {kind: upsample2d, from: h}
  b: {kind: conv2d, from: wide, features: 2, kernel: 3, padding: same}
  sum: {kind: merge, from: [a, b], activation: gelu}
  y: {kind: conv2d, from: sum, features: 1, kernel: 2}
""",
    ),
    "a small U": (
        5,
        """
  top: {kind: conv2d, from: x, features: 2, kernel: 3, padding: same, activation: tanh}
  low: {kind: conv2d, from: top, features: 2, kernel: [STRIDE], activation: tanh}
  up: {kind: conv_transpose2d, from: low, features: 2, kernel: 2, stride: 1, padding: 0, activation: gelu}
  joint: {kind: merge, from: [up, top], merge: concat}
  out: {kind: conv2d, from: joint, features: 2, kernel: 3, padding: same, activation: tanh}
  last: {UP, from: out, features: 2, activation: silu}
  y: {kind: conv2d, from: last, features: 1, kernel: 1}
""",
    ),
}


def text_of(nodes: str) -> str:
    return f"nodes:\n{IMAGE}{nodes.replace('UP', UP).replace('[STRIDE]', '2')}output: y\n"


@pytest.mark.parametrize("kernel", ["full", "centre"])
@pytest.mark.parametrize("name", GRAPHS)
def test_the_slope_is_what_the_loss_does(name: str, kernel: str) -> None:
    groups, nodes = GRAPHS[name]
    spec = parse_spec(text_of(nodes))
    # `y` is read by a head, so that it can grow as well.
    assert check(spec, Growth(kernel=kernel)) == groups + 1  # type: ignore[arg-type]


def test_along_one_axis_and_with_the_statistics_of_projected_gradients() -> None:
    spec = parse_spec("""
nodes:
  code: {kind: input, shape: [5, 1]}
  wide: {kind: conv_transpose1d, from: code, features: 3, kernel: 4, stride: 4, activation: tanh}
  fine: {kind: conv_transpose1d, from: wide, features: 2, kernel: 3, stride: 2, padding: 1, activation: tanh}
  y: {kind: conv1d, from: fine, features: 1, kernel: 3}
output: y
""")
    for apply_delta in (True, False):
        assert check(spec, Growth(apply_delta=apply_delta)) == 3


NETWORK = text_of("""
  h: {UP, from: x, features: 6, activation: gelu}
  i: {kind: conv_transpose2d, from: h, features: 5, kernel: 2, stride: 2, activation: tanh}
  y: {kind: conv2d, from: i, features: 2, kernel: 3}
""")


def test_neurons_that_are_not_needed_are_taken_out() -> None:
    network = compile_network(parse_spec(NETWORK), seed=0, dtype=torch.float64)
    with torch.no_grad():
        first, second = network.parts["h"], network.parts["i"]
        first.weight[3], first.bias[3] = first.weight[1], first.bias[1]  # equal to another
        second.weight[:, 4] = 0.0  # not read
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 2, 3, 4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        y = network(x)
    data = [(x, y + 0.1 * torch.randn(y.shape, generator=generator, dtype=y.dtype))]
    policy = Growth(actions=("prune",), neurons=Neurons(per_step=2), when=When(every=1, until=1.0))
    scheduler = GrowthScheduler(network, torch.nn.functional.mse_loss, policy=policy, epochs=4)
    event = scheduler.step(data, data)
    assert event is not None
    assert event.decision is not None, event.reason
    assert network.graph.features("h") == 4
    assert tuple(network.parts["i"].weight.shape) == (5, 4, 2, 2)
    with torch.no_grad():
        assert (network(x) - y).abs().max() < 1e-5 * y.abs().max()


def test_edits_keep_the_function_and_take_the_largest_weights() -> None:
    network = compile_network(parse_spec(NETWORK), seed=0, dtype=torch.float64)
    optimizer = torch.optim.Adam(network.parameters())
    x = torch.randn(3, 2, 3, 4, dtype=torch.float64)
    network(x).square().mean().backward()
    optimizer.step()
    with torch.no_grad():
        wanted = network(x)
        with edit(network, optimizer=optimizer) as e:
            e.set_features("h", 8).set_features("i", 6)
        assert e.preserved
        torch.testing.assert_close(network(x), wanted, rtol=1e-12, atol=1e-12)
        assert tuple(network.parts["i"].weight.shape) == (6, 8, 2, 2)
        moment = optimizer.state[network.parts["i"].weight]["exp_avg"]
        assert moment.shape == (6, 8, 2, 2)
        assert moment[:5, :6].any()
        assert not moment[:, 6:].any()
        network.parts["i"].weight[:, [0, 7]] = 0.0
        network.parts["h"].weight[[0, 7]] *= 1e-6
        wanted = network(x)
        with edit(network) as e:
            e.set_features("h", 6)
        torch.testing.assert_close(network(x), wanted, rtol=1e-12, atol=1e-12)
        with edit(network) as e:
            e.insert("x", "h", "up", {"kind": "conv_transpose2d", "kernel": 2, "stride": 2})
        assert network.graph.shapes["up"] == (2, 6, 8)
        assert not e.preserved
        with edit(network) as e:
            e.remove_node("up")
    assert network.graph.parameter_count == sum(p.numel() for p in network.parameters())


def test_new_paths_lead_to_and_from_them() -> None:
    """The new layers are convolutions, or transposed ones like that of the target; slopes are what the loss does."""
    spec = able_to_grow(parse_spec(text_of(GRAPHS["a small U"][1])))
    network = compile_network(spec, seed=0, dtype=torch.float64).eval()
    policy = Growth(actions=("new_edge", "new_node"))
    data = data_for(network)
    scheduler = GrowthScheduler(network, loss, policy=policy)
    before = measured_loss(network, data)
    able = [c for c in scheduler.plan(data).candidates if c.reason is None and not c.rescue]
    targets = {candidate.target for candidate in able}
    assert {"top->up", "x->new.1->up", "up->out", "last->new.1->y", "top->last"} <= targets
    for candidate in able:
        grown = copy.deepcopy((scheduler, candidate))
        gamma = 1e-8
        grown[0].apply(grown[1], gamma)
        measured = (before - measured_loss(grown[0].network, data)) / gamma
        assert measured == pytest.approx(candidate.slope, rel=1e-2, abs=1e-5), (
            candidate.kind,
            candidate.target,
        )


def test_a_group_that_is_read_by_several_strides_counts_each_position_as_often_as_it_is_read() -> None:
    spec = able_to_grow(parse_spec(text_of(GRAPHS["two readers that enter a sum"][1])))
    network = compile_network(spec, seed=0, dtype=torch.float64).eval()
    scheduler = GrowthScheduler(network, loss, policy=Growth())
    (candidate,) = [c for c in scheduler.plan(data_for(network)).candidates if c.target == "h"]
    assert set(candidate.group.consumers) == {"a", "b"}
