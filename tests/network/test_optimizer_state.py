"""Optimizers follow growth: old state kept, new entries start soundly."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gromo_graph.layers import Replaced
from gromo_graph.layers.replaced import inserted
from gromo_graph.network.optimizers import Followed, NewState, Optimizers
from gromo_graph.network.optimizers import follow as follow_network


def follow(optimizer: torch.optim.Optimizer, changes: list[Replaced], new: NewState = "matched") -> None:
    """The optimizer of a network that has no other parameter."""
    network: Any = torch.nn.Module()
    network.weight = changes[-1].new
    follow_network(network, Followed([changes[0].old], changes), Optimizers(optimizer), new)


def grown(old: torch.nn.Parameter, rows: int, at: int) -> list[Replaced]:
    """Rows appended, and a column put before place `at`."""
    changes = []
    for dim, place, size in ((0, old.shape[0], rows), (1, at, 1)):
        if size:
            shape = [size, old.shape[1]] if dim == 0 else [old.shape[0], size]
            new = torch.nn.Parameter(inserted(old, torch.zeros(shape), dim=dim, at=place))
            changes.append(Replaced(old, new, dim, place, size))
            old = new
    return changes


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.5, centered=True),
        lambda p: torch.optim.Adagrad(p, lr=0.1),
        lambda p: torch.optim.Adamax(p, lr=0.1),
        lambda p: torch.optim.NAdam(p, lr=0.1),
        lambda p: torch.optim.RAdam(p, lr=0.1),
        lambda p: torch.optim.Adadelta(p, lr=0.1),
        lambda p: torch.optim.Rprop(p, lr=0.1),
        lambda p: torch.optim.ASGD(p, lr=0.1, t0=0),
    ],
)
def test_old_entries_move_as_if_nothing_had_grown(make) -> None:
    """With the same gradients on the old entries, the old entries take the same steps."""
    torch.manual_seed(0)
    start = torch.randn(3, 4)
    alone, other = torch.nn.Parameter(start.clone()), torch.nn.Parameter(torch.ones(2))
    growing = torch.nn.Parameter(start.clone())
    reference, optimizer = make([alone]), make([{"params": [other], "lr": 0.5}, {"params": [growing]}])
    for step in range(8):
        gradient = torch.randn(3, 4)
        if step == 4:
            changes = grown(growing, 2, 1)
            follow(optimizer, changes)
            growing = changes[-1].new
        alone.grad = gradient
        wide = gradient.clone() if step < 4 else torch.ones(5, 5)
        if step >= 4:
            wide[:3, [0, 2, 3, 4]] = gradient
        growing.grad = wide
        reference.step()
        optimizer.step()
        old_entries = growing.detach()[:3] if step < 4 else growing.detach()[:3, [0, 2, 3, 4]]
        torch.testing.assert_close(old_entries, alone.detach())
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[1]["params"][0] is growing


def first_step_of_new_entries(new: NewState) -> float:
    torch.manual_seed(0)
    old = torch.nn.Parameter(torch.randn(3, 4))
    optimizer = torch.optim.Adam([old], lr=0.01)
    for _ in range(5000):
        old.grad = torch.randn(3, 4)
        optimizer.step()
    changes = grown(old, 0, 4)
    follow(optimizer, changes, new)
    weight = changes[-1].new
    before = weight.detach().clone()
    weight.grad = torch.ones(3, 5)
    optimizer.step()
    return float((weight.detach() - before)[:, 4:].abs().max())


def test_the_step_counter_trap_of_adam() -> None:
    """Entries that start at 0 beside an old step counter run away; the mean of the old ones holds them."""
    assert first_step_of_new_entries("zeros") > 3 * 0.01
    assert first_step_of_new_entries("matched") <= 0.01
    assert first_step_of_new_entries("fresh") == pytest.approx(0.01, rel=1e-3)


def test_a_fresh_state_forgets_what_grew_and_nothing_else() -> None:
    old, other = torch.nn.Parameter(torch.randn(3, 4)), torch.nn.Parameter(torch.randn(2))
    optimizer = torch.optim.Adam([old, other], lr=0.01)
    old.grad, other.grad = torch.ones(3, 4), torch.ones(2)
    optimizer.step()
    changes = grown(old, 2, 1)
    follow(optimizer, changes, "fresh")
    assert list(optimizer.state) == [other]
    assert optimizer.param_groups[0]["params"][0] is changes[-1].new
