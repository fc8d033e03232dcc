"""The weights of new edges and new nodes against a dense reference, from rows that hooks collect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad, unfold

from gromo_graph import GrowingNetwork, GrowthScheduler, compile_network
from gromo_graph.algebra import tangent_of
from gromo_graph.growth.candidates.group_neurons import FEW_SAMPLES
from gromo_graph.layers.activation import activation_module
from gromo_graph.spec.settings import Growth, Neurons
from tests import reference
from tests.growth.paths import F64, MSE, Data, compiled, data_of, planned
from tests.growth.test_new_paths import GRAPHS

close = torch.testing.assert_close
Read = Callable[[Tensor], Tensor]


@dataclass
class Rows:
    """The result of a slow look at the whole network.

    Attributes:
        source: (rows, columns) that a new layer would read, with a constant last.
        gradient: (rows, out) of the summed loss at the target, before its activation.
        entering: by layer what it reads today, with a constant where it has a bias.
        samples: what sums over rows are divided by.
    """

    source: Tensor
    gradient: Tensor
    entering: dict[str, Tensor]
    samples: int

    def second(self, left: Tensor, right: Tensor) -> Tensor:
        return left.T @ right / self.samples


def ridged(s: Tensor, ridge: float) -> Tensor:
    return s + ridge * s.diagonal().mean() * torch.eye(len(s), dtype=F64)


def plain(x: Tensor) -> Tensor:
    return x


def windows(kernel: int, padding: int, stride: int) -> Read:
    def rows(x: Tensor) -> Tensor:
        return unfold(pad(x, (padding,) * 4), kernel, stride=stride).transpose(1, 2).flatten(0, 1)

    return rows


def with_constant(rows: Tensor) -> Tensor:
    return torch.cat((rows, rows.new_ones(len(rows), 1)), dim=1)


@dataclass(frozen=True)
class Case:
    """A path whose weights are compared.

    Attributes:
        nodes: the network. source, target: where the path leads.
        entering: the layers that are added up at the target, with how they read. read: how a new layer would.
    """

    nodes: str
    source: str
    target: str
    entering: dict[str, Read]
    read: Read = plain

    def rows(self, network: GrowingNetwork, data: Data) -> Rows:
        """By hooks on the torch modules: the source as it leaves its module, the target as it enters its function."""
        seen: dict[str, Tensor] = {}

        def keep_source(module: object, inputs: object, output: Tensor) -> None:
            seen["->"] = output.detach()

        def keep_target(module: object, inputs: tuple[Tensor, ...]) -> None:
            seen["->->"] = inputs[0]
            inputs[0].retain_grad()

        def keeper(name: str) -> Callable[[object, tuple[Tensor, ...]], None]:
            def keep_input(module: object, inputs: tuple[Tensor, ...]) -> None:
                seen[name] = inputs[0].detach()

            return keep_input

        handles = [
            network.unit(self.source).register_forward_hook(keep_source),
            network.unit(self.target).function.register_forward_pre_hook(keep_target),
            *(network.growing(n).layer.register_forward_pre_hook(keeper(n)) for n in self.entering),
        ]
        x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
        (MSE(network(x), y) * len(y)).backward()
        network.zero_grad(set_to_none=True)
        for handle in handles:
            handle.remove()
        gradient = seen["->->"].grad
        assert gradient is not None
        today = {name: read(seen[name]) for name, read in self.entering.items()}
        return Rows(
            with_constant(self.read(seen["->"])),
            gradient.movedim(1, -1).flatten(0, -2) if gradient.dim() > 2 else gradient,
            {n: with_constant(b) if network.growing(n).use_bias else b for n, b in today.items()},
            len(y),
        )


SUM, LAYERS = GRAPHS["a sum of layers with an activation"], GRAPHS["layers"]
ALONE, UNBIASED = GRAPHS["a sum that no layer enters"], GRAPHS["layers without a bias"]
IMAGES, STRIDED = GRAPHS["images, the same kernel"], GRAPHS["images, a stride"]
THREE = {"b": plain, "c": plain, "d": plain}
POINT, WINDOW = windows(1, 0, 2), windows(3, 1, 1)
EDGES = {
    "into an output": Case(LAYERS, "h1", "y", {"y": plain}),
    "from an input": Case(LAYERS, "x", "h2", {"h2": plain}),
    "into a layer without a bias": Case(UNBIASED, "x", "h2", {"h2": plain}),
    "into a sum of layers": Case(
        SUM.replace("b: {kind: linear, from: x", "b: {kind: linear, from: a"), "x", "s", THREE
    ),
    "by the same kernel": Case(IMAGES, "x", "d", {"d": WINDOW}, WINDOW),
    "by a stride": Case(STRIDED, "x", "d", {"d": WINDOW}, POINT),
}
NODES = {
    "into an output": Case(LAYERS, "h2", "y", {"y": plain}),
    "from an input": Case(LAYERS, "x", "h1", {"h1": plain}),
    "past another node": Case(LAYERS, "x", "y", {"y": plain}),
    "into a layer without a bias": Case(UNBIASED, "h1", "h2", {"h2": plain}),
    "into a sum of layers": Case(SUM, "a", "s", THREE),
    "into a sum that no layer enters": Case(ALONE, "x", "s", {}),
    "by the same kernel": Case(IMAGES, "c", "d", {"d": WINDOW}, WINDOW),
    "by a stride": Case(STRIDED, "x", "d", {"d": WINDOW}, POINT),
}


@pytest.mark.parametrize("ridge", [0.1, 1e-3])
@pytest.mark.parametrize("case", EDGES.values(), ids=EDGES)
def test_a_new_edge_is_the_least_squares_of_the_gradient(case: Case, ridge: float) -> None:
    network = compiled(case.nodes)
    data = data_of(network)
    policy = Growth(actions=("new_edge",), ridge=ridge)
    candidate = planned(GrowthScheduler(network, MSE, policy=policy), data, f"{case.source}->{case.target}")
    rows = case.rows(network, data)
    b = rows.source[:, :-1]
    m = rows.second(b, rows.gradient)
    delta = torch.linalg.solve(ridged(rows.second(b, b), ridge), m).T
    weight, bias = candidate.weights[0].weight, candidate.weights[0].bias
    assert bias is None
    close(weight.flatten(1), -delta)
    assert candidate.slope == pytest.approx(float((m * delta.T).sum()))


@pytest.mark.parametrize("case", EDGES.values(), ids=EDGES)
def test_with_the_delta_applied_old_and_new_columns_are_solved_for_together(case: Case) -> None:
    network = compiled(case.nodes)
    data = data_of(network)
    policy = Growth(actions=("new_edge",), apply_delta=True)
    candidate = planned(GrowthScheduler(network, MSE, policy=policy), data, f"{case.source}->{case.target}")
    rows = case.rows(network, data)
    columns = torch.cat((rows.source[:, :-1], *rows.entering.values()), dim=1)
    m = rows.second(columns, rows.gradient)
    delta = torch.linalg.solve(ridged(rows.second(columns, columns), policy.ridge), m).T
    sizes = [rows.source.shape[1] - 1, *(part.shape[1] for part in rows.entering.values())]
    own, *others = delta.split(sizes, dim=1)
    close(candidate.weights[0].weight.flatten(1), -own)
    assert list(candidate.deltas) == list(rows.entering)
    for name, part in zip(rows.entering, others, strict=True):
        close(candidate.deltas[name], part)
    assert candidate.slope == pytest.approx(float((m * delta.T).sum()))


def test_the_joint_solution_descends_where_its_new_columns_alone_would_ascend() -> None:
    """K⁻¹R by itself ascends in half of random cases (docs/maths.md, "New edges and nodes")."""
    case = EDGES["into an output"]
    policy = Growth(actions=("new_edge",), apply_delta=True, ridge=1e-3)
    alone = []
    for seed in range(8):
        network = compiled(case.nodes, seed=seed)
        data = data_of(network, seed=seed)
        candidate = planned(GrowthScheduler(network, MSE, policy=policy), data, "h1->y")
        assert candidate.slope > 0
        rows = case.rows(network, data)
        m = rows.second(rows.source[:, :-1], rows.gradient)
        alone.append(-float((m * candidate.weights[0].weight.T).sum()))
    assert min(alone) < 0 < max(alone)


def test_a_layer_that_is_an_output_too_is_not_solved_for_with_the_others_of_a_sum() -> None:
    """A change of its weights changes that output."""
    alone = compiled("""
        x: {kind: input, shape: [5]}
        a: {kind: linear, from: x, features: 3}
        b: {kind: linear, from: x, features: 3}
        c: {kind: linear, from: x, features: 3}
        s: {kind: merge, from: [a, b, c], activation: tanh}
        z: {kind: linear, from: x, features: 3, activation: tanh}
        y: {kind: merge, from: [s, z]}
        """)
    spec = replace(alone.spec, outputs=("y", "c"), named_outputs=True)
    network = compile_network(spec, seed=0, dtype=F64)

    def both(prediction: dict[str, Tensor], target: Tensor) -> Tensor:
        return MSE(prediction["y"], target) + MSE(prediction["c"], target)

    policy = Growth(actions=("new_edge",), apply_delta=True)
    candidate = planned(GrowthScheduler(network, both, policy=policy), data_of(alone), "z->s")
    assert list(candidate.deltas) == ["a", "b"]
    assert candidate.slope > 0


@pytest.mark.parametrize("case", NODES.values(), ids=NODES)
def test_new_neurons_are_singular_vectors_of_what_the_layers_there_leave_over(case: Case) -> None:
    network = compiled(case.nodes)
    data = data_of(network)
    policy = Growth(actions=("new_node",), neurons=Neurons(per_step=3))
    target = f"{case.source}->new.1->{case.target}"
    candidate = planned(GrowthScheduler(network, MSE, policy=policy), data, target)
    rows = case.rows(network, data)
    left = rows.gradient
    if rows.entering:
        b = torch.cat(list(rows.entering.values()), dim=1)
        delta = torch.linalg.solve(ridged(rows.second(b, b), policy.ridge), rows.second(b, left))
        left = left - b @ delta
    s = ridged(rows.second(rows.source, rows.source), policy.ridge)
    expected = reference.neurons(s, -rows.second(rows.source, left))
    alpha, bias, omega = candidate.weights[0].weight, candidate.weights[0].bias, candidate.weights[1].weight
    found = reference.products(torch.cat((alpha.flatten(1), bias[:, None]), dim=1), omega.flatten(1))
    wanted = reference.products(expected.alpha, expected.omega)
    taken = []
    for product in found:
        nearest = min(range(len(wanted)), key=lambda k: float((product - wanted[k]).norm()))
        close(product, wanted[nearest], rtol=1e-6, atol=1e-9)
        taken.append(nearest)
    assert len(set(taken)) == candidate.neurons > 0
    gain = tangent_of(activation_module(candidate.path.nodes[0][1].activation)).right
    assert candidate.predicted == pytest.approx(gain * float(expected.values[taken].square().sum()))


def test_with_few_samples_neurons_are_those_of_the_raw_gradient() -> None:
    case, policy = NODES["into an output"], Growth(actions=("new_node",))
    network = compiled(case.nodes)
    data = data_of(network, samples=7, size=7)
    candidate = planned(GrowthScheduler(network, MSE, policy=policy), data, "h2->new.1->y")
    assert FEW_SAMPLES in candidate.note
    rows = case.rows(network, data)
    s = ridged(rows.second(rows.source, rows.source), policy.ridge)
    expected = reference.neurons(s, -rows.second(rows.source, rows.gradient))
    assert candidate.predicted == pytest.approx(float(expected.values[: candidate.neurons].square().sum()))
