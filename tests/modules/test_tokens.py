"""Embeddings and positions as torch modules: what they compute, what is summed of them, and how they grow."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from gromo_graph import GrowingModule, GrowthError
from gromo_graph.layers import adapter_for, operation_adapter
from gromo_graph.layers.embedding import TokenVectors
from gromo_graph.layers.operation import Features, Passed
from gromo_graph.layers.positions import AddedPositions

F64 = torch.float64


def embedding(vocabulary: int = 5, features: int = 3) -> TokenVectors:
    layer = TokenVectors(vocabulary, features, dtype=F64)
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    return layer


def ids_of(samples: int = 7, length: int = 6, vocabulary: int = 5) -> torch.Tensor:
    return torch.randint(vocabulary, (samples, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float32, F64])
def test_an_embedding_is_that_of_torch_with_the_features_first(dtype: torch.dtype) -> None:
    layer, ids = embedding(), ids_of()
    theirs = torch.nn.Embedding.from_pretrained(layer.weight.detach().T)
    assert torch.equal(layer(ids.to(dtype)), theirs(ids).transpose(1, 2))


@pytest.mark.parametrize("wrong", [5, -1, 2.5, float("nan"), float("inf")])
def test_what_is_no_token_id_is_refused(wrong: float) -> None:
    ids = torch.zeros(2, 3)
    ids[1, 1] = wrong
    with pytest.raises(GrowthError, match=r"found the token id .*: expected whole numbers from 0 to 4"):
        embedding()(ids)


def test_statistics_are_those_of_one_hot_rows() -> None:
    layer, ids = embedding(), ids_of()
    module = GrowingModule(layer, post_layer_function=torch.nn.Tanh())
    module.init_computation()
    generator = torch.Generator().manual_seed(2)
    target = torch.randn(7, 3, 6, generator=generator, dtype=F64)
    (module(ids) - target).square().sum().backward()
    module.update_computation()
    rows = functional.one_hot(ids, 5).to(F64)  # (n, length, vocabulary)
    gradient = module.pre_activity.grad
    torch.testing.assert_close(module.tensor_s(), torch.einsum("nla,nlb->ab", rows, rows) / 7)
    torch.testing.assert_close(module.tensor_m(), torch.einsum("nla,nol->ao", rows, gradient) / 7)
    assert module.tensor_s().count_nonzero() == module.tensor_s().diagonal().count_nonzero()


def test_an_embedding_gets_features_and_no_inputs() -> None:
    layer, ids = embedding(), ids_of()
    adapter, before = adapter_for(layer), layer(ids)
    assert (adapter.fan_in(layer), adapter.columns(layer), adapter.parameter_count(layer)) == (5, 5, 15)
    new = torch.ones(2, 5, dtype=F64)
    (replaced,) = adapter.extend_out(layer, new, None)
    assert replaced.new is layer.weight
    assert torch.equal(layer(ids)[:, :3], before)
    assert torch.equal(layer(ids)[:, 3:], torch.ones(7, 2, 6, dtype=F64))
    with pytest.raises(GrowthError, match="what is before it cannot grow"):
        adapter.extend_in(layer, new, 0)


def test_a_compiled_pass_does_not_look_at_the_ids() -> None:
    layer, ids = embedding(), ids_of()
    exported = torch.export.export(layer, (ids,)).module()
    assert torch.equal(exported(ids), layer(ids))


@pytest.mark.parametrize("shape", [(3, 6), (3, 4, 5)])
def test_positions_add_a_number_of_each_place_and_new_features_pass(shape: tuple[int, ...]) -> None:
    operation = AddedPositions(shape).double()
    torch.nn.init.normal_(operation.weight, generator=torch.Generator().manual_seed(0))
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    assert torch.equal(operation(x), x + operation.weight[None])
    adapter, grown = operation_adapter(operation), copy.deepcopy(operation)
    (replaced,) = adapter.grow(grown, 1, 2, Passed(1.0))
    assert (replaced.dim, replaced.at, replaced.size) == (0, 1, 2)
    new = x[:, :2]
    wider = grown(torch.cat((x[:, :1], new, x[:, 1:]), dim=1))
    assert torch.equal(wider[:, 1:3], new)
    assert torch.equal(wider[:, [0, 3, 4]], operation(x))
    left = adapter.left(grown, torch.tensor([0, 3, 4]))
    assert torch.equal(left(x), operation(x))
    assert adapter.obstacle(grown, Features(3)) == "it has numbers for 5 features, not for 3"
