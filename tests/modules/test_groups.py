"""Growth of several layers together: through sums, concats, fan-outs, residual streams, norms, pools and flattens."""

from __future__ import annotations

import copy

import pytest
import torch

from gromo_graph.algebra.neuron_weights import FanIn, FanOut, GroupNeurons
from gromo_graph.errors import GrowthError
from gromo_graph.layers.layer_group import repeats_of
from gromo_graph.modules import GrowingModule
from gromo_graph.modules.group_links import growing_link
from gromo_graph.modules.pending import pending_neurons, put
from gromo_graph.statistics.cross_moments import readings_of, window_of
from gromo_graph.statistics.forward_new_channels import given, tangents
from gromo_graph.statistics.growth_moment import spans_of, weights_of
from tests import reference
from tests.modules.networks import (
    F64,
    OTHERS,
    Problem,
    convolutional_residual,
    many,
    problem,
    residual,
    solved,
)

NETWORKS = {
    **{f"residual {blocks}": residual(blocks) for blocks in (1, 2, 3, 4)},
    "residual, activation behind the sums": residual(2, outside="tanh"),
    **{f"convolutional residual {blocks}": convolutional_residual(blocks) for blocks in (1, 2, 4)},
    **{f"{p} to {c}": many(p, c) for p in (1, 2, 4) for c in (1, 3, 4)},
    **{f"{p} to {c}, concat": many(p, c, merge="concat") for p in (2, 4) for c in (1, 3)},
    **OTHERS,
}
close = torch.testing.assert_close


@pytest.fixture(params=NETWORKS, scope="module")
def gathered(request: pytest.FixtureRequest) -> Problem:
    return problem(NETWORKS[request.param]).gather()


def test_slope_is_the_finite_difference_and_the_forward_pass_is_as_predicted(gathered: Problem) -> None:
    links = gathered.links()
    assert links
    for consumer, link in links:
        found = copy.deepcopy(gathered)
        found.gradients = gathered.gradients
        asked = found.network.growing(consumer.name)
        group = next(
            each.group
            for each in asked.growth_links or []
            if {p.name for p in each.group.producers} == {p.name for p in link.group.producers}
        )
        restore_inputs(found, gathered)
        solved(found, asked, group)
        if asked.extended_input_layer is None:
            continue  # what a layer without an activation behind it could gain is projected out
        before = found.loss()
        largest = max(float(p.extended_output_layer.weight.detach().abs().max()) for p in group.producers)
        s = 1e-3 if largest < 100 else 1e-5  # the curvature of gelu at 0 makes an error of order s·α
        asked.set_scaling_factor(s)
        measured = (before - found.loss(extended=True)) / s**2
        assert found.slope(asked) == pytest.approx(measured, rel=1e-2, abs=1e-7)
        asked.set_scaling_factor(0.3)
        with torch.no_grad():
            predicted = found.network.extended_forward(found.x)
        assert not torch.allclose(predicted, found.network(found.x), atol=1e-6)
        widths = [producer.out_neurons for producer in group.producers]
        asked.apply_change(apply_delta=False)
        close(found.network(found.x).detach(), predicted)
        assert [p.out_neurons for p in group.producers] == [w + 2 * group.unit for w in widths]
        asked.delete_update()
        assert all(module.extended_input_layer is None for module in found.layers)
        assert all(module.extended_output_layer is None for module in found.layers)


def restore_inputs(found: Problem, original: Problem) -> None:
    """A copy starts without stored activations."""
    for layer, other in zip(found.layers, original.layers, strict=True):
        layer.capture.input = other.capture.input


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("make", [residual, convolutional_residual])
def test_other_activations(activation: str, make: object) -> None:
    found = problem(make(2, activation=activation)).gather()  # type: ignore[operator]
    for consumer, link in found.links():
        solved(found, consumer, link.group)
        before = found.loss()
        for sign in (1.0, -1.0):
            consumer.set_scaling_factor(sign * 1e-4)
            measured = (before - found.loss(extended=True)) / 1e-8
            assert found.slope(consumer, sign) == pytest.approx(measured, rel=1e-2, abs=1e-6)
        consumer.delete_update()


def test_m_prev_is_the_slope_of_single_neurons(gathered: Problem) -> None:
    """Entry (column, output and reading) is what a neuron with one weight on each side would do, with opposite sign."""
    generator = torch.Generator().manual_seed(0)
    for consumer, link in gathered.links():
        if link.group.linear_paths.gain != 1.0 or not link.group.linear_paths.odd or link.group.unit > 1:
            continue  # there the ways are not what single neurons see
        group = growing_link(consumer, link.group.producers[0]).group
        gathered_link = growing_link(consumer, link.group.producers[0])
        spans = spans_of(group)
        for _ in range(3):
            producer = group.producers[int(torch.randint(len(group.producers), (), generator=generator))]
            column = int(torch.randint(spans[producer].stop - spans[producer].start, (), generator=generator))
            place = int(torch.randint(gathered_link.m_prev().shape[1], (), generator=generator))
            put(group, single_neuron(group, producer, column, consumer, place))
            measured = gathered.slope(consumer)
            entry = float(gathered_link.m_prev()[spans[producer].start + column, place])
            assert -entry == pytest.approx(measured, rel=1e-6, abs=1e-12)
            before = gathered.loss()
            consumer.set_scaling_factor(1e-3)
            difference = (before - gathered.loss(extended=True)) / 1e-6
            assert measured == pytest.approx(difference, rel=1e-2, abs=1e-6)
        consumer.delete_update()


def single_neuron(group, producer, column: int, consumer, place: int) -> GroupNeurons:  # type: ignore[no-untyped-def]
    """One fan-in weight of one producer and one fan-out weight of one consumer are 1, all others 0."""
    fan_in = []
    for each in group.producers:
        row = torch.zeros(1, each.adapter.columns(each.layer), dtype=F64)
        if each is producer:
            row[0, column] = 1.0
        fan_in.append(FanIn(*each.adapter.weight_and_bias(each.layer, row)))
    fan_out = []
    for each in group.consumers:
        parts = []
        start = 0
        for read in group.reads[each]:
            readings = readings_of(each, group, read)
            omega = torch.zeros(each.out_neurons * readings, dtype=F64)
            if each is consumer and start <= place < start + len(omega):
                omega[place - start] = 1.0
            start += len(omega)
            parts.append(
                each.adapter.fan_out_weight(
                    each.layer, omega.reshape(each.out_neurons, readings, 1), group.kernel_of(each)
                )
            )
        fan_out.append(FanOut(torch.cat(parts, dim=1), repeats_of(group, each)))
    return GroupNeurons(tuple(fan_in), tuple(fan_out), None)


def test_s_is_what_new_channels_carry(gathered: Problem) -> None:
    """α S αᵀ is the sum over places and reads of the squares of what arrives there."""
    generator = torch.Generator().manual_seed(0)
    for consumer, link in gathered.links():
        if link.group.linear_paths.gain != 1.0 or not link.group.linear_paths.odd or link.group.unit > 1:
            continue
        found = growing_link(consumer, link.group.producers[0])
        group, spans = found.group, spans_of(found.group)
        alpha = torch.randn(3, spans[group.producers[-1]].stop, generator=generator, dtype=F64)
        fan_in = [FanIn(*p.adapter.weight_and_bias(p.layer, alpha[:, spans[p]])) for p in group.producers]
        arrived = tangents(group, given(group, GroupNeurons(tuple(fan_in), (), None)))
        total = torch.zeros(3, 3, dtype=F64)
        for place in group.read_places():
            values = arrived[place].values.detach()
            readers = [c for c in group.consumers if place in group.reads[c]]
            if all(window_of(c, group) is None for c in readers):
                flat = values.reshape(len(values), 3, -1)
                total += torch.einsum("nip,njp->ij", flat, flat)
                continue
            image = values if values.dim() == 4 else values[:, :, None]
            height, width = weights_of(group, place, tuple(image.shape[2:]))
            weights = torch.outer(torch.tensor(height), torch.tensor(width)).double()
            total += torch.einsum("nihw,njhw,hw->ij", image, image, weights)
        close(alpha @ found.s_growth.statistic() @ alpha.T, total / len(gathered.x))


def test_all_of_it_at_once_and_five_times_in_a_row() -> None:
    found = problem(convolutional_residual(2), samples=100)
    for _ in range(5):
        found.gather()
        names = [consumer.name for consumer, _ in found.links()]
        for name in names:
            consumer = found.network.growing(name)
            found.gather()
            link = growing_link(consumer)
            solved(found, consumer, link.group, neurons=1)
            consumer.set_scaling_factor(0.1)
            with torch.no_grad():
                predicted = found.network.extended_forward(found.x)
            consumer.apply_change()
            consumer.delete_update()
            close(found.network(found.x).detach(), predicted)
    assert found.network.growing("stem").out_neurons == found.network.growing("b1").out_neurons == 8
    assert found.network.growing("y").in_neurons == 8 * 4


def test_deltas_of_all_readers_and_the_extension_are_applied_once() -> None:
    found = problem(many(2, 3)).gather()
    readers = [found.network.growing(f"c{i}") for i in range(3)]
    for reader in readers:
        reader.compute_optimal_delta(dtype=F64)
    readers[1].compute_optimal_added_parameters(dtype=F64, maximum_added_neurons=2, statistical_threshold=0.0)
    readers[0].set_scaling_factor(0.2)  # of the whole group
    assert all(reader.scaling_factor == 0.2 for reader in readers)
    with torch.no_grad():
        predicted = found.network.extended_forward(found.x)
    for reader in readers:
        reader.apply_change()
    close(found.network(found.x).detach(), predicted)
    assert [reader.in_neurons for reader in readers] == [5, 5, 5]


def test_selecting_scaling_and_deleting_go_through_the_merge() -> None:
    found = problem(many(3, 2)).gather()
    first, second = (found.network.growing(f"c{i}") for i in range(2))
    producers = [found.network.growing(f"p{i}") for i in range(3)]
    for reader in (first, second):
        reader.compute_optimal_delta(dtype=F64)
    first.compute_optimal_added_parameters(dtype=F64, statistical_threshold=0.0)
    values = first.eigenvalues_extension
    assert torch.equal(values, second.eigenvalues_extension)
    assert len(values) == 2  # both readers have the same gradient
    expected = first.parameter_update_decrease + values.square().sum()
    close(first.first_order_improvement, expected)
    first.scale_layer_extension(None, 2.0, 8.0)
    close(second.eigenvalues_extension, 4 * values)
    second.sub_select_optimal_added_parameters(1)
    assert first.extended_input_layer.weight.shape[1] == 1
    assert {p.extended_output_layer.weight.shape[0] for p in producers} == {1}
    first.normalize_optimal_updates(0.1, "equalize_extensions")
    joint = torch.cat([r.extended_input_layer.weight.flatten() for r in (first, second)])
    close(joint.std(), torch.tensor(0.1, dtype=F64))
    first.delete_update()
    assert second.extended_input_layer is None
    assert all(p.extended_output_layer is None for p in producers)
    assert second.optimal_delta_layer is not None


def test_created_extensions_go_through_the_merge() -> None:
    found = problem(OTHERS["flatten before and after a sum"])
    found.network(found.x)
    y = found.network.growing("y")
    y.create_layer_extensions(2)
    assert found.network.growing("s").extended_output_layer.weight.shape[0] == 2
    assert found.network.growing("a").extended_input_layer.weight.shape[1] == 2
    assert y.extended_input_layer.weight.shape[1] == 2 * 4
    y.set_scaling_factor(0.5)
    with torch.no_grad():
        predicted = found.network.extended_forward(found.x)
    y.apply_change()
    close(found.network(found.x).detach(), predicted)
    y.target_in_neurons = y.in_neurons + 12
    y.complete_growth({"input_extension_init": "zeros"})
    assert found.network.growing("a").out_neurons == 8


def test_behind_a_concat_the_best_branch_grows_or_the_one_that_is_named() -> None:
    found = problem(many(2, 1, merge="concat")).gather()
    reader, producers = found.network.growing("c0"), [found.network.growing(f"p{i}") for i in range(2)]
    reader.compute_optimal_delta(dtype=F64)
    sums = []
    for producer in producers:
        *_, values = reader.compute_optimal_added_parameters(
            dtype=F64, producer=producer, statistical_threshold=0.0
        )
        assert producer.extended_output_layer is not None
        sums.append(float(values.square().sum()))
        reader.delete_update(delete_delta=False)
    *_, values = reader.compute_optimal_added_parameters(dtype=F64, statistical_threshold=0.0)
    best = producers[sums.index(max(sums))]
    assert best.extended_output_layer is not None
    assert float(values.square().sum()) == pytest.approx(max(sums))
    reader.set_scaling_factor(0.3)
    with torch.no_grad():
        predicted = found.network.extended_forward(found.x)
    reader.apply_change()
    close(found.network(found.x).detach(), predicted)
    with pytest.raises(GrowthError, match="c0 reads nothing of c0 that can grow: expected one of p0, p1"):
        reader.compute_optimal_added_parameters(producer=reader)


def test_two_neurons_of_a_residual_stream_against_a_dense_computation() -> None:
    """docs/maths.md, "Width groups": the two-block residual network, every product written out."""
    found = problem(residual(2)).gather()
    network = found.network
    ones = torch.ones(len(found.x), 1, dtype=F64)
    inputs = {
        n: torch.cat((network.growing(n).input, ones), dim=1) for n in ("stem", "b0", "b1", "a0", "a1", "y")
    }
    g = found.gradients
    sites = {"a0": ["stem"], "a1": ["stem", "b0"], "y": ["stem", "b0", "b1"]}
    order = ["stem", "b0", "b1"]
    # the three constant columns: those of stem, b0 and b1 are seen by other sites, so none is a duplicate
    s = torch.zeros(6 + 5 + 5, 6 + 5 + 5, dtype=F64)
    starts = {"stem": 0, "b0": 6, "b1": 11}
    blocks = []
    for consumer, visible in sites.items():
        row = torch.cat([inputs[p] if p in visible else torch.zeros_like(inputs[p]) for p in order], dim=1)
        s += row.T @ row / len(found.x)
        delta = reference.delta(inputs[consumer].T @ inputs[consumer], inputs[consumer].T @ g[consumer])
        blocks.append(-row.T @ (g[consumer] - inputs[consumer] @ delta.T) / len(found.x))
    assert list(starts) == order
    expected = reference.neurons(s, torch.cat(blocks, dim=1))
    y = network.growing("y")
    group = growing_link(y).group
    solved(found, y, group)
    neurons = pending_neurons(y)
    close(neurons.values, expected.values[:2])
    names = [p.name for p in group.producers]
    for name in order:
        place = names.index(name)
        fan = neurons.fan_in[place]
        alpha = torch.cat((fan.weight, fan.bias[:, None]), dim=1)
        wanted = expected.alpha[:2, starts[name] : starts[name] + alpha.shape[1]]
        close(alpha.abs(), wanted.abs(), rtol=1e-6, atol=1e-9)


def test_constants_that_all_slots_see_stand_once() -> None:
    """Biases of layers that enter one sum are one and the same column; S would be
    singular with both (docs/maths.md, "Width groups")."""
    found = problem(many(4, 1)).gather()
    reader = found.network.growing("c0")
    solved(found, reader, growing_link(reader).group)
    assert reader.extension_solver == "cholesky"
    biases = [found.network.growing(f"p{i}").extended_output_layer.bias for i in (0, 2)]
    assert biases[0].abs().min() > 0
    assert not biases[1].any()


def test_joint_delta_of_all_layers_that_enter_a_sum() -> None:
    found = problem(many(2, 3))
    merge = found.network.unit("y")
    readers = list(merge.joint_modules)
    assert [reader.name for reader in readers] == ["c0", "c1", "c2"]
    merge.init_computation()
    found.total(found.network(found.x)).backward()
    merge.update_computation()
    parts = merge.compute_optimal_delta(dtype=F64)
    b = torch.cat(
        [torch.cat((r.input, torch.ones(len(found.x), 1, dtype=F64)), dim=1) for r in readers], dim=1
    )
    g = readers[0].pre_activity.grad
    s, m = b.T @ b / len(found.x), b.T @ g / len(found.x)
    close(merge.previous_tensor_s, s)
    close(merge.previous_tensor_m, m)
    wanted = reference.delta(s, m)
    found_delta = torch.cat([torch.cat((w, bias[:, None]), dim=1) for w, bias in parts], dim=1)
    close(b @ found_delta.T, b @ wanted.T)  # three equal inputs: only their sum is determined
    decreases = sum(float(reader.parameter_update_decrease) for reader in readers)
    assert decreases == pytest.approx(float(torch.trace(m @ wanted)))
    before = found.loss()
    for reader in readers:
        reader.set_scaling_factor(1e-3)
    assert (before - found.loss(extended=True)) / 1e-6 == pytest.approx(decreases, rel=1e-3)


def with_joint_delta(nodes: str) -> Problem:
    """A problem whose sum `y` has solved for the deltas of all that enter it."""
    found = problem(nodes)
    merge = found.network.unit("y")
    merge.init_computation()
    found.total(found.network(found.x)).backward()
    merge.update_computation()
    merge.compute_optimal_delta(dtype=F64)
    return found


def test_n_is_projected_by_the_joint_delta() -> None:
    nodes = """
x: {kind: input, shape: [5]}
p: {kind: linear, from: x, features: 3, activation: tanh}
q: {kind: linear, from: x, features: 4, activation: tanh}
c: {kind: linear, from: p, features: 2}
d: {kind: linear, from: q, features: 2}
y: {kind: merge, from: [c, d]}
"""
    found = with_joint_delta(nodes)
    c, d, p = (found.network.growing(name) for name in ("c", "d", "p"))
    ones = torch.ones(len(found.x), 1, dtype=F64)
    b = torch.cat((c.input, ones, d.input, ones), dim=1)
    g = c.pre_activity.grad
    projected = g - b @ reference.delta(b.T @ b, b.T @ g).T
    rows = torch.cat((p.input, ones), dim=1)
    close(c.tensor_n, -rows.T @ projected / len(found.x))


def test_convolutions_that_enter_a_sum_are_projected_together() -> None:
    nodes = """
x: {kind: input, shape: [2, 5, 5]}
p: {kind: conv2d, from: x, features: 3, kernel: 3, padding: 1, activation: tanh}
q: {kind: conv2d, from: x, features: 2, kernel: 1, activation: tanh}
c: {kind: conv2d, from: p, features: 2, kernel: 3, stride: 2, padding: 1}
d: {kind: conv2d, from: q, features: 2, kernel: 1, stride: 2}
y: {kind: merge, from: [c, d]}
"""
    found = with_joint_delta(nodes)
    c, d = found.network.growing("c"), found.network.growing("d")
    change = c.optimal_delta_layer(c.input) + d.optimal_delta_layer(d.input)
    projected = (c.pre_activity.grad - change).detach()
    close(c.tensor_n, -c.compute_m_prev_update(projected)[0] / len(found.x))
    assert c.compute_m_update(projected)[0].abs().max() < 1e-8
    assert d.compute_m_update(projected)[0].abs().max() < 1e-8


def test_a_reader_that_gathered_nothing_is_named() -> None:
    found = problem(many(1, 2))
    first, second = (found.network.growing(f"c{i}") for i in range(2))
    first.init_computation()
    found.total(found.network(found.x)).backward()
    first.update_computation()
    first.compute_optimal_delta(dtype=F64)
    with pytest.raises(GrowthError, match=r"c1 .*(init_computation|compute_optimal_delta)"):
        first.compute_optimal_added_parameters(dtype=F64)
    assert second.extended_input_layer is None


def test_set_extension_is_for_two_layers_alone() -> None:
    found = problem(many(2, 1))
    reader = found.network.growing("c0")
    with pytest.raises(GrowthError, match="c0 grows together with 2 other layers"):
        reader.set_extension(torch.zeros(1, 5), torch.zeros(1), torch.zeros(2, 1))


def test_nothing_pending_is_part_of_the_network() -> None:
    found = problem(OTHERS["norms, depthwise and pools"]).gather()
    keys, count = list(found.network.state_dict()), len(list(found.network.parameters()))
    for consumer, link in found.links():
        solved(found, consumer, link.group)
        consumer.set_scaling_factor(0.1)
        assert list(found.network.state_dict()) == keys
        assert len(list(found.network.parameters())) == count
        consumer.delete_update()


def test_groups_are_those_of_the_graph() -> None:
    for nodes in NETWORKS.values():
        found = problem(nodes, samples=2)
        of_graph = {
            (frozenset(group.producers), frozenset(group.consumers))
            for group in found.network.graph.groups
            if group.reason is None
        }
        of_modules = {
            (
                frozenset(producer.name for producer in link.group.producers),
                frozenset(consumer.name for consumer in link.group.consumers),
            )
            for _, link in found.links()
        }
        assert of_modules == of_graph


def test_growing_module_is_what_the_network_is_made_of() -> None:
    assert all(isinstance(layer, GrowingModule) for layer in problem(residual(1), samples=2).layers)
