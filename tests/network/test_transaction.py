"""Edits of specs and live networks: all or nothing, weights kept, the function kept where it can be, and taken back."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gromo_graph import (
    AddEdge,
    DuplicateBlock,
    Edits,
    GraphError,
    GromoGraphError,
    GrowingNetwork,
    GrowthScheduler,
    InsertBetween,
    RenameNode,
    SetFeatures,
    SpecError,
    check_spec,
    compile_network,
    edit,
    load_spec,
    parse_spec,
)
from gromo_graph.graph.edits import SpecEdit
from gromo_graph.network.example_inputs import random_inputs
from tests.network.edits import sequence

GALLERY = [
    "digits_mlp",
    "digits_residual",
    "digits_residual_cnn",
    "digits_u",
    "digits_unet",
    "digits_mixer",
    "two_inputs",
]
RESIDUAL = """
nodes:
  x: {kind: input, shape: [6]}
  stem: {kind: linear, from: x, features: 4, activation: relu}
  up: {kind: linear, from: stem, features: 5, activation: tanh}
  down: {kind: linear, from: up, features: 4}
  sum: {kind: merge, from: [stem, down], activation: relu}
  y: {kind: linear, from: sum, features: 3}
output: y
"""


def network_of(text: str = RESIDUAL, seed: int = 0) -> GrowingNetwork:
    return compile_network(parse_spec(text), seed=seed, dtype=torch.float64)


def inputs_of(network: GrowingNetwork) -> list[torch.Tensor]:
    return list(random_inputs(network, 5, seed=1))


def sizes_agree(network: GrowingNetwork) -> bool:
    """True if the weights have the sizes and the links of the spec."""
    graph = network.graph
    fitting = all(
        sum(p.numel() for p in part.parameters()) == graph.parameters(name)
        for name, part in network.parts.items()
    )
    return fitting and sum(p.numel() for p in network.parameters()) == graph.parameter_count


def output_of(network: GrowingNetwork, inputs: list[torch.Tensor]) -> torch.Tensor:
    network.eval()
    with torch.no_grad():
        found = network(*inputs)
    network.train()
    values = list(found.values()) if isinstance(found, dict) else [found]
    return torch.cat([value.flatten(1) for value in values], dim=1)


def state(network: GrowingNetwork) -> dict[str, torch.Tensor]:
    return copy.deepcopy(network.state_dict())


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


# What keeps the function


@pytest.mark.parametrize(
    "change",
    [
        AddEdge("x", "sum"),
        AddEdge("x", "y"),
        AddEdge("stem", "y"),
        AddEdge("x", "up"),
        InsertBetween("up", "down", "new", {"kind": "linear"}),
        InsertBetween("stem", "up", "new", {"kind": "linear", "activation": "relu"}),
        InsertBetween("sum", "y", "new", {"kind": "dropout", "p": 0.4}),
        InsertBetween("sum", "y", "new", {"kind": "batch_norm"}),
        SetFeatures("up", 9),
        SetFeatures("stem", 7),
        RenameNode("stem", "trunk"),
        DuplicateBlock(["up", "down", "sum"]),
        Edits([SetFeatures("up", 9), RenameNode("up", "wide"), AddEdge("x", "wide"), SetFeatures("stem", 6)]),
    ],
    ids=lambda change: type(change).__name__ + str(getattr(change, "name", getattr(change, "target", ""))),
)
def test_the_function_is_kept(change: SpecEdit) -> None:
    network = network_of()
    inputs, before = inputs_of(network), state(network)
    wanted = output_of(network, inputs)
    with edit(network, generator=torch.Generator().manual_seed(3)) as e:
        e.apply(change)
    assert network.spec == change.spec_of(parse_spec(RESIDUAL))
    assert sizes_agree(network)
    assert e.preserved
    assert e.notes == ()
    torch.testing.assert_close(output_of(network, inputs), wanted, rtol=1e-12, atol=1e-12)
    assert network.state_dict().keys() != before.keys() or isinstance(change, SetFeatures | InsertBetween)
    assert e.inverse is not None
    with edit(network) as back:
        back.apply(e.inverse)
    assert network.spec == parse_spec(RESIDUAL)
    assert same(state(network), before)
    assert torch.equal(output_of(network, inputs), wanted)


def test_new_weights_learn() -> None:
    """Zeros on one side alone: the new features before a zero layer have gradients once it has moved."""
    network = network_of()
    with edit(network, generator=torch.Generator().manual_seed(3)) as e:
        e.set_features("up", 9).connect("x", "y")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    (x,) = inputs_of(network)
    before = state(network)
    for _ in range(2):
        optimizer.zero_grad()
        network(x).square().sum().backward()
        optimizer.step()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == set(before)


def test_what_cannot_keep_the_function_says_so() -> None:
    network = network_of()
    with edit(network) as e:
        e.set_options("up", activation="relu")
    assert e.preserved is False
    assert e.notes == ("the network computes something else now",)
    with edit(network) as e:
        e.insert("up", "down", "narrow", {"kind": "linear", "features": 2})
    assert e.preserved is False
    assert "`narrow` cannot begin as the identity" in e.notes[0]


def test_the_features_with_the_largest_weights_stay() -> None:
    network = network_of()
    with torch.no_grad():
        network.parts["up"].weight[[0, 3]] = 0.0
        network.parts["up"].bias[[0, 3]] = 0.0
    inputs = inputs_of(network)
    wanted = output_of(network, inputs)
    with edit(network) as e:
        e.set_features("up", 3)
    assert e.preserved  # tanh(0) = 0: those two said nothing
    torch.testing.assert_close(output_of(network, inputs), wanted, rtol=1e-12, atol=1e-12)


# All or nothing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.remove_node("nope"), r"unknown node `nope`: known nodes: x, stem"),
        (lambda e: e.rename("stem", "up"), r"there is a node `up` already: `up\.2` is free"),
        (lambda e: e.connect("y", "up"), r"it would lead back: `y` reads `up`"),
        (lambda e: e.connect("stem", "sum"), r"`sum` reads `stem` already"),
        (lambda e: e.connect("x", "y", direct=True), r"`y` is no merge"),
        (lambda e: e.connect("x", "sum", direct=True), r"a sum needs equal shapes.*`x->sum` is 6 wide"),
        (lambda e: e.disconnect("stem", "up"), r"`up` reads nothing else than `stem`"),
        (lambda e: e.disconnect("x", "up"), r"`up` does not read `x`: it reads `stem`"),
        (lambda e: e.insert("x", "up", "n", {"kind": "linear"}), r"`up` does not read `x`"),
        (
            lambda e: e.insert("stem", "up", "n", {"kind": "liner"}),
            r'unknown kind "liner": did you mean `linear`',
        ),
        (lambda e: e.insert("stem", "up", "n", {"kind": "linear", "featurs": 3}), r"did you mean `features`"),
        (lambda e: e.set_features("sum", 3), r"`sum` is a merge, which has no features of its own"),
        (lambda e: e.set_features("up", 0), r"found 0, expected 1 or more"),
        (lambda e: e.set_features("up", "3"), r'found "3", expected an integer: write 3 without quotes'),
        (lambda e: e.set_options("up", activation="rleu"), r"did you mean `relu`"),
        (lambda e: e.set_options("up", kind="dropout"), r"is no option"),
        (
            lambda e: e.add_node("new", {"kind": "linear", "from": "up", "features": 3}),
            r"no node reads this one",
        ),
        (
            lambda e: e.add_node("new", {"kind": "linear", "from": "upp", "features": 3}, ["sum"]),
            r"did you mean `up`",
        ),
        (lambda e: e.duplicate(["stem", "down"]), r"a block reads one node"),
        (lambda e: e.set_growth(select="sloep"), r"did you mean `slope`"),
        (lambda e: e.set_output("z"), r"unknown node `z`"),
        (lambda e: e.remove_node("y").remove_node("sum"), r"`sum` is the only output"),
    ],
)
def test_what_is_not_possible_changes_nothing(change, message: str) -> None:  # type: ignore[no-untyped-def]
    network = network_of()
    optimizer = torch.optim.Adam(network.parameters())
    before, modules = state(network), dict(network.named_modules())
    groups = [list(group["params"]) for group in optimizer.param_groups]
    with pytest.raises(GromoGraphError, match=message), edit(network, optimizer=optimizer) as e:
        change(e)
    assert network.spec == parse_spec(RESIDUAL)
    assert same(state(network), before)
    assert dict(network.named_modules()) == modules
    assert [list(group["params"]) for group in optimizer.param_groups] == groups


def test_an_error_inside_the_block_changes_nothing() -> None:
    network = network_of()
    before = state(network)
    with pytest.raises(ZeroDivisionError), edit(network) as e:
        e.set_features("up", 9 // 1).set_features("stem", 9 // 0)
    assert network.spec == parse_spec(RESIDUAL)
    assert same(state(network), before)


def test_a_step_on_the_way_need_not_be_sound() -> None:
    spec = parse_spec(RESIDUAL)
    with edit(spec) as e:
        e.add_node("extra", {"kind": "linear", "from": "x", "features": 2})  # nobody reads it yet
        e.replace("sum", {"kind": "merge", "from": ["stem", "down", "extra"], "merge": "concat"})
    assert e.spec.nodes["sum"].sources == ("stem", "down", "extra")
    assert spec == parse_spec(RESIDUAL)
    with pytest.raises(GraphError, match="cannot edit a str"):
        edit("spec.yaml")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="no node reads this one"), edit(spec) as e:
        e.add_node("extra", {"kind": "linear", "from": "x", "features": 2})


# Any sequence


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(GALLERY), length=st.integers(1, 5))
def test_any_sequence_keeps_every_invariant_and_is_taken_back(seed: int, name: str, length: int) -> None:
    spec = load_spec(f"specs/{name}.yaml")
    network = compile_network(spec, seed=seed % 7, dtype=torch.float64)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    inputs = inputs_of(network)
    loss = sum(v.square().mean() for v in _values(network(*inputs)))
    loss.backward()
    optimizer.step()
    wanted, before, known = output_of(network, inputs), state(network), set(optimizer.state)
    inverses = []
    for change in sequence(spec, random.Random(seed), length):
        with edit(network, optimizer=optimizer, generator=torch.Generator().manual_seed(seed)) as e:
            e.apply(change)
        assert check_spec(network.spec) == ()
        assert sizes_agree(network)
        trained = {p for group in optimizer.param_groups for p in group["params"]}
        assert trained == set(network.parameters())
        assert set(optimizer.state) <= trained
        optimizer.zero_grad()
        given_inputs = inputs_of(network)
        assert bool(output_of(network, given_inputs).isfinite().all())
        inverses.append(e.inverse)
    for inverse in reversed(inverses):
        assert inverse is not None
        with edit(network, optimizer=optimizer) as e:
            e.apply(inverse)
    assert network.spec == spec
    assert same(state(network), before)
    assert torch.equal(output_of(network, inputs), wanted)
    assert set(optimizer.state) == known


def _values(found: torch.Tensor | dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return list(found.values()) if isinstance(found, dict) else [found]


@given(seed=st.integers(0, 10**6), name=st.sampled_from(GALLERY), length=st.integers(1, 6))
def test_of_specs_likewise(seed: int, name: str, length: int) -> None:
    spec = load_spec(f"specs/{name}.yaml")
    changes = list(sequence(spec, random.Random(seed), length))
    with edit(spec) as e:
        for change in changes:
            e.apply(change)
    assert check_spec(e.spec) == ()
    assert e.spec == Edits(changes).spec_of(spec)
    assert e.inverse is not None
    assert e.inverse.spec_of(e.spec) == spec
    for new, old in e.renamed.items():
        assert new in e.spec.nodes
        assert old in spec.nodes


def test_a_network_may_be_left_without_weights_for_a_while() -> None:
    network = network_of(
        "nodes:\n  x: {kind: input, shape: [3]}\n  y: {kind: linear, from: x, features: 3}\noutput: y\n"
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = state(network)
    with edit(network, optimizer=optimizer) as e:
        e.replace("y", {"kind": "dropout"})
    assert list(network.parameters()) == optimizer.param_groups[0]["params"] == []
    assert e.inverse is not None
    with edit(network, optimizer=optimizer) as back:
        back.apply(e.inverse)
    assert same(state(network), before)
    assert optimizer.param_groups[0]["params"] == list(network.parameters())


def test_an_edited_network_grows_and_its_optimizer_goes_on() -> None:
    network = network_of()
    optimizer = torch.optim.Adam([{"params": list(network.parameters()), "lr": 0.02}])
    (x,) = inputs_of(network)
    data = [(x, torch.zeros(len(x), 3, dtype=torch.float64))]
    network(x).square().sum().backward()
    optimizer.step()
    kept = network.parts["y"].bias
    with edit(network, optimizer=optimizer) as e:
        e.set_features("stem", 6).insert("sum", "y", "more", {"kind": "linear", "activation": "relu"})
        e.remove_node("up")
    assert network.parts["y"].bias is not kept or kept in optimizer.state
    assert optimizer.state[network.parts["stem"].weight]["exp_avg"].shape == (6, 6)
    assert network.parts["more"].weight in set(optimizer.param_groups[0]["params"])
    event = GrowthScheduler(network, torch.nn.functional.mse_loss, optimizer=optimizer).step(data, data)
    assert event is not None
    optimizer.zero_grad()
    network(x).square().sum().backward()
    optimizer.step()


def test_a_single_name_is_a_name_and_a_use_of_a_block_is_told() -> None:
    spec = load_spec("specs/digits_residual_cnn.yaml")
    with edit(spec) as e:
        e.duplicate("last")
    assert "copy.last" in e.spec.nodes
    with pytest.raises(
        GraphError, match=r"`body` is a use of the block `residual`: name one of its nodes, `body\.1\.norm`"
    ):
        SetFeatures("body", 4).spec_of(spec)
