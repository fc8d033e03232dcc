"""Growth through layer norm and RMS norm: a jump, refused unless it is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import (
    LayerNorm,
    Linear,
    RMSNorm,
    Sequential,
    Tanh,
)

from gromo_graph.errors import GrowthError
from gromo_graph.layers.layer_norm import FeatureNorm
from gromo_graph.layers.rms_norm import FeatureRMSNorm
from tests.modules.normed import BOTH_MODES, close, dense_pair, image_pair, norm_of, pending, run, two
from tests.modules.pairs import F64, Pair

pytestmark = pytest.mark.usefixtures("seeded")


LAYER_NORMS: dict[str, Callable[..., Pair]] = {
    "linear": lambda **o: dense_pair(LayerNorm(4), **o),
    "linear, no weights": lambda **o: dense_pair(LayerNorm(4, elementwise_affine=False), **o),
    "linear, no bias": lambda **o: dense_pair(LayerNorm(4, bias=False), **o),
    "linear, positions": lambda **o: two(
        Linear(5, 4), Sequential(LayerNorm(4), Tanh()), Linear(4, 3), (7, 5), **o
    ),
    "conv2d": lambda **o: image_pair(LayerNorm([4, 4, 4]), **o),
    "over features": lambda **o: image_pair(FeatureNorm(4), **o),
    "over features, behind a merge": lambda **o: image_pair(FeatureNorm(4), merged=True, **o),
    "merge": lambda **o: image_pair(LayerNorm([4, 4, 4]), merged=True, **o),
    "rms": lambda **o: dense_pair(RMSNorm(4, eps=1e-3), **o),
    "rms, no weights": lambda **o: dense_pair(RMSNorm(4, elementwise_affine=False), **o),
    "rms, conv2d": lambda **o: image_pair(RMSNorm([4, 4, 4]), **o),
    "rms, over features": lambda **o: image_pair(FeatureRMSNorm(4), merged=True, **o),
}


@pytest.mark.parametrize("make", LAYER_NORMS.values(), ids=list(LAYER_NORMS))
def test_layer_norm_is_refused_unless_a_jump_is_allowed(make: Callable[..., Pair]) -> None:
    found = make()
    where = "m" if len(found.net) == 3 else "first"
    jump = rf"(Layer|Feature|RMS|FeatureRMS)Norm of {where} changes its old outputs at once.*allow_jump"
    message = f"second cannot grow through {where}: {jump}"
    for call in (
        lambda: found.second.create_layer_extensions(2),
        lambda: found.second.compute_optimal_updates(),
        lambda: found.second.tensor_s_growth,
    ):
        with pytest.raises(GrowthError, match=message):
            call()


@pytest.mark.parametrize("make", LAYER_NORMS.values(), ids=list(LAYER_NORMS))
@pytest.mark.parametrize("solve", [False, True], ids=["created", "solved"])
@BOTH_MODES
def test_layer_norm_grows_as_predicted_where_a_jump_is_allowed(
    make: Callable[..., Pair], solve: bool, training: bool
) -> None:
    found = make(allow_jump=True)
    second, norm = found.second, norm_of(found)
    if solve:
        found.gather()
        second.compute_optimal_updates(dtype=F64, maximum_added_neurons=2)
    else:
        second.create_layer_extensions(2)
    added = found.first.extended_output_layer.weight.shape[0]
    second.set_scaling_factor(0.3)
    found.net.train(training)
    predicted = found.predicted_output()
    old = {name: parameter.detach().clone() for name, parameter in norm.named_parameters()}
    second.apply_change()
    close(run(found.net, found.x), predicted)
    assert norm.normalized_shape[0] == 4 + added
    for name, parameter in norm.named_parameters():
        assert torch.equal(parameter[:4], old[name])
        assert (parameter[4:] == (1.0 if name == "weight" else 0.0)).all()


def test_behind_a_layer_norm_there_is_a_jump_however_small_the_step() -> None:
    """Why it is refused by default: at a vanishing scale the loss is not the loss before."""
    found = dense_pair(LayerNorm(4), allow_jump=True)
    out = run(found.net, found.x)
    second = pending(found, factor=1e-6)
    second.apply_change()
    assert (run(found.net, found.x) - out).abs().max() > 0.05
