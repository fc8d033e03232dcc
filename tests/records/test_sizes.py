"""The sizes that a network has had, out of epochs and events."""

from __future__ import annotations

from gromo_graph.records import Decision, Epoch, GrowthEvent, Size, sizes_of


def epoch(number: int, parameters: int, loss: float | None, accuracy: float | None = None) -> Epoch:
    measured = {"loss": loss} | ({} if accuracy is None else {"accuracy": accuracy})
    return Epoch(number, {"loss": 1.0}, measured, parameters, 10 * parameters, 0.01)  # type: ignore[arg-type]


def grew(step: int, *, tick: int, epoch: int, batch: int, by: int, to: int, before: float) -> GrowthEvent:
    decision = Decision("widen", "h", 1, ("h",), by, 10 * by)
    return GrowthEvent(
        step=step,
        epoch=epoch,
        decision=decision,
        reason="",
        gamma=1.0,
        slope=1.0,
        loss_before=before,
        loss_after=before - 0.01,
        parameters=to,
        madds=10 * to,
        tick=tick,
        batch=batch,
    )


EVENTS = (
    grew(1, tick=1, epoch=0, batch=5, by=4, to=14, before=2.0),
    grew(2, tick=1, epoch=0, batch=5, by=6, to=20, before=1.9),
    GrowthEvent(2, 1, None, "no gain", 0.0, None, 1.5, 1.5, 20, 200, tick=2, batch=10),
    grew(3, tick=3, epoch=1, batch=15, by=10, to=30, before=1.0),
)
EPOCHS = (epoch(1, 20, 1.6, 0.5), epoch(2, 30, 0.9, 0.6), epoch(3, 30, 0.8, 0.7))


def test_groups_that_grow_at_one_moment_make_one_size() -> None:
    assert sizes_of(EPOCHS, EVENTS, is_over=True) == (
        Size(0, 0, 10, 100, 2.0, None, False),
        Size(2, 1, 20, 200, 1.0, 0.5, False),
        Size(3, 3, 30, 300, 0.8, 0.7, True),
    )


def test_a_run_that_goes_on_has_no_size_that_is_trained_to_the_end() -> None:
    first, second = sizes_of(EPOCHS[:1], EVENTS[:3], is_over=False)
    assert not first.to_the_end
    assert second == Size(2, 1, 20, 200, 1.6, 0.5, False)
    last = sizes_of(EPOCHS[:1], EVENTS, is_over=True)[-1]  # as a replay ends: right after the step
    assert last == Size(3, 1, 30, 300, 0.99, None, False)


def test_a_network_that_never_grew_has_one_size() -> None:
    (size,) = sizes_of((epoch(1, 20, 1.6), epoch(2, 20, 1.5)), EVENTS[2:3], is_over=True)
    assert size == Size(0, 2, 20, 200, 1.5, None, True)
    assert sizes_of((), (), is_over=False) == ()


def test_a_loss_that_is_not_finite_is_not_known() -> None:
    (size,) = sizes_of((epoch(1, 20, float("nan")),), (), is_over=False)
    assert size.loss is None


def test_growth_after_whole_epochs_leaves_each_epoch_to_the_size_before() -> None:
    """In the clock of release 0.1 an epoch is measured after its growth step."""
    events = (grew(1, tick=0, epoch=1, batch=0, by=10, to=20, before=1.7),)
    epochs = (epoch(1, 20, 1.6, 0.4), epoch(2, 20, 1.2, 0.5))
    first, last = sizes_of(epochs, events, is_over=True)
    assert (first.loss, first.accuracy, first.epoch) == (1.7, None, 1)
    assert (last.loss, last.accuracy, last.epoch) == (1.2, 0.5, 2)
