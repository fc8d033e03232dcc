"""New entries of a parameter take the steps of their own age: Adam's bias corrections with a count for each entry."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from gromo_graph import GrowthScheduler, compile_network, edit, parse_spec
from gromo_graph.layers import Kept, ParameterChange, Replaced
from gromo_graph.layers.replaced import inserted
from gromo_graph.network.optimizers import BORN, Followed, Optimizers, OptimizerStateWarning, check_births
from gromo_graph.network.optimizers import follow as follow_network
from gromo_graph.network.optimizers.own_steps import OwnSteps
from gromo_graph.spec.settings import Growth, When
from tests.network.test_optimizers_follow import LOSS, SPEC, TRAIN, train

optim = torch.optim
TINY = 1e-30  # the eps of a test in float64
OWN = SPEC.replace("ACTIONS", "[widen]").replace(
    "neurons:", "optimizer_state: own_steps, groups: 2, neurons:"
)


class Reference:
    """Adam in which each entry has its own step counter, in float64."""

    def __init__(self, start: Tensor, **options: Any) -> None:
        self.options = {
            "lr": 0.01,
            "betas": (0.9, 0.999),
            "decay": 0.0,
            "coupled": 0.0,
            "kind": "adam",
            "warm_up": 0,
        } | options
        self.weight = start.clone()
        self.mean, self.square, self.largest, self.age = (torch.zeros_like(start) for _ in range(4))
        self.first = torch.ones_like(start)
        self.count = 0

    def grow(self, change: ParameterChange) -> None:
        for name in ("weight", "mean", "square", "largest", "age", "first"):
            setattr(self, name, change.of(getattr(self, name)))

    def step(self, gradient: Tensor) -> None:
        rate, (first, _) = self.options["lr"], self.options["betas"]
        self.gradient = gradient = gradient + self.options["coupled"] * self.weight
        self.age, self.count = self.age + 1, self.count + 1
        if self.options["warm_up"]:
            rate = rate * torch.maximum(self.first, (self.age / self.options["warm_up"]).clamp(max=1))
        self.mean = first * self.mean + (1 - first) * gradient
        mean = self.mean / (1 - first**self.age)
        self.weight = self.weight * (1 - self.options["lr"] * self.options["decay"])
        self.move(rate, mean)
        if self.options["warm_up"]:
            self.join(self.age == self.options["warm_up"])

    def join(self, now: Tensor) -> None:
        """After the warm-up an entry is corrected by the count of all, and goes on from what it has."""
        first, second = self.options["betas"]
        age, count = self.age.clone(), torch.full_like(self.age, self.count)
        self.mean = torch.where(now, self.mean * (1 - first**count) / (1 - first**age), self.mean)
        if self.options["kind"] != "adamax":
            rise = torch.where(now, (1 - second**count) / (1 - second**age), 1.0)
            self.square, self.largest = self.square * rise, self.largest * rise
        self.age = torch.where(now, count, age)

    def move(self, rate: Any, mean: Tensor) -> None:
        second, gradient = self.options["betas"][1], self.gradient
        if self.options["kind"] == "adamax":
            self.square = torch.maximum(second * self.square, gradient.abs() + TINY)
            self.weight = self.weight - rate * mean / self.square
            return
        self.square = second * self.square + (1 - second) * gradient**2
        self.largest = torch.maximum(self.largest, self.square)
        square = self.largest if self.options["kind"] == "amsgrad" else self.square
        self.weight = self.weight - rate * mean / ((square / (1 - second**self.age)).sqrt() + TINY)


def follow(optimizer: torch.optim.Optimizer, change: ParameterChange, new: Any = "own_steps") -> Optimizers:
    """The optimizer of a network that has no other parameter."""
    network: Any = torch.nn.Module()
    network.weight = change.new
    optimizers = Optimizers(optimizer)
    follow_network(network, Followed([change.old], [change]), optimizers, new)
    return optimizers


def put_in(old: Parameter, dim: int, at: int, size: int) -> Replaced:
    shape = list(old.shape)
    shape[dim] = size
    return Replaced(old, Parameter(inserted(old, torch.zeros(shape), dim=dim, at=at)), dim, at, size)


def left(old: Parameter, places: dict[int, list[int]]) -> Kept:
    change = Kept(old, old, {dim: torch.tensor(wanted) for dim, wanted in places.items()})
    return Kept(old, Parameter(change.of(old.detach())), change.places)


CHANGES: Mapping[int, Callable[[Parameter], ParameterChange]] = {
    7: lambda p: put_in(p, 0, 3, 2),
    9: lambda p: put_in(p, 1, 1, 2),
    10: lambda p: put_in(p, 0, 5, 1),  # several ages in one parameter
    14: lambda p: left(p, {1: [5, 0, 2, 3]}),  # pruned while young, in another order
    15: lambda p: left(p, {0: [0, 4, 3, -1, 1], 1: [3, 1, 0, 2]}),
    22: lambda p: put_in(p, 1, 0, 1),
}

CASES: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "Adam": (lambda p: optim.Adam(p, lr=0.01, eps=TINY), {}),
    "foreach": (lambda p: optim.Adam(p, lr=0.01, eps=TINY, foreach=True), {}),
    "one by one": (lambda p: optim.Adam(p, lr=0.01, eps=TINY, foreach=False), {}),
    "fused": (
        lambda p: optim.AdamW(p, lr=0.01, eps=TINY, weight_decay=0.4, fused=True),
        {"decay": 0.4},
    ),
    "AdamW": (lambda p: optim.AdamW(p, lr=0.01, eps=TINY, weight_decay=2.0), {"decay": 2.0}),
    "decay in the gradient": (lambda p: optim.Adam(p, lr=0.01, eps=TINY, weight_decay=0.5), {"coupled": 0.5}),
    "amsgrad": (lambda p: optim.Adam(p, lr=0.01, eps=TINY, amsgrad=True), {"kind": "amsgrad"}),
    "Adamax": (lambda p: optim.Adamax(p, lr=0.01, eps=TINY), {"kind": "adamax"}),
    "Adamax with decay": (
        lambda p: optim.Adamax(p, lr=0.01, eps=TINY, weight_decay=0.5),
        {"kind": "adamax", "coupled": 0.5},
    ),
    "rate in a tensor": (
        lambda p: optim.AdamW(p, lr=torch.tensor(0.01, dtype=torch.float64), eps=TINY, weight_decay=0.4),
        {"decay": 0.4},
    ),
    "other betas": (lambda p: optim.Adam(p, lr=0.01, eps=TINY, betas=(0.0, 0.99)), {"betas": (0.0, 0.99)}),
    "warm-up, after which moments join": (
        lambda p: optim.AdamW(p, lr=0.01, eps=TINY, weight_decay=2.0),
        {"decay": 2.0, "warm_up": 8},
    ),
    "warm-up, amsgrad": (
        lambda p: optim.Adam(p, lr=0.01, eps=TINY, amsgrad=True),
        {"kind": "amsgrad", "warm_up": 8},
    ),
    "warm-up, Adamax": (lambda p: optim.Adamax(p, lr=0.01, eps=TINY), {"kind": "adamax", "warm_up": 8}),
    "warm-up that outlasts the correction": (
        lambda p: optim.Adamax(p, lr=0.01, eps=TINY, betas=(0.0, 0.99)),
        {"kind": "adamax", "betas": (0.0, 0.99), "warm_up": 25},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_entry_is_trained_as_by_adam_with_a_counter_for_each_entry(name: str) -> None:
    make, options = CASES[name]
    torch.manual_seed(0)
    start = torch.randn(3, 4, dtype=torch.float64)
    weight, other = Parameter(start.clone()), Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = make([{"params": [other], "lr": 0.5}, {"params": [weight]}])
    Optimizers(optimizer, warm_up=options.get("warm_up"))  # as a scheduler does; others leave it as it is
    reference = Reference(start, **options)
    for step in range(40):
        if step in CHANGES:
            change = CHANGES[step](weight)
            follow(optimizer, change)
            reference.grow(change)
            weight = change.new
        gradient = torch.randn(weight.shape, dtype=torch.float64)
        weight.grad, other.grad = gradient.clone(), torch.ones(2, dtype=torch.float64)
        if (
            step % 5 == 3
        ):  # a parameter that has no part in this batch takes no step, and its entries do not age
            weight.grad = None
        else:
            reference.step(gradient)
        optimizer.step()
        torch.testing.assert_close(weight.detach(), reference.weight, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(weight.detach(), reference.weight, rtol=1e-6, atol=1e-6)
    if name.startswith("warm-up, "):
        assert BORN not in optimizer.state[weight]
    else:
        assert [len(births) for births in optimizer.state[weight][BORN]] == list(weight.shape)
    assert BORN not in optimizer.state[other]


def test_parameters_that_grew_at_other_times_have_factors_of_their_own() -> None:
    torch.manual_seed(0)
    weights = [Parameter(torch.randn(3, dtype=torch.float64)) for _ in range(2)]
    optimizer = optim.Adam(weights, lr=0.01, eps=TINY)
    references = [Reference(weight.detach().clone()) for weight in weights]
    for step in range(12):
        for place, at in enumerate((4, 7)):
            if step == at:
                change = put_in(weights[place], 0, 3, 2)
                follow(optimizer, change)
                references[place].grow(change)
                weights[place] = change.new
        for weight, reference in zip(weights, references, strict=True):
            weight.grad = torch.randn(weight.shape, dtype=torch.float64)
            reference.step(weight.grad)
        optimizer.step()
    for weight, reference in zip(weights, references, strict=True):
        torch.testing.assert_close(weight.detach(), reference.weight, rtol=1e-6, atol=1e-6)


def test_old_entries_keep_their_bits() -> None:
    def trained(*, growing: bool) -> Tensor:
        torch.manual_seed(0)
        weight = Parameter(torch.randn(3, 4))
        optimizer = optim.AdamW([weight], lr=0.01)
        for step in range(12):
            if growing and step == 4:
                change = put_in(weight, 0, 3, 2)
                follow(optimizer, change)
                weight = change.new
            gradient = torch.randn(3, 4)
            weight.grad = torch.cat((gradient, torch.ones(len(weight) - 3, 4)))
            optimizer.step()
        return weight.detach()[:3]

    assert torch.equal(trained(growing=True), trained(growing=False))


def test_entries_that_are_old_are_counted_no_more() -> None:
    weight = Parameter(torch.zeros(3))
    optimizer = optim.Adam([weight], lr=0.01, betas=(0.5, 0.8))
    for step in range(40):
        if step == 5:
            change = put_in(weight, 0, 3, 1)
            follow(optimizer, change)
            weight = change.new
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        age = step - 4
        young = 0.5**age + 0.8**age / 2 >= 1e-3
        assert (BORN in optimizer.state[weight]) == (step >= 5 and young)


def test_the_first_step_is_the_learning_rate() -> None:
    weight = Parameter(torch.ones(2, 3))
    optimizer = optim.Adam([weight], lr=0.01)
    for _ in range(3000):
        weight.grad = torch.randn(2, 3)
        optimizer.step()
    change = put_in(weight, 1, 3, 2)
    follow(optimizer, change)
    change.new.grad = torch.full((2, 5), 7.0)
    optimizer.step()
    torch.testing.assert_close(change.new.detach()[:, 3:], torch.full((2, 2), -0.01))


def test_steps_that_a_gradient_scaler_leaves_out_make_nobody_older() -> None:
    torch.manual_seed(0)
    results = []
    for overflows in (True, False):
        weight = Parameter(torch.ones(4))
        optimizer, scaler = optim.AdamW([weight], lr=0.01, fused=True), torch.amp.GradScaler("cpu")
        for step in range(9):
            if step == 3:
                change = put_in(weight, 0, 4, 2)
                follow(optimizer, change)
                weight = change.new
            for gradient in ([torch.inf] if overflows else []) + [1.0 + step]:
                optimizer.zero_grad()
                scaler.scale((weight * gradient).sum()).backward()
                scaler.step(optimizer)
                scaler.update()
        results.append(weight.detach())
    torch.testing.assert_close(*results, rtol=0.0, atol=0.0)


def test_a_subclass_that_steps_by_its_parent_is_scaled_once() -> None:
    class Clipping(optim.Adam):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    results = []
    for kind in (Clipping, optim.Adam):
        weight = Parameter(torch.ones(2))
        optimizer = kind([weight], lr=0.01)
        for step in range(8):
            if step == 3:
                change = put_in(weight, 0, 2, 1)
                follow(optimizer, change)
                weight = change.new
            weight.grad = torch.full_like(weight, 1.0 + step)
            optimizer.step()
        results.append(weight.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("kind", [optim.NAdam, optim.RAdam, optim.RMSprop, optim.Adagrad])
def test_others_take_what_is_matched(kind: Any) -> None:
    states = []
    for new in ("own_steps", "matched"):
        weight = Parameter(torch.ones(2))
        optimizer = kind([weight], lr=0.01)
        weight.grad = torch.tensor([1.0, 2.0])
        optimizer.step()
        change = put_in(weight, 0, 2, 1)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            follow(optimizer, change, new)
        corrected = kind in (optim.NAdam, optim.RAdam) and new == "own_steps"
        assert [each.category for each in said] == [OptimizerStateWarning] * corrected
        states.append(optimizer.state[change.new])
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name])


def growing(text: str = OWN) -> tuple[Any, torch.optim.Optimizer, GrowthScheduler]:
    network = compile_network(parse_spec(text), seed=0)
    optimizer = optim.AdamW(network.parameters(), lr=0.02)
    return network, optimizer, GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)


def grown_while_young() -> tuple[Any, torch.optim.Optimizer, GrowthScheduler]:
    network, optimizer, scheduler = growing()
    for _ in range(3):
        train(network, [optimizer])
        event = scheduler.step(TRAIN, TRAIN)
        assert event is not None
        assert event.decision is not None
    ages = {step for state in optimizer.state.values() for births in state.get(BORN, ()) for step in births}
    assert len(ages - {0}) > 1
    return network, optimizer, scheduler


def weights(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def assert_same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> None:
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=0.0, atol=0.0, msg=name)


def test_undo_brings_ages_back() -> None:
    network, optimizer, scheduler = grown_while_young()
    train(network, [optimizer])
    twin = copy.deepcopy(scheduler)
    event = scheduler.step(TRAIN, TRAIN)
    assert event is not None
    assert event.decision is not None
    train(network, [optimizer])
    scheduler.undo()
    train(network, [optimizer])
    assert isinstance(twin.optimizer, torch.optim.Optimizer)
    train(twin.network, [twin.optimizer])
    assert_same(weights(network), weights(twin.network))


def test_what_is_saved_and_loaded_trains_on_to_the_bit() -> None:
    network, optimizer, _ = grown_while_young()
    again = compile_network(network.spec, seed=1)
    again.load_state_dict(network.state_dict())
    other = optim.AdamW(again.parameters(), lr=0.02)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    GrowthScheduler(again, LOSS, optimizer=other, epochs=99)
    for model, its in ((network, optimizer), (again, other)):
        train(model, [its])
    assert_same(weights(network), weights(again))


def test_edits_count_steps_too() -> None:
    network, optimizer, _ = growing()
    train(network, [optimizer])
    with edit(network, optimizer=optimizer, new_state="own_steps") as change:
        change.set_features("g", 5)
    train(network, [optimizer])
    assert any(BORN in state for state in optimizer.state.values())
    with edit(network, optimizer=optimizer) as back:
        back.apply(change.inverse)
    assert not any(BORN in state for state in optimizer.state.values())
    train(network, [optimizer])


@pytest.mark.parametrize(
    "found", [None, 3, [], [[0, 1]], [[0, 1], [0]], [[0.5, 1], []], [["a", 1], []], [[], []], [[0, True], []]]
)
def test_births_of_a_file_are_checked(found: Any) -> None:
    parameter = torch.zeros(2, 3)
    check_births([[0, 4], []], parameter)
    with pytest.raises(ValueError, match="births"):
        check_births(found, parameter)


def test_a_warm_up_is_a_share_of_the_training_that_the_scheduler_knows() -> None:
    network = compile_network(parse_spec(OWN), seed=0)
    optimizer = optim.AdamW(network.parameters(), lr=0.02)
    growth = Growth(warm_up=0.1)

    def warm_up() -> int:
        owners = [getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_pre_hooks.values()]
        (own,) = [owner for owner in owners if isinstance(owner, OwnSteps)]
        return own.warm_up

    scheduler = GrowthScheduler(
        network, LOSS, optimizer=optimizer, policy=growth, epochs=10, training_steps=200
    )
    assert warm_up() == 20
    scheduler.use(growth, epochs=20, training_steps=400)
    assert warm_up() == 40
    GrowthScheduler(network, LOSS, optimizer=optimizer, policy=growth, epochs=10)
    assert warm_up() == 0, "nobody has said how many steps there are"
    for until, steps in ((0.7, 20), (0.85, 10), (1.0, 0)):
        late = Growth(warm_up=0.1, when=When(until=until))
        GrowthScheduler(network, LOSS, optimizer=optimizer, policy=late, epochs=10, training_steps=200)
        assert warm_up() == steps, "the last neurons need two thirds of what is left at full size"
    early = Growth(warm_up=0.3)
    GrowthScheduler(network, LOSS, optimizer=optimizer, policy=early, epochs=10, training_steps=4000)
    assert warm_up() == 1200, "growth is over after 200 steps"


def test_new_weights_count_their_own_steps_unless_growth_counts_epochs() -> None:
    assert Growth().optimizer_state == "own_steps"
    assert Growth(when=When(every=1)).optimizer_state == "matched"
    assert Growth(when=When(plateau=2)).optimizer_state == "matched"
