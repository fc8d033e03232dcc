"""Weights that several calls of a model share: a tied output, Siamese branches, a block that is repeated."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gromo_graph import (
    CompileError,
    GraphError,
    GrowthScheduler,
    TorchImportError,
    compile_network,
    edit,
    from_torch,
    parse_spec,
)
from gromo_graph.graph.growability import obstacle
from gromo_graph.spec.settings import Growth

TOKENS, WIDTH = 9, 6


class Language(nn.Module):
    """A language model whose output has the weights of its table, as nanoGPT and GPT-2 have it."""

    def __init__(self, *, bias: bool = False, function: bool = False) -> None:
        super().__init__()
        self.table, self.function = nn.Embedding(TOKENS, WIDTH), function
        self.wide, self.narrow = nn.Linear(WIDTH, 8), nn.Linear(8, WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS, bias=bias)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> tuple[Tensor, None]:
        x = self.table(ids)
        x = x + self.narrow(functional.gelu(self.wide(x)))
        return (x @ self.table.weight.T if self.function else self.head(x)), None


class Siamese(nn.Module):
    """Two inputs go through one branch."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(2, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 5, 3),
            nn.Flatten(),
            nn.LayerNorm(20),
        )
        self.hidden, self.head = nn.Linear(40, 7), nn.Linear(7, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(torch.cat((self.branch(a), self.branch(b)), dim=1))))


class Repeated(nn.Module):
    """One layer of a transformer three times, as ALBERT has it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, WIDTH), nn.Linear(WIDTH, 2)
        self.norm, self.qkv, self.out = (
            nn.LayerNorm(WIDTH),
            nn.Linear(WIDTH, 3 * WIDTH),
            nn.Linear(WIDTH, WIDTH),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(3):
            n, length, width = x.shape
            q, k, v = self.qkv(self.norm(x)).view(n, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(q, k, v)
            x = x + self.out(mixed.transpose(1, 2).reshape(n, length, width))
        return self.last(x.mean(dim=1))


def gradients(network: nn.Module, *inputs: Tensor) -> dict[tuple[int, ...], Tensor]:
    """Sums of squared gradients by the sorted sizes of a parameter."""
    network.zero_grad()
    found: Any = network(*inputs)
    (found[0] if isinstance(found, tuple) else found).square().sum().backward()
    sums: dict[tuple[int, ...], Tensor] = {}
    for parameter in network.parameters():
        sizes = tuple(sorted(size for size in parameter.shape if size > 1))
        grad = torch.zeros(()) if parameter.grad is None else parameter.grad.square().sum()
        sums[sizes] = sums.get(sizes, torch.zeros(())) + grad
    return sums


def ids_of() -> Tensor:
    return torch.randint(TOKENS, (4, 5), generator=torch.Generator().manual_seed(0))


def images(seed: int) -> Tensor:
    return torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


MODELS: list[tuple[nn.Module, tuple[Tensor, ...], set[str]]] = [
    (Language(), (ids_of(),), {"wide"}),
    (Language(bias=True), (ids_of(),), {"wide"}),
    (Language(function=True), (ids_of(),), {"wide"}),
    (Siamese(), (images(0), images(1)), {"hidden"}),
]


@pytest.mark.parametrize(("model", "inputs", "able"), MODELS)
@pytest.mark.parametrize("training", [False, True])
def test_shared_weights_are_trained_as_in_the_model_and_all_else_grows(
    model: nn.Module, inputs: tuple[Tensor, ...], able: set[str], training: bool
) -> None:
    network = from_torch(model.train(training), inputs)
    theirs, ours = gradients(model, *inputs), gradients(network, *inputs)
    assert theirs.keys() == ours.keys()
    for sizes, grad in theirs.items():
        torch.testing.assert_close(ours[sizes], grad)
    assert sum(p.numel() for p in network.parameters()) == network.graph.parameter_count
    assert not any(key.endswith("_other") for key in network.state_dict())
    free = {group.target for group in network.graph.groups if obstacle(network.graph, group) is None}
    assert free == able
    plain = network.eval().to_torch()
    torch.testing.assert_close(plain(*inputs), network(*inputs))
    scheduler = GrowthScheduler(network, lambda y, _: y.square().mean(), policy=Growth(groups=1))  # type: ignore[arg-type]
    data = [(inputs if len(inputs) > 1 else inputs[0], torch.zeros(4))]
    (candidate,) = (each for each in scheduler.plan(data).candidates if each.target in able)
    assert scheduler.apply(candidate, 0.1).decision is not None
    copied = copy.deepcopy(network)
    torch.testing.assert_close(copied(*inputs), network(*inputs))
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(2.0)
    assert not torch.allclose(copied(*inputs), network(*inputs))
    assert sum(p.numel() for p in network.parameters()) == network.graph.parameter_count


def test_a_repeated_layer_comes_in() -> None:
    model, x = Repeated(), torch.randn(3, 4, 3)
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x))
    kinds = [node.kind for node in network.spec.nodes.values()]
    assert (kinds.count("again"), kinds.count("attention")) == (6, 3)


class ClassAttention(nn.Module):
    """A class token that alone asks, and to which the answer is added (CaiT)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(2, WIDTH, 2, stride=2), nn.LayerNorm(WIDTH)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        token = self.token.expand(x.shape[0], -1, -1)
        x = self.norm(torch.cat((token, self.patches(x).flatten(2).transpose(1, 2)), dim=1))
        n, length, width = x.shape
        q = self.q(x[:, 0]).unsqueeze(1).reshape(n, 1, 2, width // 2).permute(0, 2, 1, 3)
        k, v = (layer(x).reshape(n, length, 2, width // 2).permute(0, 2, 1, 3) for layer in (self.k, self.v))
        answer = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, 1, width)
        return self.head((token + self.out(answer))[:, 0])


def test_a_class_token_asks_alone_and_is_added_to_the_answer() -> None:
    model, x = ClassAttention(), images(0)
    network = from_torch(model, x)
    torch.testing.assert_close(network(x), model(x))
    theirs, ours = gradients(model, x), gradients(network, x)
    torch.testing.assert_close(ours[(WIDTH,)], theirs[(WIDTH,)])
    free = {group.target for group in network.graph.groups if obstacle(network.graph, group) is None}
    assert {"q", "v"} <= free


def test_weights_that_are_used_otherwise_are_refused() -> None:
    class Otherwise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return functional.linear(self.layer(x), self.layer.weight)

    with pytest.raises(TorchImportError, match="shares its weights with `layer`, and uses them otherwise"):
        from_torch(Otherwise(), torch.randn(2, 4))


TEXT = """
version: 1
name: tied
nodes:
  ids: {{kind: input, shape: [5]}}
  table: {{kind: embedding, from: ids, vocabulary: 9, features: 4}}
  wide: {{kind: conv1d, from: table, features: 6, kernel: 1, activation: relu}}
  narrow: {{kind: conv1d, from: wide, features: {features}, kernel: 1}}
  out: {{kind: tied_linear, from: [narrow, {table}], features: 9, bias: true}}
output: out
growth: {{actions: [widen, new_edge, new_node, deepen]}}
"""


def test_a_tied_output_is_written_and_grown() -> None:
    network = compile_network(parse_spec(TEXT.format(features=4, table="table")), seed=0)
    ids = ids_of()
    before = network(ids)
    assert before.shape == (4, 9, 5)  # type: ignore[union-attr]
    data = [(ids, torch.zeros(4, 9, 5))]
    scheduler = GrowthScheduler(network, nn.functional.mse_loss)
    plan = scheduler.plan(data)
    able = [place for place, each in enumerate(plan.candidates) if each.reason is None]
    assert {plan.candidates[place].target for place in able if plan.candidates[place].kind == "widen"} == {
        "wide"
    }
    for place in able:
        own, candidates = copy.deepcopy((scheduler, plan.candidates))
        assert own.apply(candidates[place], 0.1).decision is not None
    with pytest.raises(Exception, match="as many features as its embedding has"):
        parse_spec(TEXT.format(features=5, table="table"))
    with pytest.raises(CompileError, match="reads the weights of an embedding"):
        compile_network(parse_spec(TEXT.format(features=6, table="wide")))


class Thrice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.head = nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.layer(x)
        return self.head(self.norm(self.norm(x)))


def test_a_layer_that_reads_its_own_output_comes_in() -> None:
    torch.manual_seed(0)
    model, x = Thrice(), torch.randn(5, 6)
    network = from_torch(model, x)
    assert network.spec.nodes["layer.again"].sources == ("layer", "layer")
    for again in (network, network.to_torch(), from_torch(network.to_torch(), x)):
        assert torch.equal(again(x), model(x))


def test_no_adapter_stands_beside_a_layer_with_shared_weights() -> None:
    spec = parse_spec("""
    nodes:
      x: {kind: input, shape: [4]}
      shared: {kind: linear, from: x, features: 4, activation: relu, frozen: true}
      other: {kind: linear, from: shared, features: 4, activation: relu, frozen: true}
      again: {kind: again, from: [other, shared]}
      y: {kind: linear, from: again, features: 3}
    output: y
    growth: {actions: [adapt]}
    """)
    network = compile_network(spec, seed=0)
    x, y = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
    plan = GrowthScheduler(network, functional.cross_entropy).plan([(x, y)])
    assert [each.target for each in plan.candidates if each.reason is None] == ["other"]
    with pytest.raises(GraphError, match="`again` has the weights of `shared` too"), edit(network) as change:
        change.add_adapter("shared", 2)
