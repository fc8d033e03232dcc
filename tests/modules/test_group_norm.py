"""Growth through group norm: by whole groups, of the size that the new channels have."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import (
    AvgPool1d,
    Conv1d,
    Conv2d,
    Flatten,
    GroupNorm,
    Linear,
    MaxPool2d,
    Sequential,
    Tanh,
)

from gromo_graph.errors import GrowthError
from gromo_graph.modules.group_links import growing_link
from tests.modules.networks import problem, solved
from tests.modules.normed import (
    BOTH_MODES,
    close,
    norm_of,
    pending,
    raw_neurons,
    run,
    state,
    two,
    unchanged,
)
from tests.modules.pairs import F64, Pair

pytestmark = pytest.mark.usefixtures("seeded")


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
