"""Four ways to find new neurons, called on modules and asked for in a spec, through every kind of link."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowingNetwork, GrowthScheduler, SpecError, compile_network, parse_spec
from gromo_graph.algebra.neuron_weights import GroupNeurons
from gromo_graph.errors import GrowthError
from gromo_graph.modules import GrowingModule
from gromo_graph.modules.group_links import growing_link
from gromo_graph.modules.pending import group_of_pending, pending_neurons, put
from tests.growth.problems import batches
from tests.modules.chains import ACTIVATIONS, chain
from tests.modules.networks import F64, OTHERS, Problem, convolutional_residual, many, problem, residual
from tests.modules.pairs import KINDS, Pair, pair

close = torch.testing.assert_close
MSE = torch.nn.functional.mse_loss
CRITERIA = ("tiny", "gradmax", "random", "variance_transfer")
ADDED = ("gradmax", "random", "variance_transfer")
"""Those that add neurons which change nothing yet."""
DRAWN = ("random", "variance_transfer")
# Where a channel leaves 0 on a bend: a max pool of which the winner depends on the weights, or a kink.
BENT = ("conv2d, max pool",)
GROUPS = {
    "sum": many(3, 1),
    "sum, read by three": many(2, 3),
    "concat": many(2, 2, merge="concat"),
    "stream": residual(2),
    "stream of images": convolutional_residual(1),
    "reads what it adds to": OTHERS["a layer that reads what it adds to"],
    "concat with the input": OTHERS["concat in the middle, with the input"],
    "sequences": OTHERS["sequences"],
}
EVERY_KIND = pytest.mark.parametrize("kind", sorted(KINDS))
EVERY_GROUP = pytest.mark.parametrize("nodes", GROUPS.values(), ids=list(GROUPS))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def found_by(criterion: str, found: Pair, neurons: int = 3) -> GrowingModule:
    """The second layer of a pair with neurons pending."""
    if criterion == "tiny":
        found.second.compute_optimal_delta(update=False, dtype=F64)
    found.second.compute_optimal_added_parameters(
        dtype=F64, criterion=criterion, maximum_added_neurons=neurons, generator=seeded()
    )
    return found.second


def gathered(kind: str) -> Pair:
    found = pair(kind)
    found.gather()
    return found


@torch.no_grad()
def out(net: torch.nn.Module, x: Tensor) -> Tensor:
    return net(x)


# What the added neurons change: nothing.


@EVERY_KIND
@pytest.mark.parametrize("criterion", ADDED)
@pytest.mark.parametrize("factor", [1.0, -0.3, 7.0])
def test_added_neurons_change_nothing_at_any_scaling_factor(kind: str, criterion: str, factor: float) -> None:
    found = gathered(kind)
    second = found_by(criterion, found)
    before = out(found.net, found.x)
    # The nudge off a bend is a thousandth of a weight.
    allowed = 0.05 * abs(factor) ** 2 if criterion == "gradmax" and kind in BENT else 1e-12 * factor**2
    second.set_scaling_factor(factor)
    close(found.predicted_output(), before, rtol=0, atol=allowed)
    second.apply_change()
    close(out(found.net, found.x), before, rtol=0, atol=allowed)
    assert second.in_neurons == 6 * (second.in_neurons // found.first.out_neurons)
    assert found.first.out_neurons == 6


@EVERY_GROUP
@pytest.mark.parametrize("criterion", ADDED)
def test_added_neurons_change_nothing_through_merges(nodes: str, criterion: str) -> None:
    found = problem(nodes, samples=40).gather()
    names = [(consumer.name, link.group.producers[0].name) for consumer, link in found.links()]
    for reader, producer in names:
        found.gather()
        consumer = found.network.growing(reader)
        before = out(found.network, found.x)
        widths = [layer.out_neurons for layer in found.layers]
        consumer.compute_optimal_added_parameters(
            dtype=F64, criterion=criterion, maximum_added_neurons=3, generator=seeded(),
            producer=found.network.growing(producer),
        )  # fmt: skip
        assert consumer.extended_input_layer is not None
        consumer.set_scaling_factor(1.7)
        close(predicted(found), before, rtol=0, atol=1e-12)
        consumer.apply_change()
        consumer.delete_update()
        close(out(found.network, found.x), before, rtol=0, atol=1e-12)
        assert [layer.out_neurons for layer in found.layers] != widths


@torch.no_grad()
def predicted(found: Problem) -> Tensor:
    return found.network.extended_forward(found.x)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("criterion", DRAWN)
def test_drawn_neurons_change_nothing_behind_any_activation(criterion: str, activation: str) -> None:
    """Nor do those of a sigmoid, which give 0.5 while they get 0: nobody reads them, or two cancel."""
    found = chain(5, 3, 4, activation=activation)
    second = found.modules[1]
    second.compute_optimal_added_parameters(
        criterion=criterion, maximum_added_neurons=5, generator=seeded(), dtype=F64
    )
    second.set_scaling_factor(1.0)
    close(found.predicted_output(), out(found.net, found.x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"sigmoid", "softplus"}))
def test_gradmax_leaves_zero_only_where_the_activation_bends_there(activation: str) -> None:
    found = chain(5, 3, 4, activation=activation)
    found.gather()
    first, second = found.modules
    second.compute_optimal_added_parameters(criterion="gradmax", maximum_added_neurons=2, dtype=F64)
    second.set_scaling_factor(1.0)
    alpha = torch.cat((first.extended_output_layer.weight, first.extended_output_layer.bias[:, None]), dim=1)
    if activation not in ("relu", "leaky_relu", "selu"):
        assert not alpha.any()
        assert torch.equal(found.predicted_output(), out(found.net, found.x))
        return
    nudge = 1e-3 * first.weight.detach().norm(dim=1).mean()
    close(alpha.norm(dim=1).detach(), nudge.expand(2))
    change = float((found.predicted_output() - out(found.net, found.x)).abs().max())
    assert 0 < change < 0.02
    before = found.mean_loss()
    after = float((found.predicted_output() - found.y).square().sum()) / len(found.x)
    assert after < before  # the nudge goes downhill
    if activation == "relu":  # why it is there: at 0 itself a unit would stay dead
        gradient = fan_in_gradient(second, pending_neurons(second), lambda: extended_loss(found))
        assert (gradient.norm(dim=1) > 0).all()


def extended_loss(found: Pair | Problem) -> Tensor:
    """Mean loss with the pending growth, with gradients."""
    if isinstance(found, Problem):
        return found.total(found.network.extended_forward(found.x)) / len(found.x)
    h, further = found.x, None
    for module in found.net:
        if isinstance(module, GrowingModule):
            h, further = module.extended_forward(h, further)
        else:
            h, further = module.extended_forward((h, further))
    return (h.flatten(1) - found.y).square().sum() / len(found.x)


# What they are made of.


@EVERY_KIND
def test_neurons_drawn_at_random_have_no_fan_out(kind: str) -> None:
    found = pair(kind)
    second = found_by("random", found, 200)
    assert not second.extended_input_layer.weight.any()
    layer = found.first.extended_output_layer
    std = (3.0 * found.first.weight[:1].numel()) ** -0.5  # that of uniform first weights in ±1/√fan_in
    assert float(layer.weight.detach().std()) == pytest.approx(std, rel=0.1)
    assert layer.weight.detach().abs().min() > 0
    assert found.first.bias is None or float(layer.bias.detach().std()) == pytest.approx(std, rel=0.2)


@EVERY_KIND
@pytest.mark.parametrize("neurons", [6, 7])
def test_variance_transfer_draws_pairs_that_cancel(kind: str, neurons: int) -> None:
    found = pair(kind)
    second = found_by("variance_transfer", found, neurons)
    alpha = found.first.extended_output_layer.weight.detach()
    repeat = second.in_neurons // found.first.out_neurons
    omega = second.extended_input_layer.weight.detach().unflatten(1, (neurons, repeat))
    assert torch.equal(alpha[:3], alpha[3:6])
    assert torch.equal(omega[:, :3], -omega[:, 3:6])
    assert alpha.abs().min() > 0
    assert not omega[:, 6:].any()
    assert found.first.bias is None or torch.equal(
        *(found.first.extended_output_layer.bias[part] for part in (slice(0, 3), slice(3, 6)))
    )


@pytest.mark.parametrize("kind", ["linear", "conv2d", "conv1d"])
def test_variance_transfer_draws_at_the_spread_of_the_old_weights(kind: str) -> None:
    found = pair(kind)
    with torch.no_grad():
        found.first.weight.mul_(5.0)
        found.second.weight.mul_(0.2)
    second = found_by("variance_transfer", found, 400)
    for new, old in (
        (found.first.extended_output_layer, found.first),
        (second.extended_input_layer, second),
    ):
        assert float(new.weight.detach().std()) == pytest.approx(float(old.weight.detach().std()), rel=0.1)


@EVERY_KIND
def test_gradmax_has_orthogonal_fan_outs_of_the_old_length_and_no_fan_in(kind: str) -> None:
    found = gathered(kind)
    second = found_by("gradmax", found)
    layer = found.first.extended_output_layer
    if kind not in BENT:
        assert not layer.weight.any()
        assert layer.bias is None or not layer.bias.any()
    matrix = fan_out_matrix(pending_neurons(second))
    length = second.weight.detach().transpose(0, 1).flatten(1).norm(dim=1).mean()
    close(matrix.T @ matrix, length.square() * torch.eye(3, dtype=F64), rtol=1e-9, atol=1e-9)


@EVERY_KIND
@pytest.mark.parametrize("criterion", ADDED)
def test_nothing_was_solved_so_there_are_no_singular_values(kind: str, criterion: str) -> None:
    found = gathered(kind)
    second = found.second
    alpha, bias, omega, values = second.compute_optimal_added_parameters(
        dtype=F64, criterion=criterion, maximum_added_neurons=2, generator=seeded()
    )
    assert torch.equal(values, torch.zeros(2, dtype=F64))
    assert second.eigenvalues_extension is None
    assert torch.equal(alpha, found.first.extended_output_layer.weight)
    assert torch.equal(omega, second.extended_input_layer.weight)
    assert (bias is None) == (found.first.bias is None)
    with pytest.raises(GrowthError, match="second: its pending neurons have no singular values"):
        second.sub_select_optimal_added_parameters(threshold=0.1)
    second.sub_select_optimal_added_parameters(1)
    assert found.first.extended_output_layer.weight.shape[0] == 1


@pytest.mark.parametrize("criterion", CRITERIA)
def test_as_many_as_are_asked_for_and_none_where_none_are(criterion: str) -> None:
    for neurons in (0, 1, 3):
        found = gathered("conv2d")
        second = found_by(criterion, found, neurons)
        pending = second.extended_input_layer
        assert (0 if pending is None else pending.weight.shape[1]) == neurons


def test_gradmax_finds_no_more_than_there_are_directions() -> None:
    found = gathered("linear")
    second = found_by("gradmax", found, 50)
    assert second.extended_input_layer.weight.shape[1] == 4


def test_update_previous_leaves_the_layer_before_alone() -> None:
    for criterion in ADDED:
        found = gathered("conv2d")
        found.second.compute_optimal_added_parameters(
            dtype=F64, criterion=criterion, maximum_added_neurons=2, update_previous=False, generator=seeded()
        )
        assert found.first.extended_output_layer is None
        assert found.second.extended_input_layer.weight.shape[1] == 2


# What GradMax promises: no other fan-out of that length gives the new fan-in a larger gradient.


def fan_out_matrix(neurons: GroupNeurons) -> Tensor:
    """All weights that read the new neurons, (weights, k)."""
    parts = [
        part.transpose(0, 1).flatten(1) for fan_out in neurons.fan_out for part in fan_out.by_place()
    ]  # fmt: skip
    return torch.cat(parts, dim=1).T.detach()


def with_fan_out(neurons: GroupNeurons, matrix: Tensor) -> GroupNeurons:
    """The inverse of `fan_out_matrix`."""
    changed, start = [], 0
    for fan_out in neurons.fan_out:
        parts = []
        for part in fan_out.by_place():
            size = part.shape[0] * part.shape[2:].numel()
            block = matrix[start : start + size].T
            parts.append(block.reshape(-1, part.shape[0], *part.shape[2:]).transpose(0, 1))
            start += size
        changed.append(fan_out.of(parts))
    return replace(neurons, fan_out=tuple(changed))


def fan_in_gradient(consumer: GrowingModule, neurons: GroupNeurons, loss: Callable[[], Tensor]) -> Tensor:
    """The gradient of the loss at the fan-in of the new neurons, of all producers side by side, (k, weights)."""
    group = group_of_pending(consumer)
    put(group, neurons)
    consumer.set_scaling_factor(1.0)
    layers = [producer.extended_output_layer for producer in group.producers]
    found = torch.autograd.grad(loss(), [p for layer in layers for p in layer.parameters()])
    return torch.cat([part.reshape(part.shape[0], -1) for part in found], dim=1)


def orthogonal_of_the_same_length(matrix: Tensor, generator: torch.Generator, near: float) -> Tensor:
    """Other fan-outs, at random or near the ones there are, on the taps that are read at all."""
    read = (matrix != 0).any(dim=1, keepdim=True)
    noise = torch.randn(matrix.shape, generator=generator, dtype=F64) * read
    length = matrix.norm(dim=0).mean()
    start = noise if near == 0.0 else matrix / length + near * noise
    return torch.linalg.qr(start).Q * length


def check_that_no_fan_out_is_better(consumer: GrowingModule, loss: Callable[[], Tensor]) -> None:
    neurons = pending_neurons(consumer)
    matrix = fan_out_matrix(neurons)
    best = float(fan_in_gradient(consumer, neurons, loss).norm())
    assert best > 0
    generator = seeded(1)
    others = [
        float(
            fan_in_gradient(
                consumer,
                with_fan_out(neurons, orthogonal_of_the_same_length(matrix, generator, near)),
                loss,
            ).norm()
        )
        for near in (0.0, 0.0, 0.0, 0.0, 0.3, 0.1, 0.03, 0.01)
    ]
    assert max(others) <= best * (1 + 1e-9)
    if (
        int((matrix != 0).any(dim=1).sum()) > matrix.shape[1]
    ):  # else they span all there is, whichever they are
        assert min(others) < 0.95 * best


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(BENT)))
def test_no_fan_out_gives_a_larger_gradient_than_that_of_gradmax(kind: str) -> None:
    found = gathered(kind)
    second = found_by("gradmax", found, 2)
    check_that_no_fan_out_is_better(second, lambda: extended_loss(found))


@EVERY_GROUP
def test_no_fan_out_gives_a_larger_gradient_through_merges(nodes: str) -> None:
    found = problem(nodes, samples=40).gather()
    for consumer, link in found.links():
        group = growing_link(consumer, link.group.producers[0]).group
        consumer.compute_optimal_added_parameters(
            dtype=F64, criterion="gradmax", maximum_added_neurons=2, producer=group.producers[0]
        )
        check_that_no_fan_out_is_better(consumer, lambda: extended_loss(found))
        consumer.delete_update()


@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_gradmax_is_as_strong_as_the_singular_values_say(kind: str) -> None:
    """‖∂L/∂α‖² = length² Σ σ², with σ the singular values of M_prev."""
    found = gathered(kind)
    second = found_by("gradmax", found, 2)
    values = torch.linalg.svdvals(second.tensor_m_prev())[:2]
    neurons = pending_neurons(second)
    gradient = fan_in_gradient(second, neurons, lambda: extended_loss(found))
    length = fan_out_matrix(neurons).norm(dim=0)
    close(gradient.norm(dim=1), values * length)


@pytest.mark.parametrize("criterion", ["tiny", "gradmax"])
def test_behind_a_concat_the_branch_that_promises_most_grows(criterion: str) -> None:
    """By what the criterion itself goes by: the sum of squared singular values, or of the squared gradient."""
    best = set()
    for seed in range(6):
        found = problem(many(2, 1, merge="concat"), seed=seed, samples=60)
        with (
            torch.no_grad()
        ):  # inputs of the one branch are small, those of the other as large as tanh makes them
            found.network.growing(f"h{seed % 2}").weight.mul_(0.1)
            found.network.growing(f"h{1 - seed % 2}").weight.mul_(10.0)
        found.gather()
        reader, branches = found.network.growing("c0"), [found.network.growing(f"p{i}") for i in range(2)]
        reader.compute_optimal_delta(update=False, dtype=F64)

        def find(producer: GrowingModule | None, reader: GrowingModule = reader) -> None:
            reader.compute_optimal_added_parameters(
                dtype=F64,
                criterion=criterion,
                maximum_added_neurons=1,
                statistical_threshold=0.0,
                producer=producer,
            )

        promises = []
        for branch in branches:
            find(branch)
            if criterion == "gradmax":
                neurons = pending_neurons(reader)
                promises.append(
                    float(fan_in_gradient(reader, neurons, lambda f=found: extended_loss(f)).norm())
                )
            else:
                promises.append(float(reader.eigenvalues_extension.square().sum()))
            reader.delete_update(delete_delta=False)
        find(None)
        chosen = promises.index(max(promises))
        best.add(chosen)
        assert branches[chosen].extended_output_layer is not None
        assert branches[1 - chosen].extended_output_layer is None
    assert best == {0, 1}


# Random numbers.


@EVERY_KIND
@pytest.mark.parametrize("criterion", DRAWN)
def test_a_generator_makes_it_reproducible_and_leaves_the_global_state_alone(
    kind: str, criterion: str
) -> None:
    def drawn(seed: int) -> list[Tensor]:
        found = pair(kind)
        state = torch.get_rng_state()
        second = found.second
        second.compute_optimal_added_parameters(
            criterion=criterion, maximum_added_neurons=3, generator=seeded(seed)
        )
        assert torch.equal(state, torch.get_rng_state())
        layers = (found.first.extended_output_layer, second.extended_input_layer)
        return [p.detach() for layer in layers for p in layer.parameters()]

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize("criterion", DRAWN)
def test_without_a_generator_the_global_one_is_used(criterion: str) -> None:
    alphas = []
    for _ in range(2):
        found = pair("linear")
        torch.manual_seed(5)
        found.second.compute_optimal_added_parameters(criterion=criterion, maximum_added_neurons=3)
        alphas.append(found.first.extended_output_layer.weight.detach())
    assert torch.equal(*alphas)
    found.second.compute_optimal_added_parameters(criterion=criterion, maximum_added_neurons=3)
    assert not torch.equal(found.first.extended_output_layer.weight, alphas[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_seed_draws_the_same_numbers_in_every_precision(dtype: torch.dtype) -> None:
    exact, rounded = pair("conv2d"), pair("conv2d")
    rounded.net.to(dtype)
    for found in (exact, rounded):
        found_by("random", found)
    new = rounded.first.extended_output_layer.weight
    assert new.dtype == dtype
    close(new.double(), exact.first.extended_output_layer.weight, rtol=1e-2, atol=1e-4)


@EVERY_KIND
def test_what_is_solved_draws_nothing(kind: str) -> None:
    found = gathered(kind)
    state = torch.get_rng_state()
    for criterion in ("tiny", "gradmax"):
        found_by(criterion, found)
    assert torch.equal(state, torch.get_rng_state())


# Misuse.


@pytest.mark.parametrize("kind", ["linear", "conv2d", "linear, merge"])
def test_unknown_criteria_are_refused_with_those_that_are_known(kind: str) -> None:
    found = gathered(kind)
    with pytest.raises(
        GrowthError,
        match="second: unknown criterion 'best': expected one of tiny, gradmax, random, variance_transfer",
    ):
        found.second.compute_optimal_added_parameters(criterion="best")  # type: ignore[arg-type]
    assert found.second.extended_input_layer is None


@pytest.mark.parametrize("criterion", ADDED)
@pytest.mark.parametrize("maximum", [None, -1])
def test_without_a_number_of_neurons_the_error_says_how_to_give_one(
    criterion: str, maximum: int | None
) -> None:
    found = gathered("conv2d")
    with pytest.raises(
        GrowthError,
        match=rf"second: the criterion '{criterion}' adds as many neurons as it is told: expected "
        rf"maximum_added_neurons of at least 0, found {maximum}",
    ):
        found.second.compute_optimal_added_parameters(criterion=criterion, maximum_added_neurons=maximum)


def test_only_what_is_solved_needs_statistics() -> None:
    for criterion in DRAWN:
        found_by(criterion, pair("conv2d"))
    with pytest.raises(GrowthError, match=r"M_prev of second has no samples yet: call init_computation\(\)"):
        found_by("gradmax", pair("conv2d"))


def test_the_spec_refuses_unknown_criteria_with_those_that_are_known() -> None:
    with pytest.raises(SpecError) as caught:
        network_of(SPECS["linear"], "criterion: best")
    (problem_found,) = caught.value.problems
    assert problem_found.path == "growth.criterion"
    assert problem_found.line > 0
    assert "best" in problem_found.message
    assert all(name in problem_found.message for name in CRITERIA)


# Asked for in a spec.

SPECS = {
    "linear": """
  h: {kind: linear, from: x, features: 3, activation: ACTIVATION}
  k: {kind: linear, from: h, features: 3, activation: ACTIVATION}
  y: {kind: linear, from: k, features: 3}
""",
    "residual": """
  h: {kind: linear, from: x, features: 3}
  a: {kind: linear, from: h, features: 3, activation: ACTIVATION}
  b: {kind: linear, from: a, features: 3}
  k: {kind: merge, from: [h, b], activation: ACTIVATION}
  y: {kind: linear, from: k, features: 3}
""",
    "concat": """
  h: {kind: linear, from: x, features: 3, activation: ACTIVATION}
  a: {kind: linear, from: x, features: 2, activation: ACTIVATION}
  k: {kind: merge, from: [h, a], merge: concat}
  y: {kind: linear, from: k, features: 3}
""",
    "images": """
  h: {kind: conv2d, from: x, features: 3, kernel: 2, activation: ACTIVATION}
  p: {kind: avg_pool2d, from: h, kernel: 2}
  k: {kind: conv2d, from: p, features: 3, kernel: 1, activation: ACTIVATION}
  f: {kind: flatten, from: k}
  y: {kind: linear, from: f, features: 3}
""",
}


def network_of(nodes: str, growth: str, *, activation: str = "tanh") -> GrowingNetwork:
    shape = "[1, 3, 5]" if "conv2d" in nodes else "[5]"
    lines = nodes.strip("\n").replace("ACTIVATION", activation)
    text = f"nodes:\n  x: {{kind: input, shape: {shape}}}\n{lines}\noutput: y\ngrowth: {{{growth}}}\n"
    return compile_network(parse_spec(text), seed=0, dtype=F64).eval()


def data_for(network: GrowingNetwork, *, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    if len(network.graph.shapes["x"]) == 1:
        return batches(80, seed=seed)
    return [(torch.stack((x, x.roll(1, 1), x.square()), 1)[:, None], y) for x, y in batches(80, seed=seed)]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("nodes", SPECS.values(), ids=list(SPECS))
def test_a_spec_grows_by_its_criterion(nodes: str, criterion: str) -> None:
    network = network_of(
        nodes, f"criterion: {criterion}, neurons: {{per_step: 3}}, when: {{every: 1, until: 1.0}}"
    )
    data, held_out = data_for(network), data_for(network, seed=2)
    scheduler = GrowthScheduler(network, MSE, epochs=3, generator=seeded())
    state = torch.get_rng_state()
    for _ in range(3):
        before = [out(network, x) for x, _ in data]
        event = scheduler.step(data, held_out)
        assert event is not None
        if criterion == "tiny":
            assert event.loss_after < event.loss_before or event.decision is None
            continue
        assert event.decision is not None
        assert event.decision.neurons == 3
        assert event.gamma == 1.0
        assert event.loss_after == pytest.approx(event.loss_before, abs=1e-12)
        for (x, _), was in zip(data, before, strict=True):
            close(out(network, x), was, rtol=0, atol=1e-12)
    assert network.graph.parameter_count == sum(p.numel() for p in network.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert scheduler.applied >= 1


@pytest.mark.parametrize("activation", ["gelu", "silu", "elu", "sigmoid", "softplus"])
@pytest.mark.parametrize("criterion", ADDED)
def test_a_spec_keeps_the_function_behind_every_smooth_activation(criterion: str, activation: str) -> None:
    """The bias of the consumer takes back the value of sigmoid units at rest."""
    network = network_of(SPECS["linear"], f"criterion: {criterion}", activation=activation)
    data = data_for(network)
    before = [out(network, x) for x, _ in data]
    event = GrowthScheduler(network, MSE, generator=seeded()).step(data, data)
    assert event is not None
    assert event.decision is not None
    for (x, _), was in zip(data, before, strict=True):
        close(out(network, x), was, rtol=0, atol=1e-12)


def test_the_nudge_off_a_kink_hardly_shows_in_the_loss() -> None:
    network = network_of(SPECS["linear"], "criterion: gradmax", activation="relu")
    data = data_for(network)
    event = GrowthScheduler(network, MSE).step(data, data)
    assert event is not None
    assert event.decision is not None
    assert event.loss_after == pytest.approx(event.loss_before, rel=1e-3)


@pytest.mark.parametrize("criterion", DRAWN)
def test_a_generator_makes_the_growth_of_a_spec_reproducible(criterion: str) -> None:
    def grown(seed: int | None) -> dict[str, Tensor]:
        network = network_of(SPECS["images"], f"criterion: {criterion}")
        data = data_for(network)
        generator = None if seed is None else seeded(seed)
        GrowthScheduler(network, MSE, generator=generator).step(data, data)
        return copy.deepcopy(network.state_dict())

    one, again, other = grown(1), grown(1), grown(2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    torch.manual_seed(3)
    unseeded = grown(None)
    torch.manual_seed(3)
    assert all(torch.equal(value, unseeded[name]) for name, value in grown(None).items())


@pytest.mark.parametrize("criterion", ADDED)
def test_added_neurons_are_trained_from_there(criterion: str) -> None:
    """They change nothing yet, but something of each has a gradient."""
    network = network_of(SPECS["linear"], f"criterion: {criterion}, neurons: {{per_step: 4}}")
    data = data_for(network)
    event = GrowthScheduler(network, MSE, generator=seeded()).step(data, data)
    assert event is not None
    assert event.decision is not None
    producer = network.growing(event.decision.target)
    consumer = next(
        layer for layer in network.modules() if getattr(layer, "previous_module", None) is producer
    )
    x, y = data[0]
    MSE(network(x), y).backward()
    new = slice(producer.out_neurons - event.decision.neurons, None)
    moved = producer.weight.grad[new].norm(dim=1) + consumer.weight.grad[:, new].norm(dim=0)
    assert (moved > 0).all()
