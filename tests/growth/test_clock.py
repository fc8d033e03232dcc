"""The clock and the pace of growth: ticks at shares of the training, and a budget that is used up when growth ends."""

from __future__ import annotations

import itertools
import re
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from gromo_graph import GrowthEvent, GrowthScheduler, compile_network, dump_spec, edit, parse_spec
from gromo_graph.errors import GrowthError, SpecError
from gromo_graph.growth.candidates.widen import Widening
from gromo_graph.growth.clock import TickClock
from gromo_graph.growth.pace import TickPace
from gromo_graph.growth.policy import ranked
from gromo_graph.growth.scheduler_checks import UNFOLLOWED
from gromo_graph.growth.ticks.filling import all_random, told_as_one
from gromo_graph.growth.ticks.recent_batches import RecentBatches
from gromo_graph.records.decisions import Decision
from gromo_graph.render.drawing.title_block import step_words
from gromo_graph.spec.defaults import CURRENT
from gromo_graph.spec.settings import Growth, Neurons, Stop, When

from .problems import batches, chain, sizes_agree

MSE = torch.nn.functional.mse_loss
DATA, HELD_OUT = batches(), batches(80, seed=2)
NO_BUDGET = Stop(parameters_per_sample="none")
"""Of the versions in which the data set none."""

SPEC = """
nodes:
  x: {kind: input, shape: [4]}
  h: {kind: linear, from: x, features: 2}
  y: {kind: linear, from: h, features: 2}
output: y
"""


def trained(scheduler: GrowthScheduler, steps: int) -> list[object]:
    """Events of a training by steps, at a small rate."""
    optimizer = torch.optim.SGD(scheduler.network.parameters(), lr=0.01)
    scheduler.optimizer = optimizer
    found: list[object] = []
    for step in range(steps):
        x, y = DATA[step % len(DATA)]
        optimizer.zero_grad()
        MSE(scheduler.network(x), y).backward()
        optimizer.step()
        found += scheduler.after_batch(x, y, HELD_OUT)
    return found


# Defaults by their version.


@pytest.mark.parametrize(
    ("growth", "epochs"),
    [
        ("", False),
        ("{when: {until: 0.5}}", False),
        ("{when: {every: 2}}", True),
        ("{when: {plateau: 3}}", True),
    ],
)
def test_the_clock_follows_from_what_is_written(growth: str, epochs: bool) -> None:
    spec = parse_spec(SPEC + (f"growth: {growth}" if growth else ""))
    assert spec.growth.counts_epochs is epochs
    assert parse_spec(dump_spec(spec)) == spec
    assert parse_spec(dump_spec(spec), defaults=1) == spec if epochs else True


def test_every_default_is_written_out() -> None:
    text = dump_spec(parse_spec(SPEC))
    for word in (
        "optimizer_state:",
        "begin: 0.0",
        "steps: 10",
        "spacing: 20",
        "batch_size: 64",
        "retries: 3",
    ):
        assert word in text


def test_a_text_without_a_version_has_the_defaults_of_the_first_release() -> None:
    old = parse_spec(SPEC + "growth: {when: {until: 0.5}}", defaults=1).growth
    assert (old.when.every, old.when.until) == (1, 0.5)
    assert old == Growth(when=When(every=1, until=0.5))


def test_a_run_from_before_the_warm_up_goes_on_without_one() -> None:
    assert parse_spec(SPEC).growth.warm_up == 0.3
    assert parse_spec(SPEC, defaults=2).growth == Growth(
        neurons=Neurons(alike=1.0), warm_up=0.0, scale="sqrt", when=When(spacing=None), stop=NO_BUDGET
    )
    assert parse_spec(SPEC + "growth: {warm_up: 0.5}", defaults=2).growth.warm_up == 0.5


def test_a_run_from_before_spacing_goes_on_without_one() -> None:
    assert parse_spec(SPEC).growth.when.spacing == 20
    assert parse_spec(SPEC, defaults=3).growth == Growth(
        neurons=Neurons(alike=1.0), warm_up=0.1, scale="sqrt", when=When(spacing=None), stop=NO_BUDGET
    )
    assert parse_spec(SPEC + "growth: {when: {spacing: 7}}", defaults=3).growth.when.spacing == 7


def test_a_run_from_before_ticks_came_closer_keeps_their_distance_and_its_warm_up() -> None:
    assert parse_spec(SPEC, defaults=5).growth == Growth(
        neurons=Neurons(alike=1.0), warm_up=0.1, when=When(spacing=50), stop=NO_BUDGET
    )
    assert parse_spec(SPEC + "growth: {when: {until: 0.5}}", defaults=5).growth.when.spacing is None
    for version in range(1, CURRENT + 1):
        every = parse_spec(SPEC + "growth: {when: {every: 1}}", defaults=version).growth
        assert every == Growth(when=When(every=1)), "which has the defaults of release 0.1 in each version"
    text = dump_spec(parse_spec(SPEC, defaults=5))
    assert parse_spec(text).growth.when.spacing == 50
    assert parse_spec(text, overrides={"growth.when.until": 0.5}).growth.when.spacing is None


@pytest.mark.parametrize(
    ("when", "spacing"),
    [
        ("{steps: 4}", 20),
        ("{until: 0.25}", None),
        ("{until: 0.25, spacing: 9}", 9),
        ("{spacing: null}", None),
        ("{every: 2}", 20),
    ],
)
def test_who_writes_until_means_that_share(when: str, spacing: int | None) -> None:
    spec = parse_spec(SPEC + f"growth: {{when: {when}}}")
    assert spec.growth.when.spacing == spacing
    assert parse_spec(dump_spec(spec)) == spec


def test_a_change_of_until_alone_means_that_share_too() -> None:
    """A run spells the default of `spacing` out."""
    text = dump_spec(parse_spec(SPEC))
    assert "spacing: 20" in text
    changed = parse_spec(text, overrides={"growth.when.until": 0.5}).growth.when
    assert (changed.until, changed.spacing) == (0.5, None)
    both = parse_spec(text, overrides={"growth.when.until": 0.5, "growth.when.spacing": 50}).growth.when
    assert (both.until, both.spacing) == (0.5, 50)
    network = compile_network(parse_spec(SPEC), seed=0)
    with edit(network) as change:
        change.set_growth(when={"until": 0.5})
    assert (network.spec.growth.when.until, network.spec.growth.when.spacing) == (0.5, None)


def test_another_until_of_a_run_with_targets_means_what_it_means_in_its_spec() -> None:
    """A run spells the schedule of targets out."""
    text = SPEC.replace("features: 2", "features: 2, grow: {target: 9}", 1)
    run = dump_spec(parse_spec(text))
    assert "begin: 0.5" in run
    for until in (0.4, 0.9):
        wanted = parse_spec(text, overrides={"growth.when.until": until}).growth.when
        assert (wanted.begin, wanted.until, wanted.steps) == (0.0, until, 10)
        assert parse_spec(run, overrides={"growth.when.until": until}).growth.when == wanted
        network = compile_network(parse_spec(text), seed=0)
        with edit(network) as change:
            change.set_growth(when={"until": until})
        assert network.spec.growth.when == wanted


@pytest.mark.parametrize("defaults", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("when", ["{every: 2}", "{plateau: 3}"])
def test_runs_of_all_versions_that_count_epochs_are_read(defaults: int, when: str) -> None:
    growth = f"growth: {{when: {when}}}"
    spec = parse_spec(SPEC + growth, defaults=defaults)
    assert spec.growth.counts_epochs
    assert parse_spec(dump_spec(spec), defaults=defaults) == spec
    assert parse_spec(
        SPEC + "growth: {when: {until: 0.5}}", overrides={"growth.when.every": 1}
    ).growth.counts_epochs


def test_a_run_from_before_the_scale_of_the_layer_keeps_its_scale() -> None:
    assert parse_spec(SPEC).growth.scale == "auto"
    assert parse_spec(SPEC, defaults=4).growth == Growth(
        neurons=Neurons(alike=1.0), warm_up=0.1, scale="sqrt", when=When(spacing=50), stop=NO_BUDGET
    )
    assert parse_spec(SPEC + "growth: {when: {every: 1}}").growth.scale == "sqrt"
    assert parse_spec(SPEC + "growth: {scale: alpha_std}", defaults=4).growth.scale == "alpha_std"


@pytest.mark.parametrize(
    ("written", "begin", "until", "steps", "spacing"),
    [
        ("", 0.5, 0.6, 2, None),
        ("growth: {when: {spacing: 30}}", 0.5, 0.6, 2, 30),
        ("growth: {when: {begin: 0.2}}", 0.2, 0.25, 10, 20),
        ("growth: {when: {steps: 5}}", 0.5, 0.6, 5, None),
        ("growth: {neurons: {per_step: 2}}", 0.5, 0.6, 4, None),
        ("growth: {neurons: {per_step: 1}}", 0.5, 0.6, 7, None),
        ("growth: {when: {until: 0.75}}", 0.0, 0.75, 10, None),
        ("growth: {stop: {parameters: 900}}", 0.0, 0.25, 10, 20),
    ],
)
def test_targets_are_reached_in_the_middle_however_long_the_training_is(
    written: str, begin: float, until: float, steps: int, spacing: int | None
) -> None:
    spec = parse_spec(SPEC.replace("features: 2", "features: 2, grow: {target: 9}", 1) + written)
    when = spec.growth.when
    assert (when.begin, when.until, when.steps, when.spacing) == (begin, until, steps, spacing)
    assert parse_spec(dump_spec(spec)) == spec


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("{begin: 0.5, until: 0.25}", "write a `begin` below `until`"),
        ("{every: 1, steps: 4}", "keep one of the two"),
        ("{plateau: 2, begin: 0.1}", "keep one of the two"),
    ],
)
def test_contradictions_are_told(when: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_spec(SPEC + f"growth: {{when: {when}}}")


# Ticks.


@pytest.mark.parametrize("length", [1, 7, 40, 1000, 12345])
@pytest.mark.parametrize("by_steps", [False, True])
def test_ticks_lie_between_begin_and_until(length: int, by_steps: bool) -> None:
    when = When(begin=0.1, until=0.6, steps=5)
    ticks = TickClock(when, length, by_steps).ticks
    assert list(ticks) == sorted(set(ticks))
    assert ticks[-1] == max(1, int(0.6 * length + 1e-9))
    assert ticks[0] >= min(0.1 * length, ticks[-1])
    assert len(ticks) == 5 or length < 12
    if length >= 40:
        gaps = [after - before for before, after in itertools.pairwise(ticks)]
        assert max(gaps) - min(gaps) <= 1


def test_ticks_are_no_farther_apart_than_spacing_says() -> None:
    when = When(begin=0.1, steps=5, spacing=30)
    assert TickClock(when, 10_000, by_steps=True).ticks == (1030, 1060, 1090, 1120, 1150)
    for length in (40, 990):  # near enough already
        spread = TickClock(When(begin=0.1, until=0.25, steps=5), length, by_steps=True)
        assert TickClock(when, length, by_steps=True).ticks == spread.ticks
    epochs = TickClock(when, 1000, by_steps=False)
    assert epochs.ticks[-1] == 250, "epochs are not training steps"


def test_the_setting_that_ended_growth_is_named() -> None:
    network = chain(growth="{when: {steps: 2, spacing: 3}, stop: {parameters: 120}}")
    scheduler = GrowthScheduler(network, MSE, training_steps=400)
    events = trained(scheduler, 10)
    assert sorted({event.batch for event in events}) == [3, 6]
    assert sizes_agree(network)
    over = scheduler._time.clock.over(7)
    assert over == "growth ends after 6 of 400 training steps: `growth.when.spacing` is 3"


def test_growth_takes_place_at_shares_of_the_training_steps() -> None:
    network = chain(growth="{when: {begin: 0.25, until: 0.75, steps: 4}, stop: {parameters: 120}}")
    events = trained(GrowthScheduler(network, MSE, training_steps=40), 40)
    assert sorted({event.batch for event in events}) == [15, 20, 25, 30]
    assert sorted({event.tick for event in events}) == [1, 2, 3, 4]
    assert sizes_agree(network)


def test_an_event_knows_its_epoch_if_somebody_said_how_long_one_is() -> None:
    """The default of `train.epochs` says nothing about a loop of one's own."""
    growth = "{when: {until: 1.0, steps: 2}}"
    for told, written, expected in ((None, None, [None, None]), (4, None, [2, 4]), (None, 8, [4, 8])):
        network = chain(growth=growth)
        if written is not None:
            text = dump_spec(network.spec).replace("epochs: 60", f"epochs: {written}")
            network = compile_network(parse_spec(text), seed=0, dtype=torch.float64)
        events = trained(GrowthScheduler(network, MSE, training_steps=40, epochs=told), 40)
        found = {event.batch: event.epoch for event in events}
        assert [found[20], found[40]] == expected
        done = {event.batch: event.epochs_done for event in events}
        assert [done[20], done[40]] == expected, "as many as there are, with no part of one left"
    assert step_words(replace(events[0], epoch=None, batch=20, decision=None)) == "batch 20"


def test_an_event_knows_its_place_inside_an_epoch() -> None:
    network = chain(growth="{when: {until: 1.0, steps: 8}}")
    events = trained(GrowthScheduler(network, MSE, training_steps=40, epochs=4), 40)
    assert {event.batch: event.epochs_done for event in events}[15] == 1.5
    assert all(event.epochs_done == event.place == event.batch / 10 for event in events)
    assert all(event.epoch == event.batch // 10 for event in events)
    scheduler = GrowthScheduler(chain(), MSE, policy={"when": {"every": 1}}, epochs=4)
    event = scheduler.step(DATA, HELD_OUT)
    assert event is not None
    assert (event.epoch, event.epochs_done) == (1, 1.0)


def test_a_budget_is_used_when_growth_ends_by_steps_and_by_epochs() -> None:
    for budget in (60, 120, 400):
        network = chain(growth=f"{{when: {{until: 0.5}}, stop: {{parameters: {budget}}}}}")
        scheduler = GrowthScheduler(network, MSE, training_steps=60)
        events = trained(scheduler, 60)
        assert 0.95 * budget <= network.graph.parameter_count + 9 <= budget + 9
        assert scheduler.reason is not None
        assert all(event.parameters <= budget for event in events)
        network = chain(growth=f"{{when: {{until: 0.5}}, stop: {{parameters: {budget}}}}}")
        scheduler = GrowthScheduler(network, MSE, epochs=20)
        for _ in range(20):
            scheduler.step(DATA, HELD_OUT)
        assert 0.95 * budget <= network.graph.parameter_count + 9 <= budget + 9


def test_drawn_neurons_fill_what_the_closed_form_lacks_and_change_nothing() -> None:
    network = chain(widths=(2,), growth="{when: {until: 0.2, steps: 1}, stop: {parameters: 400}}")
    unused = []

    def look(_: object) -> None:
        fan_out = network.growing("y").layer.weight.abs().sum(dim=0)
        unused.append(int((fan_out == 0).sum()))

    (event,) = trained(GrowthScheduler(network, MSE, training_steps=10, on_event=look), 10)
    assert event.decision.neurons > 8
    assert 0 < event.decision.random < event.decision.neurons
    assert (
        f"{event.decision.random} of {event.decision.neurons} neurons are random and change nothing yet"
        in event.reason
    )
    solved = next(each for each in event.candidates if each.target == event.decision.target)
    assert event.decision.random == event.decision.neurons - solved.neurons
    assert event.decision.takes(solved)
    assert unused[0] > 0
    assert event.loss_after < event.loss_before


def test_a_limit_of_the_author_is_kept_and_the_word_to_change_is_told() -> None:
    growth = "{neurons: {per_step: 1}, when: {until: 0.5, steps: 3}, stop: {parameters: 400}}"
    network = chain(growth=growth)
    scheduler = GrowthScheduler(network, MSE, training_steps=20)
    events = trained(scheduler, 20)
    assert all(event.decision.neurons == 1 for event in events)
    at = [(event.batch, event.decision.target) for event in events]
    assert len(at) == len(set(at))  # at the last tick as at the others
    assert scheduler.reason is not None
    assert "% used: raise `growth.neurons.per_step`" in scheduler.reason


def test_a_target_that_was_not_reached_is_told_with_the_word_to_change() -> None:
    growth = "{when: {until: 0.5, steps: 4}, stop: {steps: 1}}"
    text = dump_spec(chain(widths=(2,), growth=growth).spec)
    spec = parse_spec(text.replace("features: 2", "features: 2, grow: {target: 9}", 1))
    network = compile_network(spec, seed=0, dtype=torch.float64)
    scheduler = GrowthScheduler(network, MSE, training_steps=20)
    trained(scheduler, 20)
    assert scheduler.reason is not None
    assert scheduler.reason.endswith("`h1` has 4 of 9 features: raise `growth.stop.steps`")


def test_no_advice_is_given_to_who_wants_no_growth() -> None:
    scheduler = GrowthScheduler(chain(growth="{stop: {parameters: 400, steps: 0}}"), MSE, training_steps=20)
    assert not trained(scheduler, 20)
    assert scheduler.reason == "growth steps applied: 0, and `growth.stop.steps` is 0"


def test_random_neurons_are_told_in_the_right_number() -> None:
    decision = Decision("widen", "h", 1, nodes=("h",), delta_parameters=5, delta_madds=4)
    assert all_random(decision)[1].startswith("due: 1 random neuron, which changes nothing yet; ")
    two = all_random(replace(decision, neurons=2))[1]
    assert two.startswith("due: 2 random neurons, which change nothing yet; ")
    drawn = SimpleNamespace(neurons=1, delta_parameters=5, delta_madds=4)
    _, note = told_as_one(replace(decision, neurons=3), drawn)
    assert note == "the last of 4 neurons is random and changes nothing yet: as many were due"


def test_a_network_above_its_budget_is_told_at_once() -> None:
    scheduler = GrowthScheduler(chain(growth="{stop: {parameters: 5}}"), MSE)
    assert scheduler.reason is not None
    assert "over budget as it is" in scheduler.reason


def test_more_ticks_than_moments_are_told_once() -> None:
    scheduler = GrowthScheduler(chain(growth="{when: {steps: 6}}"), MSE, epochs=8)
    with pytest.warns(UserWarning, match="2 times and not 6 times as `growth.when.steps` says"):
        scheduler.step(DATA, HELD_OUT)


# `after_batch` and `step`.


def test_steps_and_epochs_are_not_mixed() -> None:
    scheduler = GrowthScheduler(chain(), MSE, training_steps=100)
    scheduler.after_batch(*DATA[0], HELD_OUT)
    with pytest.raises(GrowthError, match="and not both"):
        scheduler.step(DATA, HELD_OUT)


def test_a_length_that_nobody_knows_is_asked_for() -> None:
    with pytest.raises(GrowthError, match=r"training_steps=epochs \* len\(train_loader\)"):
        GrowthScheduler(chain(), MSE).after_batch(*DATA[0], HELD_OUT)
    scheduler = GrowthScheduler(chain(), MSE, epochs=4, statistics=DATA)
    assert scheduler.after_batch(*DATA[0], HELD_OUT) == () or scheduler.applied


class Numbered(Dataset):  # type: ignore[type-arg]
    """Samples that know their number."""

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(5, generator=generator, dtype=torch.float64)
        x[0] = index
        return x, x[2:].square()


def seen(scheduler: GrowthScheduler | None) -> list[int]:
    """The numbers of all samples of three epochs, from a loader whose workers persist."""
    order = torch.Generator().manual_seed(3)
    loader = DataLoader(
        Numbered(), batch_size=8, shuffle=True, num_workers=1, persistent_workers=True, generator=order
    )
    found: list[int] = []
    for _ in range(3):
        for x, y in loader:
            found += [int(number) for number in x[:, 0]]
            if scheduler is not None:
                scheduler.after_batch(x, y, HELD_OUT)
    return found


def test_the_loader_that_is_trained_on_is_left_alone() -> None:
    scheduler = GrowthScheduler(
        chain(growth="{when: {until: 1.0, steps: 5}, stop: {parameters: 300}}"), MSE, training_steps=12
    )
    numbers = seen(scheduler)
    assert scheduler.applied >= 3
    assert all(sorted(numbers[start : start + 32]) == list(range(32)) for start in (0, 32, 64))
    assert numbers == seen(None)


def test_the_buffer_is_bounded_and_has_no_history() -> None:
    recent = RecentBatches(samples=10)
    weight = torch.ones(2, requires_grad=True)
    for _ in range(7):
        recent.add((torch.ones(4, 2) * weight,), torch.zeros(4))
    assert sum(len(y) for _, y in recent) == 12
    assert not any(x[0].requires_grad for x, _ in recent)


# The order of candidates.


def test_a_negligible_slope_waits_however_narrow_its_group_is() -> None:
    network = chain(widths=(2, 6, 6))
    plan = GrowthScheduler(network, MSE).plan(DATA)
    narrow, other = (next(c for c in plan.candidates if c.target == name) for name in ("h1", "h3"))
    assert isinstance(narrow, Widening)
    assert isinstance(other, Widening)
    flat, steep = replace(narrow, slope=1e-6), replace(other, slope=1e-2)
    pace = TickPace({"h1": 1.0, "h3": 1.0}, {})
    assert ranked([flat, steep], Growth(), pace)[0] is steep
    assert ranked([replace(narrow, slope=1e-4), steep], Growth(), pace)[0].target == "h1"
    assert ranked([flat, steep], Growth())[0] is flat


def test_the_proportions_that_a_network_began_with_are_kept() -> None:
    network = chain(widths=(6, 2), growth="{when: {until: 0.5}}")
    scheduler = GrowthScheduler(network, MSE, training_steps=40, policy=Growth(stop=Stop(parameters=500)))
    trained(scheduler, 20)
    saved = scheduler.saved().plain["widths"]
    assert (saved["h1"], saved["h2"]) == (6, 2)
    assert 2.0 <= network.graph.features("h1") / network.graph.features("h2") <= 4.0


def test_drawn_neurons_of_several_parts_of_a_concatenation_change_nothing() -> None:
    """Each is drawn for the network as it stands after the one before."""
    network = compile_network(
        parse_spec(
            "nodes:\n  x: {kind: input, shape: [4]}\n  a: {kind: linear, from: x, features: 2, activation: relu}\n"
            "  b: {kind: linear, from: x, features: 2, activation: relu}\n"
            "  both: {kind: merge, from: [a, b], merge: concat}\n  y: {kind: linear, from: both, features: 1}\n"
            "output: y\ngrowth: {stop: {parameters: 60}, when: {until: 1.0, steps: 1}}\n"
        ),
        seed=0,
    )
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    before = network(x).detach()
    data = [(x, before)]  # nothing is left to learn, so that all neurons are drawn
    events: list[GrowthEvent] = []
    GrowthScheduler(network, torch.nn.functional.mse_loss, epochs=1, on_event=events.append).step(data, data)
    decisions = [event.decision for event in events if event.decision is not None]
    assert {decision.target for decision in decisions} == {"a", "b"}
    assert all(decision.is_random for decision in decisions)
    assert not any(decisions[0].takes(candidate) for candidate in events[0].candidates)
    torch.testing.assert_close(network(x), before)


@pytest.mark.parametrize("told", [True, False])
def test_an_optimizer_that_was_not_given_is_told_of(told: bool) -> None:
    network = chain(widths=(2, 2), growth="{when: {until: 1.0, steps: 2}}")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    scheduler = GrowthScheduler(network, MSE, optimizer=optimizer if told else None, training_steps=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x, y in DATA[:2]:
            optimizer.zero_grad()
            MSE(network(x), y).backward()
            optimizer.step()
            assert any(event.decision for event in scheduler.after_batch(x, y, HELD_OUT))
    assert [str(each.message) for each in caught] == ([] if told else [UNFOLLOWED] * 2)


def test_a_growth_that_refused_everything_names_the_setting_that_refused_it() -> None:
    """Also after a checkpoint between the last tick and the end of growth."""
    text = "{when: {until: 0.5, steps: 3, worth: 1000.0}}"
    scheduler = GrowthScheduler(chain(growth=text), MSE, training_steps=12)
    trained(scheduler, 5)
    again = GrowthScheduler(scheduler.network, MSE, training_steps=12)
    again.restore(scheduler.saved())
    for each in (scheduler, again):
        trained(each, 7)
        assert each.reason is not None
        assert each.reason.startswith("no growth step was applied; the last one tried: `")
        assert "`growth.when.worth` is 1000" in each.reason
        assert "until" not in each.reason, "to grow for longer is no remedy"


def test_a_growth_whose_last_tick_was_refused_says_why() -> None:
    text = "{when: {until: 0.5, steps: 3}}"
    scheduler = GrowthScheduler(chain(growth=text), MSE, training_steps=12)
    trained(scheduler, 5)
    assert scheduler.applied
    scheduler.policy = scheduler.policy.model_copy(
        update={"when": scheduler.policy.when.model_copy(update={"worth": 1000.0})}
    )
    trained(scheduler, 7)
    assert scheduler.reason is not None
    assert re.match(
        r"growth ends after 6 of 12 training steps: .*; nothing was applied at the last tick: `",
        scheduler.reason,
    )
    assert "`growth.when.worth` is 1000" in scheduler.reason


def test_a_growth_that_refused_everything_says_how_much_of_the_budget_is_missing() -> None:
    text = "{select: information, criterion: natural, when: {until: 0.5, steps: 3}, stop: {parameters: 2000}}"
    scheduler = GrowthScheduler(chain(growth=text), MSE, training_steps=12)
    trained(scheduler, 12)
    assert scheduler.reason is not None
    said = r"no growth step was applied; budget \d% used; the last one tried: "
    assert re.match(said, scheduler.reason)
    assert "raise" not in scheduler.reason


def test_another_policy_does_not_answer_for_what_the_one_before_refused() -> None:
    text = "{when: {until: 0.5, steps: 3, worth: 1000.0}}"
    scheduler = GrowthScheduler(chain(growth=text), MSE, training_steps=12)
    trained(scheduler, 12)
    assert "`growth.when.worth` is 1000" in str(scheduler.reason)
    scheduler.use(Growth(when=When(until=0.1, steps=1)), epochs=1, training_steps=12)
    trained(scheduler, 12)
    assert "worth" not in str(scheduler.reason)
