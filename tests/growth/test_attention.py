"""Attention grows: values, queries with keys, and heads; slopes are what the loss does."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from gromo_graph import (
    GraphError,
    GrowingNetwork,
    GrowthScheduler,
    SpecError,
    compile_network,
    edit,
    from_torch,
    parse_spec,
)
from gromo_graph.algebra import match_moment, optimal_match, product_gradient
from gromo_graph.growth.candidates.stages import Proposal
from gromo_graph.layers.attention import Attend, by_head
from gromo_graph.spec.kinds import Attention
from gromo_graph.spec.kinds.per_axis import along
from gromo_graph.spec.settings import Growth
from gromo_graph.statistics import cross_moments

TAILS = {
    "a layer reads it": "  f: {kind: flatten, from: o}\n",
    "a sum": "  s: {kind: merge, from: [e, o]}\n  f: {kind: flatten, from: s}\n",
    "a flattened row reads it": "  f: {kind: flatten, from: a}\n",
    "its mean is read": "  p: {kind: adaptive_avg_pool1d, from: a}\n  f: {kind: flatten, from: p}\n",
}


WINDOWS = {
    "windows": "window: 2",
    "a grid": "grid: [2, 1], relative_position_bias: true",
    "shifted windows": "window: [2, 3], rolled: [1, 2], relative_position_bias: true",
}
RELATIVE = ", relative_position_bias: true"


def document(
    tail: str,
    *,
    heads: int = 1,
    growth: str = "{}",
    source: str = "e",
    bias: bool = True,
    causal: bool = False,
    more: str = "",
) -> str:
    has = str(bias).lower()
    out = (
        "" if "from: a}" in tail else f"  o: {{kind: conv1d, from: a, features: 4, kernel: 1, bias: {has}}}\n"
    )
    return f"""
nodes:
  x: {{kind: input, shape: [3, 5]}}
  e: {{kind: conv1d, from: x, features: 4, kernel: 3, padding: same, activation: tanh}}
  q: {{kind: conv1d, from: e, features: 2, kernel: 1, bias: {has}}}
  k: {{kind: conv1d, from: {source}, features: 2, kernel: 1, bias: {has}}}
  v: {{kind: conv1d, from: {source}, features: 4, kernel: 1, bias: {has}}}
  a: {{kind: attention, from: [q, k, v], heads: {heads}, causal: {str(causal).lower()}{more}}}
{out}{tail}  y: {{kind: linear, from: f, features: 2}}
output: y
growth: {growth}
"""


def turned(text: str) -> str:
    """With rotary positions of other angles on each side, and so many features that there are pairs to turn."""
    for name, more in (("q", ""), ("k", ", interleaved: true")):
        text = text.replace(f"  {name}: {{kind: conv1d", f"  {name}: {{kind: conv1d, features: 4", 1)
        text = text.replace("features: 2, kernel: 1", "kernel: 1", 1)
        text += f"  turned {name}: {{kind: rotary, from: {name}, heads: 2{more}}}\n"
    return text.replace("from: [q, k, v]", "from: [turned q, turned k, v]")


def network_of(text: str) -> GrowingNetwork:
    """In float64, with queries and keys so large that positions are told apart."""
    network = compile_network(parse_spec(text), seed=0, dtype=torch.float64)
    with torch.no_grad():
        for name in ("q", "k"):
            network.growing(name).weight.mul_(3.0)
        for bias in network.parts["a"].parameters():
            bias.normal_(generator=torch.Generator().manual_seed(2))
    return network


def data() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 3, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    return [(x[:25], y[:25]), (x[25:], y[25:])]


def loss_over(network: GrowingNetwork) -> float:
    with torch.no_grad():
        return sum(float(mse_loss(network(x), y)) * len(x) for x, y in data()) / 40


def scheduler_of(network: GrowingNetwork, **policy: object) -> GrowthScheduler:
    return GrowthScheduler(
        network,
        mse_loss,
        policy=Growth.model_validate({"groups": 1, "ridge": 1e-3, **policy}),
        generator=torch.Generator().manual_seed(3),
    )


def able(scheduler: GrowthScheduler) -> list[Proposal]:
    return [c for c in scheduler.plan(data()).candidates if c.reason is None]  # type: ignore[misc]


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize(
    ("bias", "causal", "more"),
    [
        (True, False, ""),
        (False, False, ""),
        (True, True, ""),
        (True, True, RELATIVE),
        (False, False, RELATIVE),
    ],
)
def test_slopes_are_what_the_loss_does(tail: str, heads: int, bias: bool, causal: bool, more: str) -> None:
    network = network_of(document(tail, heads=heads, bias=bias, causal=causal, more=more))
    scheduler = scheduler_of(network, actions=("widen", "new_head"), neurons={"per_step": 2})
    before = loss_over(network)
    found = able(scheduler)
    assert {"q", "v"} <= {candidate.target for candidate in found}
    assert any(candidate.kind == "new_head" for candidate in found) == ("o" in network.spec.nodes)
    for candidate in found:
        draft = candidate.draft(network, scheduler.policy)
        nodes = draft.at(1e-6).spec.nodes.values()
        sights = [node.sight for node in nodes if isinstance(node, Attention)]
        assert all(sight == sights[0] for sight in sights)
        measured = (before - loss_over(draft.at(1e-6))) / 1e-6
        assert measured == pytest.approx(candidate.slope, rel=1e-4)
        predicted = loss_over(draft.at(0.5))
        assert loss_over(network) == before
        grown_scheduler, same = copy.deepcopy((scheduler, candidate))
        event = grown_scheduler.apply(same, 0.5)
        assert event.loss_after == pytest.approx(predicted, rel=1e-12)
        graph = grown_scheduler.network.graph
        parameters = sum(p.numel() for p in grown_scheduler.network.parameters())
        assert (
            graph.parameter_count == parameters == network.graph.parameter_count + candidate.delta_parameters
        )
        assert graph.multiply_adds == network.graph.multiply_adds + candidate.delta_madds


@pytest.mark.parametrize("heads", [1, 2])
def test_values_are_solved_for_each_head(heads: int) -> None:
    """A row that reads all positions has no bias of its own to make up for: what is promised is what is measured."""
    network = network_of(document(TAILS["a flattened row reads it"], heads=heads))
    (candidate,) = (c for c in able(scheduler_of(network, ridge=0.0)) if c.target == "v")
    assert candidate.predicted == pytest.approx(candidate.slope, rel=1e-6)


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_samples_written_down_in_portions_are_mixed_as_their_own(
    tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(document(tail, heads=2))
    whole = {c.target: c.slope for c in able(scheduler_of(network))}
    monkeypatch.setitem(cross_moments._WRITTEN, "cpu", 1)
    portions = {c.target: c.slope for c in able(scheduler_of(network))}
    assert "v" in whole
    assert portions == pytest.approx(whole, rel=1e-9)


def test_attention_is_that_of_a_slow_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, f, n, generator=generator) for f, n in ((6, 4), (6, 5), (4, 5)))
    found = Attend(2, 0.7)(q, k, v)
    for sample in range(2):
        for head in range(2):
            of = slice(head, None, 2)  # features take turns
            logits = torch.tensor(
                [[0.7 * float(q[sample, of, i] @ k[sample, of, j]) for j in range(5)] for i in range(4)]
            )
            expected = v[sample, of] @ logits.softmax(dim=1).T
            torch.testing.assert_close(found[sample, of], expected)
    found = Attend(1, 0.7, causal=True)(q, k[..., :4], v[..., :4])
    for i in range(4):  # as if nothing stood behind
        before = Attend(1, 0.7)(q[..., i : i + 1], k[..., : i + 1], v[..., : i + 1])
        torch.testing.assert_close(found[..., i : i + 1], before)
    images = Attend(1, 0.5)(q.unflatten(2, (2, 2)), k, v)
    torch.testing.assert_close(images.flatten(2), Attend(1, 0.5)(q, k, v))


def test_a_relative_position_bias_is_that_of_a_slow_reference() -> None:
    """Numbers for distances along both axes of an image, one of them for each head."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, 2, 3, generator=generator) for _ in range(3))
    attend = Attend(2, 0.7, ((2, 3), (2, 3)), relative_position_bias=True)
    table = attend.get_parameter("relative_position_bias_table")
    assert table.shape == (3 * 5, 2)
    torch.testing.assert_close(attend(q, k, v), Attend(2, 0.7)(q, k, v))  # it begins at 0
    with torch.no_grad():
        table.normal_(generator=generator)
    places = [(row, column) for row in range(2) for column in range(3)]
    for head in range(2):
        of = slice(head, None, 2)
        logits = torch.stack(
            [
                torch.stack(
                    [
                        0.7 * q[1, of, *i] @ k[1, of, *j]
                        + table[(i[0] - j[0] + 1) * 5 + i[1] - j[1] + 2, head]
                        for j in places
                    ]
                )
                for i in places
            ]
        )
        expected = v[1, of].flatten(1) @ logits.softmax(dim=1).T
        torch.testing.assert_close(attend(q, k, v)[1, of].flatten(1), expected)
        torch.testing.assert_close(attend.weights(q, k)[1, head], logits.softmax(dim=1))


def in_windows(more: str, *, heads: int = 2) -> str:
    """An attention of an image of 4 x 6 positions."""
    return f"""
nodes:
  x: {{kind: input, shape: [3, 4, 6]}}
  e: {{kind: conv2d, from: x, features: 4, kernel: 3, padding: same, activation: tanh}}
  q: {{kind: conv2d, from: e, features: 2, kernel: 1}}
  k: {{kind: conv2d, from: e, features: 2, kernel: 1}}
  v: {{kind: conv2d, from: e, features: 4, kernel: 1}}
  a: {{kind: attention, from: [q, k, v], heads: {heads}, {more}}}
  o: {{kind: conv2d, from: a, features: 4, kernel: 1}}
  s: {{kind: merge, from: [e, o]}}
  f: {{kind: flatten, from: s}}
  y: {{kind: linear, from: f, features: 2}}
output: y
"""


@pytest.mark.parametrize("more", WINDOWS.values(), ids=WINDOWS)
def test_slopes_in_windows_are_what_the_loss_does(more: str) -> None:
    network = network_of(in_windows(more))
    x = torch.randn(12, 3, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pairs = [(x[:8], x[:8, :2, 0, 0]), (x[8:], x[8:, :2, 0, 0])]

    def loss(tried: GrowingNetwork) -> float:
        with torch.no_grad():
            return sum(float(mse_loss(tried(x), y)) * len(x) for x, y in pairs) / 12

    scheduler = scheduler_of(network, actions=("widen", "new_head"), neurons={"per_step": 2})
    found = [c for c in scheduler.plan(pairs).candidates if c.reason is None]
    assert {"q", "v", "e->head.1->s"} <= {candidate.target for candidate in found}
    for candidate in found:
        draft = candidate.draft(network, scheduler.policy)  # type: ignore[attr-defined]
        measured = (loss(network) - loss(draft.at(1e-6))) / 1e-6
        assert measured == pytest.approx(candidate.slope, rel=1e-4)


@pytest.mark.parametrize("more", WINDOWS.values(), ids=WINDOWS)
def test_attention_in_windows_is_that_of_a_slow_reference(more: str) -> None:
    """A position sees those of its window that were its neighbours before the image was rolled."""
    network = network_of(in_windows(more))
    attend, node = network.parts["a"], network.spec.nodes["a"]
    assert isinstance(attend, Attend)
    assert isinstance(node, Attention)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 4, 4, 6, generator=generator, dtype=torch.float64) for _ in range(3))
    sizes, window, rolled = (4, 6), node.seen((4, 6)), along(node.rolled, 2)
    places = [(row, column) for row in range(4) for column in range(6)]

    def window_of(place: tuple[int, int]) -> list[int]:
        counts = [size // part for size, part in zip(sizes, window, strict=True)]
        if node.grid is not None:
            return [at % count for at, count in zip(place, counts, strict=True)]
        return [at // part for at, part in zip(place, window, strict=True)]

    def in_window(place: tuple[int, int]) -> list[int]:
        if node.grid is not None:
            return [at // (size // part) for at, size, part in zip(place, sizes, window, strict=True)]
        return [at % part for at, part in zip(place, window, strict=True)]

    def came_around(place: tuple[int, int]) -> list[bool]:
        return [at + shift >= size for at, shift, size in zip(place, rolled, sizes, strict=True)]

    for head in range(2):
        logits = torch.full((24, 24), -torch.inf, dtype=torch.float64)
        for i, a in enumerate(places):
            for j, b in enumerate(places):
                if window_of(a) != window_of(b) or came_around(a) != came_around(b):
                    continue
                logits[i, j] = attend.scale * q[0, head::2, *a] @ k[0, head::2, *b]
                if node.relative_position_bias:
                    down, right = (
                        p - o + n - 1 for p, o, n in zip(in_window(a), in_window(b), window, strict=True)
                    )
                    table = attend.get_parameter("relative_position_bias_table")
                    logits[i, j] += table[down * (2 * window[1] - 1) + right, head].detach()
        expected = v[0, head::2].flatten(1) @ logits.softmax(dim=1).T
        torch.testing.assert_close(attend(q, k, v)[0, head::2].flatten(1), expected)
        mixed = attend.averaged(v, attend.weights(q, k)[:, head], q)
        torch.testing.assert_close(mixed[0].flatten(1), v[0].flatten(1) @ logits.softmax(dim=1).T)


PADDED = """
nodes:
  ids: {{kind: input, shape: [6]}}
  e: {{kind: embedding, from: ids, vocabulary: 9, features: 4, padding_idx: 0}}
  h: {{kind: conv1d, from: e, features: 4, kernel: 1, activation: tanh}}
  q: {{kind: conv1d, from: h, features: 2, kernel: 1}}
  k: {{kind: conv1d, from: h, features: 2, kernel: 1}}
  v: {{kind: conv1d, from: h, features: 4, kernel: 1}}
  mask: {{kind: padding_mask, from: ids}}
  a: {{kind: attention, from: [q, k, v, mask], heads: 2{more}}}
  s: {{kind: merge, from: [h, a]}}
  y: {{kind: conv1d, from: s, features: 3, kernel: 1}}
output: y
"""
MASKED = {"alone": "", "causal": ", causal: true", "in windows": ", window: 3, relative_position_bias: true"}


def padded_ids() -> Tensor:
    ids = torch.randint(1, 9, (10, 6), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate((6, 5, 4, 3, 2, 1, 6, 4, 2, 5)):
        ids[row, length:] = 0
    return ids


@pytest.mark.parametrize("more", MASKED.values(), ids=MASKED)
def test_padding_changes_nothing_at_other_positions(more: str) -> None:
    network, ids = network_of(PADDED.format(more=more)), padded_ids()
    padding = ids == 0
    with torch.no_grad():
        before = network(ids)
        network.growing("e").layer.get_parameter("weight")[:, 0] += 1.0  # the vector of the padding
        after = network(ids)
        alone = network(torch.cat((ids[2:3, :4], ids.new_zeros(1, 2)), 1))
    torch.testing.assert_close(after.movedim(1, -1)[~padding], before.movedim(1, -1)[~padding])
    assert (after - before).movedim(1, -1)[padding].abs().max() > 0.01
    torch.testing.assert_close(alone[..., :4], after[2:3, :, :4])
    assert network(torch.zeros_like(ids)).isfinite().all()  # nothing but padding
    weights = network.parts["a"].weights(*torch.randn(2, 10, 2, 6, dtype=torch.float64), ~padding)  # type: ignore[operator]
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))


@pytest.mark.parametrize("more", MASKED.values(), ids=MASKED)
def test_slopes_behind_a_mask_are_what_the_loss_does(more: str) -> None:
    network, ids = network_of(PADDED.format(more=more)), padded_ids()
    y = torch.randn(10, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pairs = [(ids[:6], y[:6]), (ids[6:], y[6:])]

    def loss(tried: GrowingNetwork) -> float:
        with torch.no_grad():
            return sum(float(mse_loss(tried(x), y)) * len(x) for x, y in pairs) / 10

    scheduler = scheduler_of(network, actions=("widen", "new_head"), neurons={"per_step": 2})
    found = [c for c in scheduler.plan(pairs).candidates if c.reason is None]
    assert {"q", "e"} <= {candidate.target for candidate in found}
    for candidate in found:
        draft = candidate.draft(network, scheduler.policy)  # type: ignore[attr-defined]
        measured = (loss(network) - loss(draft.at(1e-6))) / 1e-6
        assert measured == pytest.approx(candidate.slope, rel=1e-4)
        scheduler_of(draft.at(0.5)).plan(pairs)


def test_the_bias_of_a_new_head_begins_at_zero_and_other_heads_keep_theirs() -> None:
    network = network_of(document(TAILS["a sum"], heads=2, more=RELATIVE))
    old = network.parts["a"].get_parameter("relative_position_bias_table")
    scheduler = scheduler_of(network, actions=("new_head",))
    (candidate,) = able(scheduler)
    scheduler.apply(candidate, 1.0)
    assert network.parts["a"].get_parameter("relative_position_bias_table") is old
    new = network.parts["head.1.attention"].get_parameter("relative_position_bias_table")
    assert new.shape == (9, 1)
    assert not new.any()
    assert network.graph.parameter_count == sum(p.numel() for p in network.parameters())


def test_the_best_pair_is_found_where_only_a_match_is_missing() -> None:
    """Of products that a single pair can give the whole is recovered, up to its size."""
    generator = torch.Generator().manual_seed(0)
    s_query, s_key = (
        (lambda m: m @ m.T + 0.1 * torch.eye(4, dtype=torch.float64))(
            torch.randn(4, 9, generator=generator, dtype=torch.float64)
        )
        for _ in range(2)
    )
    a, b = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    found = optimal_match(s_query, s_key, s_query @ torch.outer(a, b) @ s_key, sensitivity=0.25)
    assert found.singular_values.shape == (1,)
    torch.testing.assert_close(found.alpha.T @ found.omega.T, torch.outer(a, b) / 0.25)


def test_the_gradient_at_products_is_that_of_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    attend = Attend(3, 0.7)
    q, k, v = (torch.randn(2, 6, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    gradient = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    logits = 0.7 * by_head(q, 3) @ by_head(k, 3).transpose(2, 3)
    logits.requires_grad_(True)
    mixed = logits.softmax(dim=3) @ by_head(v, 3)
    (expected,) = torch.autograd.grad((mixed * by_head(gradient, 3)).sum(), logits)
    found = product_gradient(attend.weights(q, k), by_head(v, 3), by_head(gradient, 3))
    torch.testing.assert_close(found, expected)
    rows = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    slow = torch.einsum("nci,nhij,nkj->hck", rows, found, v)
    torch.testing.assert_close(match_moment(rows, v, found), slow)


@pytest.mark.parametrize("more", ["", RELATIVE])
def test_old_products_stay_what_they_were(more: str) -> None:
    network = network_of(document(TAILS["a sum"], heads=2, more=more))
    scheduler = scheduler_of(network, neurons={"per_step": 2})
    old = {name: network.growing(name).weight.detach().clone() for name in ("q", "k")}
    (candidate,) = (c for c in able(scheduler) if c.target == "q")
    optimizer = torch.optim.Adam(network.parameters())
    for x, y in data():
        mse_loss(network(x), y).backward()
    optimizer.step()
    scheduler.optimizer = optimizer
    old = {name: network.growing(name).weight.detach().clone() for name in ("q", "k")}
    event = scheduler.apply(candidate, 0.25)
    assert event.decision is not None
    assert event.decision.nodes == ("q", "k")
    assert network.spec.nodes["a"].scale == 1.0  # type: ignore[attr-defined]
    for name in ("q", "k"):
        weight = network.growing(name).weight
        assert weight.shape[0] == 4
        assert torch.equal(weight[:2], old[name])
        assert optimizer.state[weight]["exp_avg"].shape == weight.shape
    assert {p for group in optimizer.param_groups for p in group["params"]} == set(network.parameters())
    scheduler.undo()
    assert network.growing("q").out_neurons == 2
    assert network.spec.nodes["a"].scale is None  # type: ignore[attr-defined]


def test_a_matched_attention_stays_in_the_mode_it_was_in() -> None:
    network = network_of(document(TAILS["a sum"], more=", dropout: 0.5")).eval()
    scheduler = scheduler_of(network, neurons={"per_step": 2})
    (candidate,) = (c for c in able(scheduler) if c.target == "q")
    scheduler.apply(candidate, 0.25)
    assert not network.parts["a"].training


@pytest.mark.parametrize("criterion", ["random", "gradmax", "variance_transfer"])
def test_drawn_pairs_change_nothing_yet(criterion: str) -> None:
    network = network_of(document(TAILS["a sum"]))
    scheduler = scheduler_of(network, criterion=criterion, neurons={"per_step": 3})
    before = loss_over(network)
    (candidate,) = (c for c in able(scheduler) if c.target == "q")
    scheduler.apply(candidate)
    assert network.growing("q").out_neurons == 5
    assert loss_over(network) == pytest.approx(before, rel=1e-12)
    key = network.growing("k")
    network.zero_grad()
    mse_loss(network(data()[0][0]), data()[0][1]).backward()
    assert key.weight.grad is not None
    assert float(key.weight.grad[2:].abs().min()) > 0.0


@pytest.mark.parametrize("more", ["", RELATIVE])
def test_an_edit_of_the_width_keeps_the_function(more: str) -> None:
    network = network_of(document(TAILS["a sum"], heads=2, more=more))
    x = data()[0][0]
    before = network(x)
    with edit(network) as e:
        e.set_features("k", 8)
        e.set_features("v", 8)
    assert e.preserved
    torch.testing.assert_close(network(x), before)
    assert network.growing("q").out_neurons == 8
    assert e.inverse is not None
    with edit(network) as back:
        back.apply(e.inverse)  # type: ignore[arg-type]
    torch.testing.assert_close(network(x), before)


def test_queries_and_keys_behind_rotary_positions_grow_by_features_that_are_not_turned() -> None:
    network = network_of(_turned())
    scheduler = scheduler_of(network, neurons={"per_step": 2})
    (candidate,) = (c for c in able(scheduler) if c.target == "q")
    before, draft = loss_over(network), candidate.draft(network, scheduler.policy)
    assert (before - loss_over(draft.at(1e-6))) / 1e-6 == pytest.approx(candidate.slope, rel=1e-4)
    angles = [network.parts[name].cos.clone() for name in ("turned q", "turned k")]
    assert scheduler.apply(candidate, 0.5).decision is not None
    assert [network.spec.nodes[f"turned {name}"].dim for name in ("q", "k")] == [2, 2]  # type: ignore[attr-defined]
    for name, old in zip(("turned q", "turned k"), angles, strict=True):
        assert torch.equal(network.parts[name].cos, old)
    x = data()[0][0]
    again = compile_network(network.spec, seed=1, dtype=torch.float64)
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(x), network(x))
    plain = network.to_torch()
    torch.testing.assert_close(plain(x), network(x))
    found = from_torch(plain.eval(), x)
    torch.testing.assert_close(found(x), network.eval()(x))
    assert {group.target for group in found.graph.groups if group.matches and group.reason is None} == {"q"}


def test_edits_keep_angles_that_no_base_gives() -> None:
    network = network_of(_turned())
    network.parts["turned q"].cos.mul_(0.5)
    x = data()[0][0]
    before = network(x)
    with edit(network) as e:
        e.set_features("q", 8)
    assert e.preserved
    torch.testing.assert_close(network(x), before)


def test_an_edit_turns_no_more_features_than_a_head_has() -> None:
    network = network_of(_turned().replace("conv1d, features: 4", "conv1d, features: 8"))
    with edit(network) as e:
        e.set_features("q", 6)
    assert [network.spec.nodes[f"turned {name}"].dim for name in ("q", "k")] == [2, 2]  # type: ignore[attr-defined]
    with pytest.raises(SpecError, match="each head has an even number of the 2"), edit(network) as e:
        e.set_features("q", 2)


def _turned() -> str:
    head, _, tail = document(TAILS["a sum"], heads=2).partition("output: y")
    return f"{turned(head)}output: y{tail}"


def test_a_source_that_must_be_there_is_not_taken_out() -> None:
    network = network_of(document(TAILS["a sum"]))
    with edit(network) as e:
        e.insert("q", "a", "both", {"kind": "merge"})
        e.connect("k", "both", direct=True)
    transaction = edit(network.spec)
    with pytest.raises(GraphError, match="in a place that must be taken"):
        transaction.remove_node("both")


def test_a_head_that_can_match_anything_gets_no_more_features() -> None:
    network = network_of(document(TAILS["a sum"], heads=2))
    scheduler = scheduler_of(network, neurons={"per_step": 20})
    (candidate,) = (c for c in able(scheduler) if c.target == "q")
    assert candidate.neurons == 8  # 4 inputs and a constant for each head
    scheduler.apply(candidate, 0.1)
    (full,) = (c for c in scheduler.plan(data()).candidates if c.target == "q")
    assert full.reason == "5 features of a head can match whatever the layers read of a position"


REASONS: dict[str, tuple[Callable[[str], str], str]] = {
    "an activation": (
        lambda text: text.replace(
            "kind: conv1d, from: e, features: 2, kernel: 1",
            "kind: conv1d, from: e, features: 2, kernel: 1, activation: relu",
            1,
        ),
        "`q` has the activation relu",
    ),
    "also read elsewhere": (
        lambda text: text.replace(
            "  s: {kind: merge, from: [e, o]}",
            "  z: {kind: conv1d, from: q, features: 4, kernel: 1}\n  s: {kind: merge, from: [e, o, z]}",
        ),
        "also pass `z`",
    ),
}


@pytest.mark.parametrize(("changed", "reason"), REASONS.values(), ids=REASONS)
def test_why_a_query_cannot_grow(changed: Callable[[str], str], reason: str) -> None:
    network = compile_network(parse_spec(changed(document(TAILS["a sum"]))), seed=0, dtype=torch.float64)
    groups = {group.target for group in network.graph.groups if "q" in group.producers}
    said = [c.reason for c in scheduler_of(network).plan(data()).candidates if c.target in groups]
    assert any(reason in str(each) for each in said)


def test_the_same_seed_gives_the_same_head() -> None:
    text = document(TAILS["a sum"])
    found = []
    for _ in range(2):
        network = network_of(text)
        scheduler = scheduler_of(network, actions=("new_head",))
        (candidate,) = able(scheduler)
        scheduler.apply(candidate, 1.0)
        found.append(network)
    names = [name for name in found[0].spec.nodes if name.startswith("head.1.")]
    assert names == [f"head.1.{part}" for part in ("query", "key", "value", "attention", "out")]
    x = data()[0][0]
    assert torch.equal(found[0](x), found[1](x))
    # A second one stands beside it.
    scheduler = scheduler_of(found[0], actions=("new_head",))
    assert [c.target for c in able(scheduler)] == ["e->head.2->s"]
