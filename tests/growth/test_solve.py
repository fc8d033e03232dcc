"""The scheduler's neurons against a dense float64 computation from every sample."""

from __future__ import annotations

import pytest
import torch

from gromo_graph import GrowthScheduler
from gromo_graph.growth.candidates.group_neurons import solve
from gromo_graph.growth.candidates.propose import propose
from gromo_graph.growth.observe import Watched, observe
from gromo_graph.network.linked_groups import gather_for, linked_group
from tests.growth.problems import batches, chain

MSE = torch.nn.functional.mse_loss


def inverse_root(s: torch.Tensor, ridge: float) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(s + ridge * s.diagonal().mean() * torch.eye(len(s), dtype=s.dtype))
    return (vectors / values.sqrt()) @ vectors.T


def dense(network, target: str, consumer: str, data, ridge: float) -> torch.Tensor:
    """Singular values of S^{-1/2} N, all samples written out (docs/maths.md, "Optimal new neurons")."""
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    value, inputs, outputs = x, {}, {}
    for name in ("h1", "h2", "y"):
        layer = network.growing(name)
        inputs[name] = torch.cat([value.detach(), torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
        outputs[name] = layer.layer(value)
        value = layer.post_layer_function(outputs[name])
    g = torch.autograd.grad(MSE(value, y) * len(x), outputs[consumer])[0]
    b, before = inputs[consumer], inputs[target]
    s = b.T @ b / len(x)
    ridged = s + ridge * s.diagonal().mean() * torch.eye(len(s), dtype=s.dtype)
    delta = torch.linalg.solve(ridged, b.T @ g / len(x)).T
    n = -before.T @ (g - b @ delta.T) / len(x)
    return torch.linalg.svdvals(inverse_root(before.T @ before / len(x), ridge) @ n)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize(("target", "consumer"), [("h1", "h2"), ("h2", "y")])
def test_neurons_are_those_of_the_projected_gradient(target: str, consumer: str, ridge: float) -> None:
    network = chain(activation="tanh", widths=(3, 2), growth=f"{{ridge: {ridge}}}")
    data = batches()
    (prospect,) = [p for p in propose(network, network.spec.growth).prospects if p.target == target]
    group = linked_group(network, prospect.group)
    modules = [*group.producers, *group.consumers]
    for module in modules:
        module.init_computation()
    gather_for([group])
    for seen in observe(network, MSE, data, Watched(modules)):
        for module in modules:
            module.update_computation(desired_activation=seen.gradients[module.name])
    found = solve(group, prospect.neurons, network.spec.growth).neurons.values
    expected = dense(network, target, consumer, data, ridge)[: len(found)]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-10)
    assert len(found) >= 2


def test_m_from_the_gradient_of_the_weights_is_the_product() -> None:
    """The scheduler takes M from autograd where the module multiplies b and g: both are the same number."""
    network = chain()
    module = network.growing("h2")
    module.init_computation()
    for seen in observe(network, MSE, batches(), Watched([module])):
        g = seen.gradients["h2"]
        product = torch.cat([module.input, torch.ones(len(g), 1, dtype=g.dtype)], dim=1).T @ g
        free = torch.cat([seen.weight_gradients["h2"], seen.bias_gradients["h2"][:, None]], dim=1).T
        torch.testing.assert_close(free, product, rtol=1e-10, atol=1e-12)


def test_statistics_of_some_samples_end_the_pass_early() -> None:
    network = chain(growth="{statistics: {samples: 50}, project: never}")
    read = []

    class Counting:
        def __iter__(self):
            for batch in batches(160, size=40):
                read.append(len(batch[0]))
                yield batch

        def __len__(self):
            return 4

    GrowthScheduler(network, MSE).plan(Counting())
    # Two batches for the statistics; these are passed over, and the third is for the slopes.
    assert read == [40, 40, 40, 40, 40]
