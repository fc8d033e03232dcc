"""Several width groups in one step: no layer in common, each with its own γ, from one plan."""

from __future__ import annotations

import pytest
import torch

from gromo_graph import GrowthScheduler
from gromo_graph.growth.candidates.budget import groups_at_once
from gromo_graph.spec.settings import Growth, Stop, When
from tests.growth.problems import batches, chain

MSE = torch.nn.functional.mse_loss
WIDTHS = (3, 3, 3, 3)


def stepped(groups: int, **policy: object):
    """The network, the events of one step, and what the call returned."""
    network, events = chain(widths=WIDTHS), []
    growth = Growth(groups=groups, when=When(every=1, until=1.0), **policy)
    scheduler = GrowthScheduler(network, MSE, policy=growth, epochs=10, on_event=events.append)
    returned = scheduler.step(batches(), batches(seed=5))
    return scheduler, events, returned


def test_one_after_the_other_each_lowers_the_held_out_loss() -> None:
    scheduler, events, returned = stepped(2)
    assert len(events) == 2
    assert returned is events[-1]
    assert [event.step for event in events] == [1, 2] == list(range(1, scheduler.applied + 1))
    assert events[1].loss_before == events[0].loss_after
    assert all(event.loss_after < event.loss_before for event in events)
    assert events[-1].parameters == sum(p.numel() for p in scheduler.network.parameters())


def test_they_have_no_layer_in_common() -> None:
    """h1 is read by h2, so both cannot grow from the same statistics."""
    scheduler, events, _ = stepped(4)
    order = [f"h{place}" for place in range(1, 5)]
    grown = sorted(order.index(event.decision.target) for event in events)
    assert len(grown) == 2
    assert grown[1] - grown[0] >= 2
    assert scheduler.network.graph.features(order[grown[0]]) > 3


def test_one_of_three_is_the_default_in_epochs_and_all_of_them_at_ticks() -> None:
    assert [len(stepped(groups)[1]) for groups in (1, None)] == [1, 2]  # type: ignore[list-item]
    for layers, expected in ((1, 1), (3, 1), (4, 2), (6, 2), (7, 3)):
        graph = chain(widths=(3,) * layers).graph
        assert groups_at_once(Growth(when=When(every=1)), graph) == expected
        assert groups_at_once(Growth(), graph) == layers


def test_they_are_no_more_than_the_steps_that_are_left() -> None:
    assert len(stepped(2, stop=Stop(steps=1))[1]) == 1


def test_the_budget_holds_for_all_of_them_together() -> None:
    start = chain(widths=WIDTHS).graph.parameter_count
    for room in (20, 60, 200):
        scheduler, events, _ = stepped(4, stop=Stop(parameters=start + room))
        assert scheduler.network.graph.parameter_count <= start + room
        assert sum(event.decision.delta_parameters for event in events) <= room


@pytest.mark.parametrize("steps", [1, 2])
def test_the_data_are_read_twice_for_all_of_them(steps: int) -> None:
    passes = []

    class Loader(list):  # type: ignore[type-arg]
        def __iter__(self):
            passes.append(1)
            return super().__iter__()

    growth = Growth(groups=steps, when=When(every=1, until=1.0))
    scheduler = GrowthScheduler(chain(widths=WIDTHS), MSE, policy=growth, epochs=10)
    scheduler.step(Loader(batches()), batches(seed=5))
    assert len(passes) == 2
