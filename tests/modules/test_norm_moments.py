"""Moments of new channels belong to the neurons and to the scaling factor that are applied."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch.nn import (
    BatchNorm1d,
    BatchNorm2d,
)

from gromo_graph.errors import GrowthError
from gromo_graph.modules import GrowingModule
from tests.modules.normed import (
    NETWORKS,
    check_moments,
    close,
    created,
    dense_pair,
    image_pair,
    own_channels,
    pending,
    run,
    state,
    unchanged,
    warmed,
)
from tests.modules.pairs import F64, Pair

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.mark.parametrize("make", [dense_pair, image_pair])
@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
def test_moments_of_another_factor_are_forgotten(make: Callable[..., Pair], merged: bool) -> None:
    found = make(BatchNorm1d(4) if make is dense_pair else BatchNorm2d(4), merged=merged)
    second = pending(found, factor=0.1)
    found.predicted_output()
    second.set_scaling_factor(0.9)
    found.predicted_output()
    alone = own_channels(found, 1.0)
    second.apply_change()
    check_moments(found, 0.9, alone)


def test_a_factor_given_on_applying_is_measured_from_the_stored_input() -> None:
    found = dense_pair(BatchNorm1d(4))
    second = pending(found, factor=0.1)
    found.predicted_output()
    found.first.store_input = True
    run(found.net, found.x)
    alone = own_channels(found, 1.0)
    second.apply_change(scaling_factor=0.9)
    check_moments(found, 0.9, alone)


def test_a_factor_given_on_applying_is_refused_without_anything_to_measure() -> None:
    found = dense_pair(BatchNorm1d(4))
    second = pending(found, factor=0.1)
    found.predicted_output()
    with pytest.raises(GrowthError, match="mean and variance of the 2 new channels"):
        second.apply_change(scaling_factor=0.9)


@pytest.mark.parametrize("after", ["shown", "set and shown", "stored"])
def test_a_factor_that_an_optimizer_moves_leaves_no_stale_moments(after: str) -> None:
    """The tensor is kept so that gradients flow into it, and an optimizer changes it in place."""
    found = dense_pair(BatchNorm1d(4))
    found.second.create_layer_extensions(2)
    s = torch.tensor(0.1, dtype=F64, requires_grad=True)
    found.second.set_scaling_factor(s)
    found.predicted_output()
    with torch.no_grad():
        s.fill_(0.9)
    if after == "set and shown":
        found.second.set_scaling_factor(s)
    if after == "stored":
        found.first.store_input = True
        run(found.net, found.x)
    else:
        found.predicted_output()
    alone = own_channels(found, 1.0)
    found.second.apply_change()
    check_moments(found, 0.9, alone)


def test_moments_of_other_neurons_are_forgotten() -> None:
    changes: dict[str, Callable[[GrowingModule], object]] = {
        "created anew": lambda m: m.create_layer_extensions(2),
        "scaled": lambda m: m.scale_layer_extension(3.0, None, None),
        "selected": lambda m: m.sub_select_optimal_added_parameters(1),
        "normalised": lambda m: m.normalize_optimal_updates(0.2, "equalize_extensions"),
    }
    for name, change in changes.items():
        found = dense_pair(BatchNorm1d(4))
        second = pending(found, factor=0.5)
        found.predicted_output()
        change(second)
        found.predicted_output()
        alone = own_channels(found, 1.0)
        second.apply_change()
        assert second.in_neurons == (5 if name == "selected" else 6)
        check_moments(found, 0.5, alone)


def test_moments_are_those_of_all_batches_that_were_shown() -> None:
    found = dense_pair(BatchNorm1d(4))
    second = pending(found)
    whole, found.x = found.x, found.x[:25]
    found.predicted_output()
    found.x = whole[25:]
    found.predicted_output()
    found.x = whole
    alone = own_channels(found, 1.0)
    second.apply_change()
    check_moments(found, 0.7, alone)


def test_deleted_growth_leaves_no_moments_behind() -> None:
    found = dense_pair(BatchNorm1d(4), merged=True)
    second = pending(found)
    found.predicted_output()
    second.delete_update()
    second.create_layer_extensions(2)
    with pytest.raises(GrowthError, match="must know the mean and variance"):
        second.apply_change(scaling_factor=0.7)


@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
def test_growth_from_the_stored_input_alone(merged: bool) -> None:
    found = image_pair(BatchNorm2d(4), merged=merged)
    found.first.store_input = True
    run(found.net, found.x)
    second = pending(found)
    other = copy.deepcopy(found)
    alone = own_channels(found, 1.0)
    second.apply_change()
    predicted = other.predicted_output()
    close(run(found.net, found.x), predicted)
    check_moments(found, 0.7, alone)


@pytest.mark.parametrize("merged", [False, True], ids=["layer", "merge"])
def test_growth_without_any_measurement_is_refused_and_changes_nothing(merged: bool) -> None:
    found = dense_pair(BatchNorm1d(4), merged=merged)
    second = pending(found)
    before, out = state(found), run(found.net, found.x)
    with pytest.raises(
        GrowthError,
        match=r"BatchNorm1d\(4.* mean and variance of the 2 new channels: run extended_forward on data with the "
        r"scaling factor set, or keep the stored inputs",
    ):
        second.apply_change()
    assert unchanged(found, before)
    assert torch.equal(run(found.net, found.x), out)
    predicted = found.predicted_output()  # what the message says to do
    second.apply_change()
    close(run(found.net, found.x), predicted)


def test_a_refusal_behind_a_merge_of_several_leaves_all_of_them_alone() -> None:
    found = warmed(NETWORKS["several on one way"])
    before = copy.deepcopy(found.network.state_dict())
    consumer = next(created(found))
    with pytest.raises(GrowthError, match="mean and variance"):
        consumer.apply_change(scaling_factor=0.7)
    now = found.network.state_dict()
    assert all(torch.equal(now[name], before[name]) for name in before)
