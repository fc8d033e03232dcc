"""Every optimizer of torch follows growth as a whole: what is saved, rebuilt and loaded trains on as if never saved."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowingNetwork, GrowthError, GrowthScheduler, compile_network, edit, parse_spec
from gromo_graph.network.optimizers import LostHooksWarning, OptimizerStateWarning

SPEC = """
nodes:
  x: {kind: input, shape: [6]}
  h: {kind: linear, from: x, features: 3}
  n: {kind: layer_norm, from: h, activation: relu}
  g: {kind: linear, from: n, features: 3, activation: tanh}
  y: {kind: linear, from: g, features: 3}
output: y
growth: {actions: ACTIONS, neurons: {per_step: 2}, when: {every: 1, until: 1.0}}
"""
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(96, 6, generator=GENERATOR)
Y = (X[:, :3] * X[:, 3:]).argmax(dim=1)
TRAIN = list(zip(X[:64].split(32), Y[:64].split(32), strict=True))
HELD_OUT = [(X[64:], Y[64:])]
LOSS = torch.nn.functional.cross_entropy

Made = list[torch.optim.Optimizer]
optim = torch.optim


def matrices(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [p for p in network.parameters() if p.dim() > 1]


def vectors(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [p for p in network.parameters() if p.dim() == 1]


def alone(kind: Any, **options: Any) -> Callable[[torch.nn.Module], Made]:
    return lambda network: [kind(network.parameters(), **options)]


def grouped(kind: Any, **options: Any) -> Callable[[torch.nn.Module], Made]:
    return lambda network: [
        kind([{"params": matrices(network), "lr": 0.02}, {"params": vectors(network)}], **options)
    ]


def named(kind: Any, **options: Any) -> Callable[[torch.nn.Module], Made]:
    return lambda network: [kind(network.named_parameters(), **options)]


MAKERS: dict[str, Callable[[torch.nn.Module], Made]] = {
    "ASGD": alone(optim.ASGD, lr=0.05, t0=1),
    "Adadelta": alone(optim.Adadelta, lr=0.5),
    "Adafactor": alone(optim.Adafactor, lr=0.05),
    "Adagrad": alone(optim.Adagrad, lr=0.05, initial_accumulator_value=0.1),
    "Adam": alone(optim.Adam, lr=0.02),
    "AdamW": alone(optim.AdamW, lr=0.02, amsgrad=True),
    "Adamax": alone(optim.Adamax, lr=0.02),
    "LBFGS": alone(optim.LBFGS, lr=0.1, max_iter=3),
    "Muon": lambda network: [optim.Muon(matrices(network), lr=0.02), optim.AdamW(vectors(network), lr=0.02)],
    "NAdam": alone(optim.NAdam, lr=0.02),
    "RAdam": alone(optim.RAdam, lr=0.02),
    "RMSprop": alone(optim.RMSprop, lr=0.01, momentum=0.5, centered=True),
    "Rprop": alone(optim.Rprop, lr=0.01),
    "SGD": alone(optim.SGD, lr=0.05, momentum=0.9, nesterov=True),
    "Adam, fused": alone(optim.Adam, lr=0.02, fused=True),
    "AdamW, foreach": alone(optim.AdamW, lr=0.02, foreach=True),
    "SGD, fused": alone(optim.SGD, lr=0.02, momentum=0.9, fused=True),
    "Adagrad, fused": alone(optim.Adagrad, lr=0.02, fused=True),
    "Adam, tensor": alone(optim.Adam, lr=torch.tensor(0.02)),
    "AdamW, two groups": grouped(optim.AdamW, lr=0.01),
    "SGD, two groups": grouped(optim.SGD, lr=0.01, momentum=0.9),
    "Adam, named": named(optim.Adam, lr=0.01),
    "two": lambda network: [optim.SGD(matrices(network), lr=0.05), optim.Adam(vectors(network), lr=0.02)],
    "one each": lambda network: [optim.Adam([p], lr=0.02) for p in network.parameters()],
}
NEVER = {"Optimizer", "SparseAdam"}
ACTIONS = {
    "widen": ("widen", "widen"),
    "new_edge, new_node": ("new_edge", "new_node"),
    "widen, prune": ("widen", "prune", "widen"),
}


def network_of(actions: str = "widen") -> GrowingNetwork:
    return compile_network(parse_spec(SPEC.replace("ACTIONS", f"[{actions}]")), seed=0)


def train(network: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer], passes: int = 2) -> None:
    network.train()
    for x, y in TRAIN * passes:

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = LOSS(network(x), y)
            loss.backward()
            return loss

        if len(optimizers) == 1:
            optimizers[0].step(closure)
            continue
        closure()
        for optimizer in optimizers:
            optimizer.step()


def grown(actions: str, made: Callable[[torch.nn.Module], Made]) -> tuple[GrowingNetwork, Made]:
    network = network_of(actions)
    optimizers = made(network)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizers, epochs=99)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizerStateWarning)
        for kind in ACTIONS[actions]:
            train(network, optimizers)
            planned = scheduler.plan(TRAIN).candidates
            wanted = [each for each in planned if each.kind == kind and each.reason is None]
            for candidate in wanted[:1]:
                scheduler.apply(candidate, 1.0 if kind == "prune" else 0.1)
    return network, optimizers


def grow_and_train(
    scheduler: GrowthScheduler, network: GrowingNetwork, optimizer: torch.optim.Optimizer
) -> None:
    for _ in range(3):
        scheduler.step(TRAIN, HELD_OUT)
        train(network, [optimizer])


def test_no_optimizer_of_torch_is_forgotten_here() -> None:
    known = {name for name in dir(torch.optim) if inspect.isclass(getattr(torch.optim, name))}
    assert known <= set(MAKERS) | NEVER


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_saved_and_loaded_trains_on_as_if_it_had_not_been(name: str, actions: str) -> None:
    if name == "one each" and actions != "widen":
        pytest.skip("another number of optimizers would be made for the grown network")
    network, optimizers = grown(actions, MAKERS[name])
    assert network.spec != network_of(actions).spec

    again = compile_network(network.spec, seed=1)
    again.load_state_dict(network.state_dict())
    others = MAKERS[name](again)
    for optimizer, other in zip(optimizers, others, strict=True):
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    train(network, optimizers)
    train(again, others)
    there = dict(again.named_parameters())
    for key, parameter in network.named_parameters():
        torch.testing.assert_close(there[key], parameter)
        assert not torch.equal(parameter, before[key]), f"{key} is trained by none"


@pytest.mark.parametrize("name", MAKERS)
def test_undo_gives_several_optimizers_back_what_they_knew(name: str) -> None:
    network = network_of("widen, new_node")
    optimizers = MAKERS[name](network)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizers, epochs=99)
    train(network, optimizers)
    twin = copy.deepcopy(network)
    twins = MAKERS[name](twin)
    for mine, its in zip(optimizers, twins, strict=True):
        its.load_state_dict(copy.deepcopy(mine.state_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizerStateWarning)
        scheduler.step(TRAIN, HELD_OUT)
    train(network, optimizers)
    scheduler.undo()
    for its, model in ((optimizers, network), (twins, twin)):
        train(model, its)
    for mine, wanted in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("prefix", ["", "body."])
def test_names_of_parameters_stay_those_of_the_network(prefix: str) -> None:
    network = network_of("widen, new_edge, new_node")
    model = torch.nn.ModuleDict({"body": network, "head": torch.nn.Linear(3, 2)}) if prefix else network
    optimizer = optim.AdamW(model.named_parameters(), lr=0.01)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
    for _ in range(4):
        train(network, [optimizer])
        scheduler.step(TRAIN, HELD_OUT)
    with edit(network, optimizer=optimizer) as e:
        e.rename("g", "renamed")
    (group,) = optimizer.param_groups
    assert group["param_names"] == [name for name, _ in model.named_parameters()]
    assert all(a is b for a, b in zip(group["params"], model.parameters(), strict=True))


def test_names_that_somebody_made_up_stay() -> None:
    network = network_of("widen")
    optimizer = optim.SGD([(f"p{i}", p) for i, p in enumerate(network.parameters())], lr=0.1)
    GrowthScheduler(network, LOSS, optimizer=optimizer).step(TRAIN, HELD_OUT)
    assert optimizer.param_groups[0]["param_names"] == [f"p{i}" for i in range(8)]


def test_a_new_parameter_joins_those_of_its_like() -> None:
    """Weights of layers, weights of norms and biases are three groups, wherever the new ones stand."""
    network = network_of("new_node")
    norm = list(network.parts["n"].parameters())
    known = {id(p) for p in norm}
    weights = [p for p in matrices(network) if id(p) not in known]
    biases = [p for p in vectors(network) if id(p) not in known]
    optimizer = optim.AdamW(
        [{"params": norm}, {"params": biases, "weight_decay": 0.0}, {"params": weights, "weight_decay": 0.1}]
    )
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
    for _ in range(3):
        train(network, [optimizer])
        scheduler.step(TRAIN, HELD_OUT)
    with edit(network, optimizer=optimizer) as e:
        e.insert("x", "h", "more", {"kind": "layer_norm"})
    groups = [{id(p) for p in group["params"]} for group in optimizer.param_groups]
    norms = [p for key in ("n", "more") for p in network.parts[key].parameters()]
    assert {id(p) for p in norms if p.dim() == 1 and p is not norms[-1]} <= groups[0]
    assert {id(p) for p in matrices(network)} == groups[2]
    layers = [part for part in network.parts.values() if isinstance(part, torch.nn.Linear)]
    assert groups[1] >= {id(layer.bias) for layer in layers if layer.bias is not None}


def test_lists_stay_the_same_objects() -> None:
    """LBFGS and wrappers hold on to the lists of parameters, schedules to the groups."""
    network = network_of("widen, new_node")
    optimizer = optim.LBFGS(network.parameters(), lr=0.1, max_iter=2)
    group, parameters = optimizer.param_groups[0], optimizer.param_groups[0]["params"]
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
    train(network, [optimizer])
    with pytest.warns(OptimizerStateWarning, match="LBFGS") as told:
        grow_and_train(scheduler, network, optimizer)
    assert len(told) == 1
    scheduler.undo()
    assert optimizer.param_groups[0] is group
    assert group["params"] is parameters is vars(optimizer)["_params"]
    assert {id(p) for p in parameters} == {id(p) for p in network.parameters()}


def test_state_that_cannot_be_widened_begins_anew_and_says_so_once() -> None:
    network = network_of("widen")
    optimizer = optim.Adafactor(network.parameters(), lr=0.01)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
    train(network, [optimizer])
    with pytest.warns(OptimizerStateWarning, match="Adafactor keeps `row_var` of") as told:
        grow_and_train(scheduler, network, optimizer)
    assert len(told) == 1
    (kept,) = [p for name, p in network.named_parameters() if "nodes.y" in name and p.dim() == 1]
    assert optimizer.state[kept]["step"] > 0


class Own(torch.optim.Optimizer):
    """Momentum under a name of its own, in whatever form `keep` gives it."""

    def __init__(self, parameters: Any, keep: Callable[[Tensor], Any]) -> None:
        super().__init__(parameters, {})
        self.keep = keep

    def step(self, closure: Any = None) -> None:
        closure()
        for p in (p for group in self.param_groups for p in group["params"] if p.grad is not None):
            kept = self.state[p].setdefault("buf", self.keep(p))
            if isinstance(kept, Tensor) and kept.is_floating_point():
                kept.mul_(0.9).add_(p.grad)
                with torch.no_grad():
                    p.sub_(0.01 * kept)


def test_state_of_an_own_optimizer_is_widened_with_zeros() -> None:
    network = network_of("widen")
    optimizer = Own(network.parameters(), torch.zeros_like)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
    train(network, [optimizer])
    before = network.growing("g").layer.weight
    kept = optimizer.state[before]["buf"].clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptimizerStateWarning)
        scheduler.apply(next(each for each in scheduler.plan(TRAIN).candidates if each.target == "g"), 0.1)
    moved = optimizer.state[network.growing("g").layer.weight]["buf"]
    assert moved.shape == network.growing("g").layer.weight.shape != kept.shape
    torch.testing.assert_close(moved[: len(kept)], kept, rtol=0, atol=0)
    assert not moved[len(kept) :].any()
    train(network, [optimizer])


@pytest.mark.parametrize("keep", [lambda p: torch.zeros_like(p, dtype=torch.int64), lambda p: [0.0]])
def test_own_state_of_another_form_is_named(keep: Callable[[Tensor], Any]) -> None:
    network = network_of("widen")
    optimizer = Own(network.parameters(), keep)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
    train(network, [optimizer])
    with pytest.warns(OptimizerStateWarning, match="Own keeps `buf` of a parameter"):
        grow_and_train(scheduler, network, optimizer)


def test_factored_moments_are_never_widened_even_if_they_have_the_shape_of_the_parameter() -> None:
    spec = (
        "nodes:\n  x: {kind: input, shape: [1]}\n  h: {kind: linear, from: x, features: 3, activation: relu}\n"
        "  y: {kind: linear, from: h, features: 3}\noutput: y\n"
    )
    network = compile_network(parse_spec(spec), seed=0)
    optimizer = optim.Adafactor(network.parameters(), lr=0.01)
    train_one = [(x[:, :1], y) for x, y in TRAIN]
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
    for x, y in train_one:
        optimizer.zero_grad()
        LOSS(network(x), y).backward()
        optimizer.step()
    weight = network.growing("h").layer.weight
    assert optimizer.state[weight]["row_var"].shape == weight.shape
    with pytest.warns(OptimizerStateWarning, match="Adafactor"):
        scheduler.apply(
            next(each for each in scheduler.plan(train_one).candidates if each.target == "h"), 0.1
        )
    assert not optimizer.state.get(network.growing("h").layer.weight)


class Wrapper(torch.optim.Optimizer):
    """Steps through another optimizer, as sharpness-aware minimisation does."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.inner = inner
        self.param_groups = inner.param_groups

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)


def test_an_optimizer_inside_another_follows_too() -> None:
    results = []
    for wrap in (False, True):
        network = network_of("widen, new_node")
        inner = optim.Adam(network.parameters(), lr=0.02)
        optimizer = Wrapper(inner) if wrap else inner
        scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
        for _ in range(3):
            train(network, [optimizer])
            scheduler.step(TRAIN, HELD_OUT)
        train(network, [optimizer])
        assert set(inner.state) == set(network.parameters())
        results.append(network.state_dict())
    for key, value in results[0].items():
        torch.testing.assert_close(results[1][key], value)


def test_schedules_and_a_gradient_scaler_go_on() -> None:
    network = network_of("widen, new_node")
    optimizer = optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    steps = optim.lr_scheduler
    schedule = steps.SequentialLR(
        optimizer,
        [steps.LinearLR(optimizer, total_iters=2), steps.CosineAnnealingLR(optimizer, 10)],
        milestones=[2],
    )
    scaler = torch.amp.GradScaler("cpu")
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, epochs=99)
    rates = []
    for _ in range(5):
        for x, y in TRAIN:
            optimizer.zero_grad()
            scaler.scale(LOSS(network(x), y)).backward()
            scaler.step(optimizer)
            scaler.update()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(TRAIN, HELD_OUT)
    assert rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in network.parameters()}


@pytest.mark.parametrize("undone", [False, True])
@pytest.mark.parametrize("actions", ACTIONS)
def test_hooks_gradients_and_attributes_go_to_the_heir(actions: str, undone: bool) -> None:
    network = network_of(actions)
    calls: list[str] = []
    handles = []
    for name, parameter in network.named_parameters():
        handles.append(parameter.register_hook(lambda g, name=name: calls.append(name)))
        handles.append(parameter.register_post_accumulate_grad_hook(lambda p, name=name: calls.append(name)))
        parameter.mark = name  # type: ignore[attr-defined]
    LOSS(network(X), Y).backward()
    before = {parameter.mark: parameter.grad.sum() for parameter in network.parameters()}  # type: ignore[attr-defined,union-attr]
    scheduler = GrowthScheduler(network, LOSS, epochs=99)
    scheduler.step(TRAIN, HELD_OUT)
    if undone:
        scheduler.undo()
    marked = [p for p in network.parameters() if hasattr(p, "mark")]
    assert [p.mark for p in marked] == list(before)
    if "prune" not in actions or undone:
        for parameter in marked:
            torch.testing.assert_close(parameter.grad.sum(), before[parameter.mark])  # type: ignore[union-attr]
    calls.clear()
    LOSS(network(X), Y).backward()
    assert sorted(calls) == sorted(2 * list(before))
    for handle in handles:
        handle.remove()
    calls.clear()
    LOSS(network(X), Y).backward()
    assert calls == []


@pytest.mark.parametrize("kind", ["register_hook", "register_prehook"])
def test_hooks_on_the_node_of_a_gradient_are_told(kind: str) -> None:
    network = network_of("widen")
    nodes = [torch.autograd.graph.get_gradient_edge(p).node for p in network.parameters()]
    handles = [getattr(node, kind)(lambda *gradients: None) for node in nodes]
    scheduler = GrowthScheduler(network, LOSS, epochs=99)
    with pytest.warns(
        LostHooksWarning, match=r"parameter\.register_post_accumulate_grad_hook, which follows"
    ):
        assert scheduler.step(TRAIN, HELD_OUT) is not None
    for handle in handles:
        handle.remove()
    untouched = network_of("widen")
    GrowthScheduler(untouched, LOSS, epochs=99).step(TRAIN, HELD_OUT)  # a warning would be an error here


HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
CAREFUL: dict[str, Callable[[torch.nn.Module], Made]] = {
    "AdamW": alone(optim.AdamW, lr=0.02, eps=1e-4),
    "Adam, fused": alone(optim.Adam, lr=0.02, eps=1e-4, fused=True),
    "SGD, foreach": alone(optim.SGD, lr=0.5, momentum=0.9, foreach=True),
    "SGD, fused": alone(optim.SGD, lr=0.5, momentum=0.9, fused=True),
}


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("name", CAREFUL)
@pytest.mark.parametrize("dtype", HALVES.values(), ids=HALVES)
def test_weights_of_other_precisions_grow_and_train_on(dtype: torch.dtype, name: str, actions: str) -> None:
    network = network_of(actions).to(dtype)
    optimizers = CAREFUL[name](network)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizers, epochs=99)
    data = [(x.to(dtype), y) for x, y in TRAIN]
    for kind in ACTIONS[actions]:
        _steps(network, optimizers[0], data)
        wanted = [
            each for each in scheduler.plan(data).candidates if each.kind == kind and each.reason is None
        ]
        scheduler.apply(wanted[0], 1.0 if kind == "prune" else 0.1)
    before = {key: parameter.detach().clone() for key, parameter in network.named_parameters()}
    _steps(network, optimizers[0], data)
    for key, parameter in network.named_parameters():
        assert parameter.dtype == dtype
        assert parameter.isfinite().all()
        assert not torch.equal(parameter, before[key]), f"{key} is trained by none"
        moments = [v for v in optimizers[0].state[parameter].values() if isinstance(v, Tensor) and v.dim()]
        assert all(moment.dtype == dtype and moment.shape == parameter.shape for moment in moments)


def _steps(network: torch.nn.Module, optimizer: torch.optim.Optimizer, data: Any) -> None:
    for x, y in data * 2:
        optimizer.zero_grad()
        LOSS(network(x), y).backward()
        optimizer.step()


def test_weights_that_no_optimizer_trains_are_refused() -> None:
    network = network_of()
    optimizer = optim.SGD(matrices(network), lr=0.1)
    with pytest.raises(GrowthError, match=r"no optimizer trains `nodes\.h\.layer\.bias`, ") as refused:
        GrowthScheduler(network, LOSS, optimizer=optimizer)
    assert "5 of 8 trainable parameters" in str(refused.value)
    assert "untrained=[...]" in str(refused.value)


@pytest.mark.parametrize(
    "untrained",
    [
        lambda network: vectors(network),
        lambda network: ["h.bias", "n", network.parts["g"].bias, "nodes.y.layer.bias"],
        lambda network: [network],
    ],
)
def test_what_is_left_out_on_purpose_is_named(untrained: Callable[[GrowingNetwork], Any]) -> None:
    network = network_of()
    optimizer = optim.SGD(matrices(network), lr=0.1)
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer, untrained=untrained(network))
    assert scheduler.step(TRAIN, HELD_OUT) is not None
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in matrices(network)]


def test_a_name_that_is_none_is_refused() -> None:
    network = network_of()
    with pytest.raises(GrowthError, match=r"untrained='z': expected a node, such as `h`"):
        GrowthScheduler(network, LOSS, optimizer=optim.SGD(matrices(network), lr=0.1), untrained=["z"])


def test_an_optimizer_of_another_model_is_refused() -> None:
    network, other = network_of(), torch.nn.Linear(2, 2)
    with pytest.raises(
        GrowthError, match=r"Adam trains no parameter of this network.*network\.parameters\(\)"
    ):
        GrowthScheduler(network, LOSS, optimizer=optim.Adam(other.parameters()))
    optimizer = optim.Adam(network.parameters())
    scheduler = GrowthScheduler(network, LOSS, optimizer=optimizer)
    with pytest.raises(GrowthError, match="trains no parameter of this network"):
        scheduler.optimizer = optim.SGD(other.parameters())
    assert scheduler.optimizer is optimizer
    GrowthScheduler(network, LOSS)  # who gives none takes care of it


def test_optimizers_that_cannot_follow_are_refused() -> None:
    network = network_of()
    with pytest.raises(GrowthError, match="SparseAdam takes sparse gradients alone"):
        GrowthScheduler(network, LOSS, optimizer=optim.SparseAdam(list(network.parameters())))
    hidden = optim.SGD(network.parameters(), lr=0.1)
    hidden.flat = {"all": list(network.parameters())}  # type: ignore[attr-defined]
    with pytest.raises(GrowthError, match="SGD keeps parameters in `flat`"):
        GrowthScheduler(network, LOSS, optimizer=hidden)
    whole = optim.SGD(network.parameters(), lr=0.1)
    whole.state["all"] = {}  # type: ignore[index]
    with pytest.raises(GrowthError, match="of no single parameter"):
        GrowthScheduler(network, LOSS, optimizer=whole)
    with pytest.raises(GrowthError, match="expected an optimizer"):
        GrowthScheduler(network, LOSS, optimizer=network)  # type: ignore[arg-type]


def test_muon_alone_is_refused_where_biases_may_come() -> None:
    spec = SPEC.replace("features: 3", "features: 3, bias: false").replace("ACTIONS", "[new_node]")
    spec = spec.replace("  n: {kind: layer_norm, from: h, activation: relu}\n", "").replace(
        "from: n", "from: h"
    )
    network = compile_network(parse_spec(spec), seed=0)
    optimizer = optim.Muon(network.parameters(), lr=0.01)
    with pytest.raises(GrowthError, match="Muon trains matrices alone"):
        GrowthScheduler(network, LOSS, optimizer=optimizer)
    before = network.spec
    with pytest.raises(GrowthError, match="which Muon cannot train"), edit(network, optimizer=optimizer) as e:
        e.insert("g", "y", "more", {"kind": "linear"})
    assert network.spec is before
    assert len(optimizer.param_groups[0]["params"]) == 3


def test_groups_by_place_and_by_kind_hold_together() -> None:
    """Body and head, weights and biases apart in each: new ones join their like in the nearest part."""
    network = network_of("widen")
    head = list(network.parts["y"].parameters())
    known = {id(p) for p in head}
    body = [p for p in network.parameters() if id(p) not in known]
    groups = [[p for p in part if (p.dim() > 1) == wide] for part in (body, head) for wide in (True, False)]
    optimizer = optim.AdamW([{"params": group} for group in groups], lr=0.01)
    with edit(network, optimizer=optimizer) as e:
        e.insert("g", "y", "late", {"kind": "linear"})
        e.insert("x", "h", "early", {"kind": "linear"})
    held = [{id(p) for p in group["params"]} for group in optimizer.param_groups]
    for name, (weights, biases) in {"early": held[:2], "late": held[2:]}.items():
        assert id(network.parts[name].weight) in weights
        assert id(network.parts[name].bias) in biases
