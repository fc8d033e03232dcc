"""The quick way: the same numbers as the units give, and the units wherever somebody looks at them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings

from gromo_graph import (
    GraphError,
    GrowingNetwork,
    GrowthScheduler,
    Spec,
    compile_network,
    load_spec,
    parse_spec,
)
from gromo_graph.network import fast_forward
from tests.network.test_any_spec import batch, outputs
from tests.network.test_network import RESIDUAL
from tests.network.test_plain import SPECS, TWO, without_dropout
from tests.spec.strategies import NAMES, specs


def is_quick(network: GrowingNetwork) -> bool:
    return network._fast.module(network.graph, network.nodes) is not None


def warmed(network: GrowingNetwork) -> GrowingNetwork:
    for _ in range(fast_forward._AFTER):
        network(*batch(network))
    assert is_quick(network)
    return network


@settings(max_examples=25)
@given(specs(names=NAMES, max_nodes=10))
def test_any_spec(spec: Spec) -> None:
    network = without_dropout(compile_network(spec, seed=0, dtype=torch.float64))
    other = copy.deepcopy(network)
    for training in (True, False):
        network.train(training)
        other.train(training)
        for _ in range(2):
            module = fast_forward._generated(network.graph, network.nodes)
            found = module.forward(*batch(network))
            expected = outputs(other, *batch(network))
            for one, two in zip(
                expected, found.values() if isinstance(found, dict) else [found], strict=True
            ):
                assert torch.equal(one, two)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_many_passes_are_all_the_same(path: object) -> None:
    network = compile_network(load_spec(path), seed=0, dtype=torch.float64).eval()  # type: ignore[arg-type]
    first = outputs(network, *batch(network))
    warmed(network)
    for one, other in zip(first, outputs(network, *batch(network)), strict=True):
        assert torch.equal(one, other)


def test_gradients_and_names_of_inputs() -> None:
    network = compile_network(parse_spec(TWO), seed=0, dtype=torch.float64)
    left, right = batch(network)
    warmed(network).eval()
    found = network(**{"forward": right, "left part": left})
    assert torch.equal(found["a"], copy.deepcopy(network)(left, right)["a"])
    sum(value.sum() for value in found.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with pytest.raises(GraphError, match=r"batches of different sizes, 4 of `left part`, 3 of `forward`"):
        network(left, right[:3])
    with pytest.raises(GraphError, match="has shape"):
        network(left, right[:, :3])


def test_it_steps_aside_for_what_is_gathered_and_for_hooks() -> None:
    network = warmed(compile_network(parse_spec(RESIDUAL), seed=0, dtype=torch.float64))
    layer, merge = network.growing("lift"), network.unit("join")
    layer.init_computation()
    assert not is_quick(network)
    network(*batch(network))
    assert layer.input.shape == (4, 4)
    layer.reset_computation()
    assert is_quick(network)
    merge.store_pre_activity = True
    assert not is_quick(network)
    merge.store_pre_activity = False
    for module in (layer, merge):
        seen: list[object] = []
        hook = module.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        network(*batch(network))
        assert seen == [1]
        hook.remove()
    seen = []
    hook = layer.layer.register_forward_hook(lambda *_: seen.append(1))
    assert is_quick(network)
    network(*batch(network))
    assert seen == [1]
    hook.remove()
    layer.post_layer_function = torch.nn.Identity()
    assert not is_quick(network)
    assert torch.equal(network.eval()(*batch(network)), copy.deepcopy(network)(*batch(network)))


def test_copies_states_and_growth_go_on_without_it() -> None:
    network = warmed(compile_network(load_spec(SPECS[4]), seed=0, dtype=torch.float64))
    keys = list(network.state_dict())
    assert keys == list(compile_network(network.spec).state_dict())
    copied = copy.deepcopy(network)
    assert not is_quick(copied)
    assert not is_quick(pickle.loads(pickle.dumps(network)))  # noqa: S301 - what was just written
    (x,) = batch(network, samples=60)
    y = torch.randint(10, (60,), generator=torch.Generator().manual_seed(0))
    event = GrowthScheduler(network, torch.nn.functional.cross_entropy, epochs=10).step([(x, y)], [(x, y)])
    assert event is not None
    assert event.decision is not None
    assert not is_quick(network)
    first = network.eval()(x)
    assert torch.equal(warmed(network)(x), first)


def test_what_nobody_reads_any_more_is_known() -> None:
    graph = compile_network(parse_spec(RESIDUAL)).graph
    spent = {call.output: call.last_read for call in graph.calls}
    assert spent["lift"] == ()
    assert spent["both"] == ("stem->", "join")
    assert sum(map(len, spent.values())) == len(graph.units) - 1
    two = compile_network(parse_spec(TWO)).graph
    assert not {key for call in two.calls for key in call.last_read} & {
        two.ends[name] for name in two.spec.outputs
    }
