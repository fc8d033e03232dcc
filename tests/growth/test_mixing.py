"""Features behind positions, and growth on both sides of them, as mixers and transformers need."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gromo_graph import (
    GrowingNetwork,
    GrowthScheduler,
    SetFeatures,
    compile_network,
    edit,
    from_torch,
    parse_spec,
)
from gromo_graph.errors import SpecError
from gromo_graph.network.export_rules import in_plain_torch
from gromo_graph.spec.settings import Growth
from tests.growth.test_any_graph import check
from tests.interop.models import Mixer

FEED_FORWARD = """
x: {kind: input, shape: [3, 5]}
stem: {kind: conv1d, from: x, features: 4, kernel: 1}
norm: {kind: layer_norm, from: stem, over: features}
hidden: {kind: conv1d, from: norm, features: 3, kernel: 1, activation: gelu}
back: {kind: conv1d, from: hidden, features: 4, kernel: 1}
sum: {kind: merge, from: [stem, back]}
flat: {kind: flatten, from: sum}
y: {kind: linear, from: flat, features: 2}
"""
TOKENS = """
x: {kind: input, shape: [3, 5]}
stem: {kind: conv1d, from: x, features: 4, kernel: 1}
norm: {kind: layer_norm, from: stem, over: features}
turned: {kind: transpose, from: norm}
hidden: {kind: conv1d, from: turned, features: 3, kernel: 1, activation: gelu}
mixed: {kind: conv1d, from: hidden, features: 5, kernel: 1}
back: {kind: transpose, from: mixed}
sum: {kind: merge, from: [stem, back]}
flat: {kind: flatten, from: sum}
y: {kind: linear, from: flat, features: 2}
"""
PATCHES = """
x: {kind: input, shape: [2, 4, 6]}
patches: {kind: conv2d, from: x, features: 3, kernel: 2, stride: 2, activation: gelu}
stream: {kind: sequence, from: patches}
wide: {kind: conv1d, from: stream, features: 4, kernel: 3, padding: 1, activation: tanh}
more: {kind: conv1d, from: stream, features: 4, kernel: 1}
sum: {kind: merge, from: [wide, more]}
flat: {kind: flatten, from: sum}
y: {kind: linear, from: flat, features: 2}
"""
NETWORKS = {"feed-forward": FEED_FORWARD, "tokens": TOKENS, "patches": PATCHES}


def spec_of(nodes: str, growth: str = "{}") -> str:
    return f"nodes:\n  {nodes.strip().replace(chr(10), chr(10) + '  ')}\noutput: y\ngrowth: {growth}\n"


def network_of(nodes: str, *, growth: str = "{}", dtype: torch.dtype = torch.float64) -> GrowingNetwork:
    return compile_network(parse_spec(spec_of(nodes, growth)), seed=0, dtype=dtype)


def reasons(network: GrowingNetwork) -> dict[str, str | None]:
    return {group.target: group.reason for group in network.graph.groups}


def given_to(network: GrowingNetwork, samples: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(samples, *network.graph.shapes["x"], generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("nodes", NETWORKS.values(), ids=list(NETWORKS))
@pytest.mark.parametrize(
    "policy", [Growth(), Growth(kernel="centre", apply_delta=True)], ids=["full", "centre"]
)
def test_slopes_are_the_finite_differences_of_the_loss(nodes: str, policy: Growth) -> None:
    assert check(parse_spec(spec_of(nodes)), policy) >= 1


def test_the_hidden_widths_grow_and_what_ends_at_a_transpose_says_so() -> None:
    found = reasons(network_of(TOKENS))
    assert found["hidden"] is None
    assert found["stem"] == "its features become positions behind `turned`"
    assert found["mixed"] == "its features become positions behind `back`"
    found = reasons(network_of(FEED_FORWARD))
    assert found["hidden"] is None
    assert network_of(FEED_FORWARD).graph.group_of("stem").jumps == ("norm",)
    assert reasons(network_of(PATCHES))["patches"] is None


def test_what_reads_a_transpose_side_by_side_with_others_grows_in_its_own_part() -> None:
    network = network_of(
        """
x: {kind: input, shape: [3, 5]}
t: {kind: transpose, from: x}
a: {kind: conv1d, from: t, features: 4, kernel: 1, activation: tanh}
b: {kind: merge, from: [t, a], merge: concat}
y: {kind: conv1d, from: b, features: 2, kernel: 1}
"""
    )
    assert reasons(network)["a"] is None
    assert check(network.spec, Growth()) == 2  # with `y`, which gets a head there


def test_a_stream_with_a_norm_over_features_grows_by_a_jump_as_foretold() -> None:
    network = network_of(FEED_FORWARD, growth="{allow_jump: true, neurons: {per_step: 2}}")
    x = given_to(network, 60)
    data = [(x, torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))]
    scheduler = GrowthScheduler(network, functional.mse_loss)
    stem = next(c for c in scheduler.plan(data).candidates if c.target == "stem")
    before, weight = network.graph.parameter_count, network.parts["norm"].weight.detach().clone()
    scheduler.apply(stem, 0.3)
    norm = network.parts["norm"]
    assert network.graph.parameter_count == before + stem.delta_parameters
    assert sum(p.numel() for p in network.parameters()) == network.graph.parameter_count
    torch.testing.assert_close(norm.weight, torch.cat([weight, torch.ones(2, dtype=torch.float64)]))
    assert not norm.bias[4:].any()


def test_the_kinds_compute_what_torch_does() -> None:
    network = network_of(TOKENS)
    x = given_to(network)
    with torch.no_grad():
        for name in ("norm",):
            network.parts[name].weight.uniform_(0.5, 2.0)
            network.parts[name].bias.uniform_(-1.0, 1.0)
    parts = network.parts
    stem = parts["stem"](x)
    norm = functional.layer_norm(stem.transpose(1, 2), (4,), parts["norm"].weight, parts["norm"].bias)
    hidden = functional.gelu(parts["hidden"](norm))  # (n, length, features): what a transpose makes of it
    total = stem + parts["mixed"](hidden).transpose(1, 2)
    torch.testing.assert_close(network(x), parts["y"](total.flatten(1)))
    images = network_of(PATCHES)
    x = given_to(images)
    patches = functional.gelu(images.parts["patches"](x)).flatten(2)
    total = torch.tanh(images.parts["wide"](patches)) + images.parts["more"](patches)
    torch.testing.assert_close(images(x), images.parts["y"](total.flatten(1)))


def test_shapes_parameters_and_multiply_adds() -> None:
    graph = network_of(TOKENS).graph
    assert graph.shapes["turned"] == (5, 4)
    assert graph.shapes["back"] == (4, 5)
    assert (graph.parameters("turned"), graph.madds("turned")) == (0, 0)
    assert (graph.parameters("norm"), graph.madds("norm")) == (8, 20)
    graph = network_of(PATCHES).graph
    assert graph.shapes["stream"] == (3, 6)
    assert (graph.parameters("stream"), graph.madds("stream")) == (0, 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("t: {kind: transpose, from: x}", "transpose needs a sequence"),
        ("t: {kind: sequence, from: x}", "sequence needs an image"),
        ("t: {kind: layer_norm, from: x, over: positions}", "over"),
    ],
)
def test_wrong_use_is_told(line: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(f"nodes:\n  x: {{kind: input, shape: [4]}}\n  {line}\noutput: t\n")


def test_rows_have_one_kind_of_layer_norm() -> None:
    text = "nodes:\n  x: {{kind: input, shape: [4]}}\n  y: {{kind: layer_norm, from: x{}}}\noutput: y\n"
    x = torch.randn(3, 4)
    one, other = (compile_network(parse_spec(text.format(each))) for each in ("", ", over: features"))
    assert torch.equal(one(x), other(x))


def test_a_norm_over_features_can_lose_none() -> None:
    network = network_of(FEED_FORWARD, growth="{actions: [widen, prune]}")
    x = given_to(network, 40)
    data = [(x, x.flatten(1)[:, :2])]
    plan = GrowthScheduler(network, functional.mse_loss).plan(data)
    told = {c.target: c.reason for c in plan.candidates if c.kind == "prune"}
    assert "norm" in (told["stem"] or "").lower()
    assert told["hidden"] is None


def test_edits_go_through_transposes() -> None:
    network = network_of(
        TOKENS.replace("sum: {kind: merge, from: [stem, back]}", "sum: {kind: merge, from: [back]}")
    )
    x = given_to(network)
    before, kept = network(x), network.parts["hidden"].weight.detach().clone()
    with edit(network) as e:
        e.apply(SetFeatures("hidden", 6))
    torch.testing.assert_close(network(x), before)
    assert torch.equal(network.parts["hidden"].weight[:3], kept)
    assert network.graph.shapes["turned"] == (5, 4)


def test_an_edit_that_changes_the_positions_of_a_norm_over_samples_begins_it_anew() -> None:
    network = network_of(
        """
x: {kind: input, shape: [3, 5]}
a: {kind: conv1d, from: x, features: 4, kernel: 1}
t: {kind: transpose, from: a}
n: {kind: layer_norm, from: t}
y: {kind: conv1d, from: n, features: 2, kernel: 1}
"""
    )
    with edit(network) as e:
        e.apply(SetFeatures("a", 6))
    assert network.parts["n"].weight.shape == (5, 6)
    assert network(given_to(network)).shape == (4, 2, 6)


def test_plain_modules_share_the_weights_of_the_part() -> None:
    part = network_of(FEED_FORWARD).parts["norm"]
    modules = in_plain_torch(part).modules
    assert type(modules[""]) is torch.nn.LayerNorm
    assert modules[""].weight is part.weight


def test_an_imported_mixer_grows_in_both_halves() -> None:
    torch.manual_seed(0)
    network = from_torch(Mixer().double(), torch.zeros(1, 1, 8, 8).double())
    growing = {name for name, reason in reasons(network).items() if reason is None}
    assert growing == {f"blocks.{place}.{half}.0" for place in (0, 1) for half in ("tokens", "channels")}
    assert check(network.spec, Growth()) == 5  # with `head`, which gets another there
