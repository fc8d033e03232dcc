"""Chains of any layers with anything between them, on random float64 images, for the tests of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from gromo_graph.modules import GrowingModule
from tests import reference
from tests.modules.chains import Chain
from tests.modules.dense import Dense, dense, omega_matrix, pulls_of, reads_of, rows_of
from tests.modules.pairs import F64, Pair

# Rounding, as far as the worst conditioned S of random data enlarges it.
NEAR = {"rtol": 1e-5, "atol": 1e-6}


def chain_of(
    layers: Sequence[torch.nn.Module],
    functions: Sequence[torch.nn.Module],
    shape: tuple[int, ...],
    *,
    kernel: str = "full",
    rows: int = 12,
    seed: int = 0,
) -> Chain:
    """The layers, linked, with one function between each two; targets are the outputs and noise.

    Args:
        layers: at least one; their weights are drawn anew. functions: one less.
        shape: of one sample. kernel: `growth_kernel` of all layers.
    """
    generator = torch.Generator().manual_seed(seed)
    modules: list[GrowingModule] = []
    for place, (layer, function) in enumerate(zip(layers, [*functions, torch.nn.Identity()], strict=True)):
        for parameter in layer.double().parameters():
            size = max(1, layer.weight[0].numel())
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=F64) / size**0.5
        modules.append(
            GrowingModule(
                layer,
                post_layer_function=function.double(),
                previous_module=modules[-1] if modules else None,
                growth_kernel=kernel,  # type: ignore[arg-type]
                name=f"layer{place}",
            )
        )
    for before, after in pairwise(modules):
        before.next_module = after
    x = torch.randn(rows, *shape, generator=generator, dtype=F64)
    net = torch.nn.Sequential(*modules)
    with torch.no_grad():
        out = net(x)
    return Chain(net, x, out + torch.randn(out.shape, generator=generator, dtype=F64))


def pairs_of(found: Chain) -> list[Pair]:
    """Each two neighbours of a chain, for the dense reference; a pair has no data of its own."""
    return [Pair(torch.nn.Sequential(*two), found.x, found.y) for two in pairwise(found.modules)]


def reference_of(pair: Pair) -> Dense:
    """The statistics of a pair row by row, from what its layers have stored."""
    gradient = pair.second.pre_activity.grad
    assert gradient is not None
    return dense(pair, gradient)


def moments_of(module: GrowingModule) -> tuple[Tensor, Tensor]:
    """S and M of one layer row by row, from what it has stored."""
    gradient = module.pre_activity.grad
    assert gradient is not None
    b, pulls = rows_of(module, module.input), pulls_of(module, gradient)
    samples = b.shape[0]
    return torch.einsum("nri,nrj->ij", b, b) / samples, torch.einsum("nri,nro->io", b, pulls) / samples


def assert_statistics_are_dense(pair: Pair) -> Dense:
    """All statistics of a pair are those of the batch it has stored, its deltas and N what follows from them.

    Returns:
        The reference.
    """
    second, wanted = pair.second, reference_of(pair)
    weight, bias, decrease = second.compute_optimal_delta(update=False, dtype=F64)
    delta, expected = second.adapter.matrix(weight, bias), reference.delta(wanted.s, wanted.m)
    # Where δ is not unique, what it does to the data still is.
    seen = torch.eye(len(wanted.s), dtype=F64) if is_unique(wanted.s, second.delta_solver) else wanted.s
    first_s, first_m = moments_of(pair.first)
    for name, found, right in (
        ("S of the first layer", pair.first.tensor_s(), first_s),
        ("M of the first layer", pair.first.tensor_m(), first_m),
        ("S", second.tensor_s(), wanted.s),
        ("M", second.tensor_m(), wanted.m),
        ("S of the growth", second.tensor_s_growth(), wanted.s_growth),
        ("M_prev", second.tensor_m_prev(), wanted.m_prev),
        ("C", second.cross_covariance(), wanted.cross),
        ("delta", delta @ seen, expected @ seen),
        ("decrease", decrease, torch.trace(wanted.m @ expected)),
        ("N", second.tensor_n, wanted.n),
    ):
        torch.testing.assert_close(found, right, **NEAR, msg=lambda text, name=name: f"{name}: {text}")
    return wanted


def assert_neurons_are_optimal(pair: Pair, wanted: Dense) -> None:
    """The pending neurons are all singular directions of S^-1/2 N, whatever signs and turns of equal ones."""
    first, second = pair.first, pair.second
    expected = reference.neurons(wanted.s_growth, wanted.n)
    values = second.eigenvalues_extension
    if values is None:
        values = expected.values.new_zeros(0)
    missing = expected.values.new_zeros(max(0, len(expected.values) - len(values)))
    torch.testing.assert_close(torch.cat((values, missing)), expected.values, **NEAR)
    if len(values) == 0:
        assert first.extended_output_layer is second.extended_input_layer is None
        return
    alpha = first.adapter.matrix(
        first.extended_output_layer.weight, first.extended_output_layer.bias
    ).detach()
    omega = omega_matrix(pair, second.extended_input_layer.weight.detach())
    torch.testing.assert_close(omega @ alpha @ wanted.s_growth, wanted.n.T, **NEAR)
    if is_unique(wanted.s_growth, second.extension_solver):
        # Values below the threshold were left out, and S^-1/2 makes more of them.
        least = float(torch.linalg.eigvalsh(wanted.s_growth).clamp_min(1e-12).min())
        atol = NEAR["atol"] * max(1.0, least**-0.5)
        torch.testing.assert_close(
            omega @ alpha, expected.omega @ expected.alpha, rtol=NEAR["rtol"], atol=atol
        )
    # Both sides of a neuron have the size √λ: this is not seen in the product.
    torch.testing.assert_close(omega.T @ omega, values.diag(), **NEAR)
    torch.testing.assert_close(alpha @ wanted.s_growth @ alpha.T, values.diag(), **NEAR)


def has_clear_rank(pair: Pair) -> bool:
    """True if every direction of the two layers' inputs is clearly present or clearly absent.

    Of one in between (the square of 1e-6 in S) no two solvers find the same part. Rows tell zero from little far better
    than their products do.
    """
    for rows in (rows_of(pair.second, pair.second.input), reads_of(pair)):
        values = torch.linalg.svdvals(rows.flatten(0, -2))
        relative = values / values[0].clamp_min(1e-300)
        if bool(((relative > 1e-13) & (relative < 1e-4)).any()):
            return False
    return True


def is_unique(s: Tensor, solver: str | None) -> bool:
    """True if a solution is known to many digits: S of clear rank is regular, or its null space was left out.

    That it is left out whenever S is singular is the matter of test_what_the_data_lack_is_left_out.
    """
    values = torch.linalg.eigvalsh(s)
    there = values[values > 1e-12 * values[-1]]
    if len(there) and there[0] < 1e-6 * values[-1]:
        return False  # of the digits of such a solution rounding takes half
    return len(there) == len(values) or solver != "cholesky"
