"""Growth by natural gradient: its formulas, slopes in units of the loss, and what it refuses."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthScheduler, compile_network, parse_spec
from gromo_graph.algebra import optimal_extension
from gromo_graph.algebra.output_whitening import output_whitening
from gromo_graph.errors import GrowthError, SpecError
from gromo_graph.growth.curvature import CurvatureStatistics
from gromo_graph.growth.observe import Watched, observe
from gromo_graph.growth.pseudo_gradients import DRAWS, output_vectors
from gromo_graph.network import GrowingNetwork
from gromo_graph.records import Candidate
from gromo_graph.spec.settings import Growth
from tests.growth.problems import TOKENS, Loader, loss_of, three_classes

F64 = torch.float64
CE = torch.nn.functional.cross_entropy
MSE = torch.nn.functional.mse_loss
ACTIONS = ["widen", "new_edge", "new_node"]

RESIDUAL = """
nodes:
  x: {kind: input, shape: [5]}
  stem: {kind: linear, from: x, features: 3, activation: tanh}
  mix: {kind: linear, from: stem, features: 3}
  join: {kind: merge, from: [stem, mix], activation: relu}
  y: {kind: linear, from: join, features: 3}
output: y
"""
IMAGES = """
nodes:
  x: {kind: input, shape: [2, 6, 6]}
  one: {kind: conv2d, from: x, features: 2, kernel: 3, padding: 1, activation: relu}
  two: {kind: conv2d, from: one, features: 3, kernel: 3, stride: 2, activation: tanh}
  pool: {kind: max_pool2d, from: two, kernel: 2}
  flat: {kind: flatten, from: pool}
  y: {kind: linear, from: flat, features: 3}
output: y
"""


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random tensors in every run."""
    torch.manual_seed(0)


def network_of(text: str, seed: int = 0) -> GrowingNetwork:
    return compile_network(parse_spec(text), seed=seed, dtype=F64)


def planned(
    network: GrowingNetwork, loader: Loader, loss: Any = CE, **policy: Any
) -> tuple[GrowthScheduler, list[Candidate]]:
    wanted = Growth(**{"criterion": "natural", "neurons": {"per_step": 2}, **policy})
    scheduler = GrowthScheduler(network, loss, policy=wanted, training_steps=100)
    return scheduler, list(scheduler.plan(loader).candidates)


# The formulas


def test_neurons_are_whitened_on_both_sides() -> None:
    """S^(−1/2) N G^(−1/2), its singular vectors and Σ λ², against dense roots."""
    torch.manual_seed(0)
    rows, out = torch.randn(50, 4, dtype=F64), torch.randn(40, 3, dtype=F64)
    s, g, n = rows.T @ rows / 50, out.T @ out / 40, torch.randn(4, 3, dtype=F64)
    outputs = output_whitening([(torch.arange(3)[:, None], g)], damping=0.0)
    found = optimal_extension(s, n, outputs=outputs)

    def root(matrix: Tensor) -> Tensor:
        values, axes = torch.linalg.eigh(matrix)
        return axes @ torch.diag(values.rsqrt()) @ axes.T

    left, values, right = torch.linalg.svd(root(s) @ n @ root(g), full_matrices=False)
    torch.testing.assert_close(found.singular_values, values)
    expected = (root(s) @ left) * values @ (root(g) @ right.T).T
    torch.testing.assert_close(found.alpha.T @ found.omega.T, expected)
    # All of them together are the Newton step of a linear map: S⁻¹ N G⁻¹, with the slope Σ λ².
    torch.testing.assert_close(expected, torch.linalg.solve(s, n) @ torch.linalg.inv(g))
    torch.testing.assert_close(((found.alpha.T @ found.omega.T) * n).sum(), values.square().sum())


def test_blocks_have_curvatures_of_their_own() -> None:
    """Two readings of two outputs, columns (output, reading), beside one of a third output."""
    g = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=F64)
    single = torch.tensor([[4.0]], dtype=F64)
    outputs = output_whitening(
        [(torch.tensor([[0, 1], [2, 3]]), g), (torch.tensor([[4]]), single)], damping=0.0
    )
    n = torch.randn(6, 5, dtype=F64)
    twice = outputs.unwhiten(outputs.whiten(n).T).T
    whole = torch.zeros(5, 5, dtype=F64)
    for reading in range(2):
        at = torch.tensor([reading, reading + 2])
        whole[at[:, None], at] = g
    whole[4, 4] = 4.0
    torch.testing.assert_close(twice, n @ torch.linalg.inv(whole))


@pytest.mark.parametrize("outputs", [3, 7])
def test_vectors_at_the_outputs_give_the_hessian(outputs: int) -> None:
    """diag p − p pᵀ of a cross entropy: exactly for few outputs, in expectation for more."""
    repeats = 1 if outputs <= DRAWS else 4000  # each sample so often, with draws of its own
    given = torch.randn(4, outputs, dtype=F64)
    p = given.softmax(dim=1)
    expected = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    logits = given.repeat(repeats, 1).requires_grad_()
    target = (torch.arange(4) % outputs).repeat(repeats)
    found = torch.zeros_like(expected)
    for draw in output_vectors(
        lambda f, y: CE(f, y) * len(y), logits, target, torch.Generator().manual_seed(0)
    ):
        ((leaf, vector),) = draw
        assert leaf is logits
        found += (vector[:, :, None] * vector[:, None, :]).unflatten(0, (repeats, 4)).mean(0)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-7 if repeats == 1 else 0.02)


def test_labels_are_drawn_of_many_classes() -> None:
    given = torch.randn(6, 80, dtype=F64)
    p = given.softmax(dim=1)
    expected = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    expected[4] = 0.0  # ignored
    logits = given.repeat(1500, 1).requires_grad_()
    target = torch.tensor([1, 2, 3, 4, -100, 5]).repeat(1500)
    found, generator = torch.zeros_like(expected), torch.Generator().manual_seed(0)
    for draw in output_vectors(lambda f, y: CE(f, y) * 5 * 1500, logits, target, generator):
        ((_, vector),) = draw
        found += torch.einsum("rni,rnj->nij", *2 * [vector.unflatten(0, (1500, 6))]) / 1500
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.02)


def test_many_outputs_of_a_regression_are_refused() -> None:
    values = torch.randn(3, 80, requires_grad=True)
    with pytest.raises(
        GrowthError, match="of 80 outputs that is too large: expected at most 64 outputs, or classes"
    ):
        output_vectors(MSE, values, torch.zeros(3, 80), torch.Generator())


def test_the_curvature_is_that_of_the_loss_along_a_change() -> None:
    """Of a linear network with a squared loss the Gauss-Newton matrix is the Hessian."""
    network = network_of("""
        nodes:
          x: {kind: input, shape: [4]}
          h: {kind: linear, from: x, features: 3}
          y: {kind: linear, from: h, features: 2}
        output: y
    """)
    x, y = torch.randn(30, 4, dtype=F64), torch.randn(30, 2, dtype=F64)
    module = network.growing("h")
    change = torch.randn(3, 4, dtype=F64)
    (seen,) = observe(network, MSE, [(x, y)], Watched([module], parameters=False), curvature="gauss_newton")
    along = sum(((x @ change.T) * draw["h"]).sum(dim=1).square().sum() / 30 for draw in seen.draws)

    def loss(t: float) -> Tensor:
        with torch.no_grad():
            return MSE(network(x) + t * x @ change.T @ network.growing("y").weight.T, y)

    second = (loss(1e-3) - 2 * loss(0.0) + loss(-1e-3)) / 1e-6
    assert float(along) == pytest.approx(float(second), rel=1e-6)


def curvature_of(network: GrowingNetwork, loader: Loader, names: tuple[str, ...]) -> Tensor:
    """G as a plan counts it."""
    modules = [network.growing(name) for name in names]
    found = CurvatureStatistics(names, sum(module.out_neurons for module in modules))
    watched = Watched(modules, parameters=False)
    for seen in observe(network, CE, loader, watched, curvature="gauss_newton"):
        found.update(seen)
    return found.value(1.0)


def test_consumers_of_one_group_have_a_curvature_together() -> None:
    """With the blocks between them, against the Hessian at the logits sent back by the Jacobian of each sample."""
    network, loader = network_of(RESIDUAL), three_classes((5,))
    network.eval()
    x = torch.cat([part for part, _ in loader])
    expected = torch.zeros(6, 6, dtype=F64)
    for sample in x:
        hidden = network.growing("stem")(sample[None]).detach()
        at = torch.zeros(1, 6, dtype=F64)  # changes at mix and at y

        def logits(change: Tensor, hidden: Tensor = hidden) -> Tensor:
            mixed = network.growing("mix")(hidden) + change[:, :3]
            return network.growing("y")(torch.relu(hidden + mixed)) + change[:, 3:]

        jacobian = torch.autograd.functional.jacobian(logits, at)[0, :, 0]
        p = logits(at).detach()[0].softmax(dim=0)
        expected += jacobian.T @ (torch.diag(p) - p[:, None] * p) @ jacobian / len(x)
    torch.testing.assert_close(curvature_of(network, loader, ("mix", "y")), expected, rtol=1e-7, atol=1e-9)
    assert bool(expected[:3, 3:].abs().max() > 1e-3)


def test_the_curvature_of_a_convolution_is_the_mean_over_its_positions() -> None:
    network, loader = network_of(IMAGES), three_classes((2, 6, 6))
    module = network.growing("one")
    expected = torch.zeros(2, 2, dtype=F64)
    for seen in observe(network, CE, loader, Watched([module], parameters=False), curvature="gauss_newton"):
        for draw in seen.draws:
            g = draw["one"]
            expected += torch.einsum("nohw,nphw->op", g, g) / (36 * 96)
    torch.testing.assert_close(curvature_of(network, loader, ("one",)), expected)


# Slopes


def applicable(candidates: list[Candidate]) -> Iterator[Candidate]:
    found = [each for each in candidates if each.reason is None]
    assert found
    return iter(found)


@pytest.mark.parametrize("policy", [{}, {"apply_delta": True}, {"scale": "alpha_std"}, {"project": "rows"}])
@pytest.mark.parametrize(
    ("text", "shape", "actions"),
    [
        (RESIDUAL, (5,), ACTIONS),
        (RESIDUAL.replace("relu", "sigmoid"), (5,), ["widen"]),
        (IMAGES, (2, 6, 6), ["widen"]),
        (TOKENS, (4, 5), ["widen", "new_head"]),
    ],
    ids=["residual", "sigmoid", "images", "tokens"],
)
def test_slopes_are_those_of_the_loss(
    text: str, shape: tuple[int, ...], actions: list[str], policy: dict[str, Any]
) -> None:
    network, loader = network_of(text), three_classes(shape)
    scheduler, candidates = planned(network, loader, actions=actions, **policy)
    before = loss_of(network, loader)
    kinds = set()
    for each in applicable(candidates):
        assert each.slope is not None
        tried, other, candidate = copy.deepcopy((network, scheduler, each))
        other.apply(candidate, 1e-6, loader=loader)
        assert (before - loss_of(tried, loader)) / 1e-6 == pytest.approx(each.slope, rel=1e-2)
        assert each.predicted == pytest.approx(each.slope / 2)
        kinds.add(each.kind)
    assert kinds == {*actions}


def test_slopes_of_kept_rows_are_those_of_the_loss() -> None:
    """With fewer samples than inputs S is never formed, and the gradients are whitened row by row."""
    network = network_of("""
        nodes:
          x: {kind: input, shape: [150]}
          h: {kind: linear, from: x, features: 3, activation: relu}
          y: {kind: linear, from: h, features: 3}
        output: y
    """)
    loader = three_classes((150,))
    scheduler, candidates = planned(network, loader, statistics={"samples": 60})
    (widened,) = applicable(candidates)
    before = loss_of(network, loader[1:])
    assert widened.slope is not None
    scheduler.apply(widened, 1e-6, loader=loader)
    assert (before - loss_of(network, loader[1:])) / 1e-6 == pytest.approx(widened.slope, rel=1e-2)


def test_one_is_the_best_step_of_a_quadratic_loss() -> None:
    """Of a linear network with a squared loss a new edge at γ = 1 lowers the loss by half of its slope, and but for the
    damping as far as least squares can."""
    network = network_of("""
        nodes:
          x: {kind: input, shape: [4]}
          h: {kind: linear, from: x, features: 2}
          y: {kind: linear, from: h, features: 2}
        output: y
    """)
    x, y = torch.randn(60, 4, dtype=F64), torch.randn(60, 2, dtype=F64)
    loader = [(x, y)]
    scheduler, candidates = planned(network, loader, MSE, actions=["new_edge"], ridge=0.0)
    (edge,) = applicable(candidates)
    before = loss_of(network, loader, MSE)
    assert edge.slope is not None
    scheduler.apply(edge, 1.0)
    decrease = before - loss_of(network, loader, MSE)
    assert edge.slope / 2 < decrease < edge.slope / 2 * 1.05
    best = loss_of(network, loader, MSE)
    solution = torch.linalg.lstsq(x, y - network(x).detach()).solution
    assert float(MSE(network(x).detach() + x @ solution, y)) > 0.95 * best


def test_gains_do_not_depend_on_the_scale_of_layers() -> None:
    """A layer times 10, and the next one over 10, is the same network: raw slopes differ, natural ones hardly."""
    loader = three_classes((5,))
    found = {}
    for criterion in ("tiny", "natural"):
        slopes = []
        for scale in (1.0, 10.0):
            network = network_of("""
                nodes:
                  x: {kind: input, shape: [5]}
                  a: {kind: linear, from: x, features: 3, activation: relu}
                  b: {kind: linear, from: a, features: 3, activation: relu}
                  y: {kind: linear, from: b, features: 3}
                output: y
            """)
            with torch.no_grad():
                network.growing("b").layer.weight.mul_(scale)
                network.growing("b").layer.bias.mul_(scale)
                network.growing("y").layer.weight.div_(scale)
            _, candidates = planned(network, loader, criterion=criterion)
            slopes.append({each.target: each.slope for each in applicable(candidates)})
        found[criterion] = slopes[1]["a"] / slopes[0]["a"]
    assert found["tiny"] < 0.3 or found["tiny"] > 3.0
    assert found["natural"] == pytest.approx(1.0, rel=0.05)


def test_the_loss_times_ten_gives_ten_times_the_gain_and_the_empirical_fisher_does_not() -> None:
    loader = three_classes((5,))
    ratios = {}
    for curvature in ("gauss_newton", "empirical"):
        slopes = []
        for factor in (1.0, 10.0):
            _, candidates = planned(
                network_of(RESIDUAL), loader, lambda f, y, by=factor: by * CE(f, y), curvature=curvature
            )
            slopes.append(next(applicable(candidates)).slope)
        ratios[curvature] = slopes[1] / slopes[0]
    assert ratios["gauss_newton"] == pytest.approx(10.0, rel=1e-6)
    assert ratios["empirical"] == pytest.approx(1.0, rel=1e-6)


def test_batches_of_other_sizes_give_the_same_slopes() -> None:
    x, y = (torch.cat(parts) for parts in zip(*three_classes((5,)), strict=True))
    found = []
    for size in (96, 20):
        loader = list(zip(x.split(size), y.split(size), strict=True))
        _, candidates = planned(network_of(RESIDUAL), loader, actions=ACTIONS)
        found.append({each.target: each.slope for each in applicable(candidates)})
    assert found[0].keys() == found[1].keys()
    for target, slope in found[0].items():
        assert found[1][target] == pytest.approx(slope, rel=0.02)  # the damping draws signs


# Refusals


def test_one_sample_is_refused() -> None:
    x, y = three_classes((5,))[0]
    scheduler = GrowthScheduler(
        network_of(RESIDUAL), CE, policy=Growth(criterion="natural"), training_steps=9
    )
    with pytest.raises(GrowthError, match="found 1 sample for its curvature: expected at least 2"):
        scheduler.plan([(x[:1], y[:1])])


def test_a_loss_without_curvature_leaves_everything_out() -> None:
    x = torch.randn(40, 5, dtype=F64)
    loader = [(x, torch.randn(40, 3, dtype=F64))]
    _, candidates = planned(network_of(RESIDUAL), loader, torch.nn.functional.l1_loss, actions=ACTIONS)
    assert candidates
    assert all(each.reason is not None for each in candidates)
    assert "no curvature reaches its outputs" in candidates[0].note


# Selection by information


def test_information_needs_gains() -> None:
    with pytest.raises(SpecError, match="`criterion: tiny` does not give: write `criterion: natural`"):
        parse_spec(RESIDUAL + "growth: {select: information}\n")


def test_information_weighs_gains_against_parameters() -> None:
    """With few samples nothing pays; with many it does, and the largest gain beyond its price goes first."""
    loader = three_classes((5,))
    x, y = loader[0]
    outcomes = []
    for repeats in (1, 200):
        network = network_of(RESIDUAL)
        scheduler = GrowthScheduler(
            network,
            CE,
            policy=Growth(criterion="natural", select="information", when={"until": 1.0, "steps": 2}),
            training_steps=2,
            epochs=1,
            statistics=loader,
        )
        scheduler._spending.samples = repeats * 60
        outcomes.append(scheduler.after_batch(x, y, loader)[0])
    assert outcomes[0].decision is None
    assert "does not pay by the BIC of" in outcomes[0].reason
    assert outcomes[1].decision is not None
    taken = [each for each in outcomes[1].candidates if each.reason is None]
    worth = [(each.predicted or 0.0) - each.delta_parameters * 1e-4 for each in taken]
    assert all(a >= b for a, b in pairwise(worth))


def test_a_run_by_information_is_replayed_from_its_state() -> None:
    """The number of training samples is part of the state: a scheduler that goes on decides as before."""
    loader = three_classes((5,))

    def scheduler_of(network: GrowingNetwork) -> GrowthScheduler:
        policy = Growth(criterion="natural", select="information", when={"until": 1.0, "steps": 3})
        return GrowthScheduler(network, CE, policy=policy, training_steps=6, epochs=1, statistics=loader)

    network = network_of(RESIDUAL)
    first = scheduler_of(network)
    first._spending.samples = 50_000
    for _ in range(2):
        first.after_batch(*loader[0], loader)
    other = copy.deepcopy(network)
    second = scheduler_of(other)
    second.restore(first.saved())
    for _ in range(4):
        events = [each.after_batch(*loader[0], loader) for each in (first, second)]
        assert [e.candidates for e in events[0]] == [e.candidates for e in events[1]]
    assert network.spec == other.spec
