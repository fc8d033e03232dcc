"""Norms beside a function of their own for new channels, and norms over something else than the features."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import (
    BatchNorm1d,
    Conv2d,
    GroupNorm,
    LayerNorm,
    Linear,
    Sequential,
    Tanh,
)

from gromo_graph.errors import GrowthError
from tests.modules.normed import (
    BOTH_MODES,
    check_moments,
    close,
    dense_pair,
    own_channels,
    pending,
    run,
    state,
    two,
    unchanged,
)
from tests.modules.pairs import Pair

pytestmark = pytest.mark.usefixtures("seeded")


def test_an_explicit_function_for_new_channels_beside_a_norm() -> None:
    """A new channel of a norm starts as the identity: leaving the norm out says the same."""
    found = dense_pair(BatchNorm1d(4))
    found.first.explicit_extended_function = Tanh()
    second = pending(found)
    found.first.store_input = True
    run(found.net, found.x)
    predicted = found.predicted_output()
    alone = own_channels(found, 1.0)
    second.apply_change()
    close(run(found.net, found.x), predicted)
    check_moments(found, 0.7, alone)


@BOTH_MODES
def test_an_explicit_function_with_a_norm_of_its_own(training: bool) -> None:
    """Growing is refused if the new channels cannot start as that norm makes them."""
    found = dense_pair(BatchNorm1d(4))
    own = BatchNorm1d(2).double()
    with torch.no_grad():
        own.running_mean.fill_(0.5)
        own.running_var.fill_(2.0)
        own.weight.fill_(1.5)
    found.first.explicit_extended_function = Sequential(own, Tanh())
    second = pending(found)
    found.first.store_input = True
    run(found.net, found.x)
    found.net.train(training)
    predicted = found.predicted_output()
    before = state(found)
    try:
        second.apply_change()
    except GrowthError:
        assert unchanged(found, before)
    else:
        close(run(found.net, found.x), predicted)


@pytest.mark.parametrize(
    "make",
    [
        lambda: two(Linear(5, 4), BatchNorm1d(7), Linear(4, 3), (7, 5)),
        lambda: two(Linear(5, 4), GroupNorm(7, 7), Linear(4, 3), (7, 5)),
        lambda: two(
            Conv2d(2, 3, 3, padding=1), LayerNorm([4, 6]), Conv2d(3, 2, 1), (2, 4, 6), allow_jump=True
        ),
        lambda: two(Linear(5, 4), LayerNorm([7, 4]), Linear(4, 3), (7, 5), allow_jump=True),
    ],
    ids=["batch norm over positions", "group norm over positions", "layer norm of images", "both"],
)
def test_norms_over_something_else_than_the_features_grow_soundly_or_not_at_all(
    make: Callable[[], Pair],
) -> None:
    found = make()
    before = state(found)
    try:
        second = pending(found)
        predicted = found.predicted_output()
        second.apply_change()
    except GrowthError:
        assert unchanged(found, before)
    else:
        close(run(found.net, found.x), predicted)
