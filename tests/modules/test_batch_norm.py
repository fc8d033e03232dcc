"""Growth through batch norm: the network computes what was predicted, and old channels stay what they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import (
    BatchNorm1d,
    BatchNorm2d,
)
from torch.nn.modules.batchnorm import _BatchNorm

from gromo_graph.errors import GrowthError
from tests.modules.normed import (
    BOTH_MODES,
    EVERY_NETWORK,
    NETWORKS,
    close,
    created,
    dense_pair,
    image_pair,
    norm_of,
    pending,
    promised,
    raw_neurons,
    run,
    state,
    unchanged,
    warmed,
)

pytestmark = pytest.mark.usefixtures("seeded")


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
    """The places of the old entries, in their order and bit for bit, and of the new ones."""
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
