"""torch.compile: a compiled network sees growth, in evaluation and in training."""

from __future__ import annotations

import pytest
import torch

from gromo_graph import GrowthScheduler, compile_network, load_spec
from tests.growth.problems import batches, chain

MSE = torch.nn.functional.mse_loss


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_is_compiled_again_after_growth() -> None:
    network = chain(growth="{when: {every: 1, until: 1.0}}")
    compiled = torch.compile(network, backend="eager")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer, epochs=10)
    data = batches()
    x, y = data[0]
    torch.testing.assert_close(compiled(x), network(x))
    for _ in range(2):
        event = scheduler.step(data, data)
        assert event is not None
        assert event.decision is not None
        torch.testing.assert_close(compiled(x), network(x))
        optimizer.zero_grad()
        MSE(compiled(x), y).backward()
        found = [parameter.grad.clone() for parameter in network.parameters()]
        optimizer.zero_grad()
        MSE(network(x), y).backward()
        for gradient, parameter in zip(found, network.parameters(), strict=True):
            torch.testing.assert_close(gradient, parameter.grad)
        optimizer.step()
        torch.testing.assert_close(compiled(x), network(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_network_with_merges_is_one_compiled_graph() -> None:
    network = compile_network(load_spec("specs/digits_residual.yaml"), seed=0)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    x = torch.linspace(-1.0, 1.0, 128).reshape(2, 64)
    torch.testing.assert_close(compiled(x), network(x))
