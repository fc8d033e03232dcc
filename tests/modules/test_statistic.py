from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from gromo_graph import GrowthScheduler
from gromo_graph.algebra import Moment, ParameterGradient, Product, padded_rows, value_of
from gromo_graph.errors import GrowthError
from gromo_graph.modules import GrowingModule, TensorStatistic
from tests.growth.problems import batches, chain

F64 = torch.float64


def test_value_is_sum_over_samples() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.tensor([6.0]), 2)
    statistic.update(torch.tensor([0.0]), 1)
    assert statistic().item() == 2.0
    assert (statistic.samples, statistic.shape) == (3, (1,))


def test_merging_adds_exactly() -> None:
    parts = [torch.randint(-9, 9, (3, 2)).double() for _ in range(4)]
    whole, one, two = (TensorStatistic(name) for name in ("whole", "one", "two"))
    for part in parts:
        whole.update(part, 5)
    for part in parts[:1]:
        one.update(part, 5)
    for part in parts[1:]:
        two.update(part, 5)
    one.merge(two)
    assert torch.equal(one(), whole())
    assert two.samples == 15
    one.merge(TensorStatistic("empty"))
    assert torch.equal(one(), whole())


def test_the_given_tensor_is_neither_kept_nor_changed() -> None:
    total = torch.ones(2)
    statistic = TensorStatistic("E")
    statistic.update(total, 1)
    statistic.update(total, 1)
    assert torch.equal(total, torch.ones(2))
    total += 5
    assert torch.equal(statistic(), torch.ones(2))


def test_empty_and_reset() -> None:
    statistic = TensorStatistic("S of stem")
    with pytest.raises(GrowthError, match=r"S of stem has no samples yet: call init_computation\(\)"):
        statistic()
    statistic.update(torch.ones(2), 1)
    statistic.reset()
    with pytest.raises(GrowthError, match="no samples"):
        statistic()
    statistic.update(torch.ones(3), 1)  # another width is fine after a reset


def test_shape_is_checked() -> None:
    statistic = TensorStatistic("S of stem", shape=(2, 2))
    with pytest.raises(GrowthError, match=r"S of stem has shape \(2, 2\) and got \(3, 3\)"):
        statistic.update(torch.ones(3, 3), 1)
    with pytest.raises(GrowthError, match="-1 samples"):
        statistic.update(torch.ones(2, 2), -1)


def test_half_precision_is_summed_in_single_and_stays_there() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.ones(1, dtype=torch.float16), 1)
    assert statistic().dtype == torch.float32
    statistic.apply(lambda tensor: tensor.half())
    assert statistic().dtype == torch.float32
    statistic.apply(lambda tensor: tensor.double())
    assert statistic().dtype == torch.float64


def test_copies_are_independent() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.ones(1), 1)
    other = copy.deepcopy(statistic)
    other.update(torch.ones(1), 1)
    assert (statistic.samples, other.samples) == (1, 2)


def test_sum_count_and_value_run_along() -> None:
    statistic = TensorStatistic("E")
    parts = [(torch.randint(-9, 9, (2, 3)).double(), samples) for samples in (1, 5, 2)]
    for place, (part, samples) in enumerate(parts, start=1):
        statistic.update(part, samples)
        total = sum(each for each, _ in parts[:place])
        count = sum(each for _, each in parts[:place])
        assert (statistic.samples, statistic.updates, statistic.shape) == (count, place, (2, 3))
        assert torch.equal(statistic.total, total)
        assert torch.equal(statistic(), total / count)
    statistic.update(torch.full((2, 3), torch.nan), 0)  # no sample, nothing to count
    assert (statistic.samples, statistic.updates) == (8, 3)
    assert torch.isfinite(statistic()).all()


def test_a_refused_update_changes_nothing() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.ones(2), 2)
    for bad, samples in ((torch.ones(3), 1), (torch.ones(2), -1), (torch.ones(2, 1), 1)):
        with pytest.raises(GrowthError):
            statistic.update(bad, samples)
    assert (statistic.samples, statistic.updates) == (2, 1)
    assert torch.equal(statistic(), torch.full((2,), 0.5))


# The estimate of its own error.


def stream(
    shape: tuple[int, ...], sizes: tuple[int, ...], generator: torch.Generator
) -> Iterator[tuple[Tensor, int]]:
    """Sums over batches of these sizes of samples with mean 1/2 and variance 1."""
    for size in sizes:
        yield torch.randn(size, *shape, generator=generator, dtype=F64).sum(dim=0) + size / 2, size


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((3, 2), (5,) * 8),
        ((4,), (3,) * 40),
        ((3, 3), (1, 7, 20) * 10),
        ((), (2,) * 30),
        ((70, 70), (2,) * 100),  # large: some rows stand for all, and marks are worked out in between
    ],
)
def test_the_estimated_error_is_the_spread_over_many_draws(
    shape: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    squares, estimates = [], []
    for _ in range(40 if math.prod(shape) > 1000 else 300):
        statistic = TensorStatistic("E")
        for total, size in stream(shape, sizes, generator):
            statistic.update(total, size)
        squares.append(float((statistic() - 0.5).square().sum()) / (0.25 * math.prod(shape)))
        estimates.append(statistic.relative_error)
    spread = math.sqrt(sum(squares) / len(squares))
    assert spread / 1.5 < sum(estimates) / len(estimates) < spread * 1.5


@pytest.mark.parametrize("width", [5, 140])
def test_the_estimated_error_of_a_second_moment(width: int) -> None:
    """Of products that are added in place, of the wide ones only the upper triangle."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.linspace(1.0, 2.0, width)
    # E[b bᵀ] of independent features with a constant: their variances, and 1.
    true = torch.diag(torch.cat((scale.square(), torch.ones(1))))
    squares, estimates = [], []
    for _ in range(30):
        statistic = TensorStatistic("S")
        for _ in range(12):
            rows = padded_rows(torch.randn(100, width, generator=generator) * scale, constant=True)
            statistic.update(Product(rows, rows), 100)
        squares.append(float((statistic() - true).square().sum() / true.square().sum()))
        estimates.append(statistic.relative_error)
    spread = math.sqrt(sum(squares) / len(squares))
    assert spread / 1.5 < sum(estimates) / len(estimates) < spread * 1.5


@pytest.mark.parametrize("error", [0.1, 0.01])
def test_is_precise_stops_early_at_the_error_that_was_asked_for(error: float) -> None:
    generator = torch.Generator().manual_seed(0)
    misses, used = [], []
    for _ in range(30):
        statistic = TensorStatistic("E")
        # Samples of 1 ± 0.15: the mean of n is known to 0.15 / √n.
        for _ in range(500):
            statistic.update(1 + 0.15 * torch.randn(4, generator=generator, dtype=F64), 1)
            if statistic.is_precise(error):
                break
        used.append(statistic.samples)
        misses.append(float((statistic() - 1).norm()) / 2)
    needed = (0.15 / error) ** 2
    average = sum(used) / len(used)
    assert average < 500
    if needed > 4:
        assert needed / 2 < average < 1.5 * needed
    assert math.sqrt(sum(miss**2 for miss in misses) / len(misses)) < 2 * error


def test_is_precise_needs_some_updates_to_judge_by() -> None:
    statistic = TensorStatistic("E")
    for place in range(1, 6):
        statistic.update(torch.ones(3), 10)
        assert statistic.is_precise(0.01) == (place >= 4)
        assert statistic.is_precise(0.01, least_updates=2) == (place >= 2)


def test_the_error_at_the_edges() -> None:
    statistic = TensorStatistic("E")
    assert statistic.relative_error == math.inf
    statistic.update(torch.zeros(3), 1)
    assert statistic.relative_error == math.inf  # one update says nothing of the spread
    statistic.update(torch.zeros(3), 1)
    assert statistic.relative_error == 0.0
    statistic.update(torch.ones(3), 1)
    statistic.update(-torch.ones(3), 1)
    assert statistic.relative_error == math.inf  # a mean of zero is known to no relative error
    constant = TensorStatistic("E")
    for samples in (1, 5, 2):
        constant.update(torch.full((3,), 2.0 * samples), samples)
    assert constant.relative_error < 1e-3  # rounding: it is the root of a difference
    constant.reset()
    assert constant.relative_error == math.inf


# Merging.


def plain(shape: tuple[int, ...]) -> Callable[[torch.Generator], Moment]:
    return lambda generator: torch.randn(shape, generator=generator) + 1


def product(width: int) -> Callable[[torch.Generator], Moment]:
    def make(generator: torch.Generator) -> Moment:
        rows = padded_rows(torch.randn(30, width, generator=generator) + 1, constant=True)
        return Product(rows, rows)

    return make


MOMENTS: dict[str, Callable[[torch.Generator], Moment]] = {
    "small": plain((3, 2)),
    "scalar": plain(()),
    "large": plain((90, 80)),
    "product": product(4),
    "wide product": product(300),
}


@pytest.mark.parametrize("make", MOMENTS.values(), ids=list(MOMENTS))
@pytest.mark.parametrize("cut", [0, 1, 3, 9])
def test_two_merged_are_one_over_all_data(make: Callable[[torch.Generator], Moment], cut: int) -> None:
    generator = torch.Generator().manual_seed(0)
    moments = [(make(generator), samples) for samples in (5, 3, 8, 1, 2, 9, 4, 4, 6)]
    whole, one, two = (TensorStatistic(name) for name in ("whole", "one", "two"))
    for place, (moment, samples) in enumerate(moments):
        whole.update(moment, samples)
        (one if place < cut else two).update(moment, samples)
    added = copy.deepcopy(two)
    one.merge(added)
    assert (added.samples, added.updates, added.shape) == (two.samples, two.updates, two.shape)
    assert added.samples == 0 or torch.equal(added(), two())  # it stays as it is
    torch.testing.assert_close(one(), whole())
    assert (one.samples, one.updates, one.shape) == (whole.samples, whole.updates, whole.shape)
    assert one.relative_error == pytest.approx(whole.relative_error, rel=1e-3)
    one.update(*moments[0])
    whole.update(*moments[0])
    torch.testing.assert_close(one(), whole())
    assert one.relative_error == pytest.approx(whole.relative_error, rel=1e-3)


@pytest.mark.parametrize("width", [4, 300])
def test_sums_that_are_stored_in_different_ways_can_be_merged(width: int) -> None:
    """Products added in place leave out what symmetry tells; written down they do not."""
    generator = torch.Generator().manual_seed(0)
    moments = [product(width)(generator) for _ in range(6)]
    whole = TensorStatistic("whole")
    for moment in moments:
        whole.update(moment, 30)
    for first_in_place in (True, False):
        one, two = TensorStatistic("one"), TensorStatistic("two")
        for place, moment in enumerate(moments):
            in_place = (place < 3) == first_in_place
            (one if place < 3 else two).update(moment if in_place else value_of(moment), 30)
        one.merge(two)
        torch.testing.assert_close(one(), whole())
        assert torch.equal(one(), one().T)
        for moment in moments:
            one.update(moment, 30)
        torch.testing.assert_close(one(), whole())


def test_merging_refuses_other_shapes_and_changes_nothing_then() -> None:
    one, two = TensorStatistic("S of a"), TensorStatistic("S of b")
    one.update(torch.ones(2, 2), 1)
    two.update(torch.ones(3, 3), 1)
    with pytest.raises(
        GrowthError, match=r"S of a has shape \(2, 2\) and S of b \(3, 3\): expected the same"
    ):
        one.merge(two)
    assert (one.samples, one.shape, two.samples) == (1, (2, 2), 1)
    expecting = TensorStatistic("S of c", shape=(2, 2))
    with pytest.raises(GrowthError, match=r"S of c has shape \(2, 2\)"):
        expecting.merge(two)
    assert expecting.samples == 0


def test_merging_into_an_empty_one_shares_nothing() -> None:
    one, two = TensorStatistic("one"), TensorStatistic("two")
    two.update(torch.ones(2), 1)
    one.merge(two)
    one.update(torch.ones(2), 1)
    two.update(torch.full((2,), 5.0), 1)
    assert torch.equal(one(), torch.ones(2))
    assert torch.equal(two(), torch.full((2,), 3.0))


# Precision and place.


def test_sums_are_kept_in_single_precision_or_in_the_one_that_was_asked_for() -> None:
    single, double = TensorStatistic("E"), TensorStatistic("E", dtype=F64)
    for _ in range(3000):
        for statistic in (single, double):
            statistic.update(torch.full((2,), 0.1), 1)
    assert (single().dtype, double().dtype) == (torch.float32, F64)
    exact = float(torch.tensor(0.1))
    assert float(double()[0]) == pytest.approx(exact, rel=1e-12)
    assert 1e-9 < abs(float(single()[0]) - exact) < 1e-5
    for dtype in (torch.bfloat16, torch.float16):
        half = TensorStatistic("E")
        for _ in range(600):
            half.update(torch.ones(2, dtype=dtype), 1)
        assert half().dtype == torch.float32
        assert torch.equal(half.total, torch.full((2,), 600.0))


def test_sums_take_no_part_in_a_graph() -> None:
    weight, rows = torch.rand(2, 3, requires_grad=True), torch.rand(6, 3, requires_grad=True)
    padded = padded_rows(rows)
    for moment in (weight * 2.0, ParameterGradient(weight * 2.0, weight[:, 0]), Product(padded, padded)):
        statistic = TensorStatistic("E")
        for _ in range(3):
            statistic.update(moment, 1)
        assert not statistic.total.requires_grad
        assert statistic.relative_error < 1e-3


@pytest.mark.parametrize("moment", ["product", "gradient"])
def test_products_are_kept_in_the_precision_that_was_asked_for(moment: str) -> None:
    rows = padded_rows(torch.rand(6, 3), constant=True)
    added = Product(rows, rows) if moment == "product" else ParameterGradient(torch.rand(2, 3), torch.rand(2))
    for dtype in (None, F64):
        statistic = TensorStatistic("E", dtype=dtype)
        statistic.update(added, 6)
        statistic.update(added, 6)
        assert statistic().dtype == (torch.float32 if dtype is None else F64)
        torch.testing.assert_close(statistic().float(), value_of(added) / 6)


def test_merging_keeps_the_precision_that_was_asked_for() -> None:
    double, single = TensorStatistic("E", dtype=F64), TensorStatistic("E")
    single.update(torch.ones(2), 1)
    double.merge(single)
    assert double().dtype == F64
    double.update(torch.full((2,), 1e-9, dtype=F64), 1)
    assert float(double.total[0]) == pytest.approx(1 + 1e-9, abs=1e-12)


def check_moved(convert: Callable[[Tensor], Tensor], expected: torch.dtype) -> None:
    """Counting goes on after a move as if there had been none, and so does the estimate of the error."""
    generator = torch.Generator().manual_seed(0)
    moments = [product(300)(generator) for _ in range(6)]
    still, moved = TensorStatistic("still"), TensorStatistic("moved")
    for place, moment in enumerate(moments):
        if place == 3:
            before = moved.relative_error
            moved.apply(convert)
            assert moved.relative_error == pytest.approx(before, rel=1e-3)
        still.update(moment, 30)
        moved.update(moment, 30)
    assert moved().dtype == expected
    torch.testing.assert_close(moved().cpu().float(), still(), rtol=1e-3, atol=1e-3)
    assert moved.relative_error == pytest.approx(still.relative_error, rel=1e-3)


def test_casting_in_the_middle() -> None:
    check_moved(lambda tensor: tensor.half(), torch.float32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_moving_to_a_gpu_in_the_middle() -> None:
    check_moved(lambda tensor: tensor.cuda(), torch.float32)


def test_an_empty_one_can_be_moved() -> None:
    statistic = TensorStatistic("E")
    statistic.apply(lambda tensor: tensor.double())
    statistic.update(torch.ones(2), 1)
    assert statistic().dtype == torch.float32


@pytest.mark.parametrize("width", [4, 300])
def test_what_is_given_is_neither_kept_nor_changed(width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(30, width, generator=generator)
    padded = padded_rows(rows, constant=True)
    gradient = torch.randn(2, width, generator=generator)
    for moment, parts in (
        (Product(padded, padded), (padded.padded,)),
        (ParameterGradient(gradient, None), (gradient,)),
        (gradient, (gradient,)),
    ):
        statistic = TensorStatistic("E")
        copies = [part.clone() for part in parts]
        statistic.update(moment, 30)
        statistic.update(moment, 30)
        assert all(torch.equal(part, was) for part, was in zip(parts, copies, strict=True))
        value = statistic().clone()
        for part in parts:
            part += 1.0
        assert torch.equal(statistic(), value)
        for part, was in zip(parts, copies, strict=True):
            part.copy_(was)


def test_what_is_read_can_be_changed_by_the_reader() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.ones(2), 1)
    statistic().add_(5.0)
    assert torch.equal(statistic(), torch.ones(2))


def test_gradients_do_not_flow_into_it() -> None:
    statistic = TensorStatistic("E")
    statistic.update(torch.ones(2, requires_grad=True) * 2, 1)
    assert not statistic().requires_grad


# Symmetric sums.


@pytest.mark.parametrize("width", [3, 127, 128, 254, 255, 256, 300, 400])
@pytest.mark.parametrize("constant", [True, False])
def test_a_symmetric_sum_is_whole_however_it_is_stored(width: int, constant: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    statistic, expected = TensorStatistic("S"), torch.zeros(width + constant, width + constant, dtype=F64)
    for _ in range(3):
        rows = torch.randn(20, width, generator=generator)
        padded = padded_rows(rows, constant=constant)
        statistic.update(Product(padded, padded), 20)
        whole = torch.cat((rows, torch.ones(20, 1)), dim=1).double() if constant else rows.double()
        expected += whole.T @ whole
    assert statistic.shape == tuple(expected.shape)
    torch.testing.assert_close(statistic().double(), expected / 60, rtol=1e-5, atol=1e-5)
    assert torch.equal(statistic(), statistic().T)
    extra = torch.randn(width + constant, width + constant, generator=generator)
    extra = extra + extra.T
    statistic.update(extra, 40)  # a sum that is written down goes on top
    torch.testing.assert_close(statistic().double(), (expected + extra) / 100, rtol=1e-5, atol=1e-5)


# As a policy.


class Counting(list):
    """Batches that note how many of them were read."""

    read = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in super().__iter__():
            self.read += 1
            yield batch


def test_an_error_in_the_spec_ends_the_pass_early_and_still_plans_well() -> None:
    loss = torch.nn.functional.mse_loss
    every = {c.target: c for c in GrowthScheduler(chain(), loss).plan(batches(1600, size=20)).candidates}
    used = {}
    for error in (0.5, 0.1):
        data = Counting(batches(1600, size=20))
        network = chain(growth=f"{{when: {{every: 1}}, statistics: {{error: {error}}}}}")
        found = {c.target: c for c in GrowthScheduler(network, loss).plan(data).candidates}
        used[error] = data.read - len(data)  # the slopes are measured on all of it
        for target in ("h1", "h2"):
            assert found[target].neurons >= 1
            assert found[target].slope > (0.5 if error > 0.1 else 0.8) * every[target].slope
    assert 4 <= used[0.5] < used[0.1] < 80


def test_the_pass_ends_when_every_layer_is_known_well_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when some is: S and M of all of them are asked."""
    network = chain(growth="{statistics: {error: 0.1}}")
    names = set()
    usual = TensorStatistic.is_precise

    def noted(self: TensorStatistic, error: float, **options: int) -> bool:
        names.add((self.name, error))
        return usual(self, error, **options)

    monkeypatch.setattr(TensorStatistic, "is_precise", noted)
    GrowthScheduler(network, torch.nn.functional.mse_loss).plan(batches(1600, size=20))
    assert {(f"{what} of {layer}", 0.1) for what in "SM" for layer in ("h2", "y")} <= names


def test_an_error_and_a_number_of_samples_end_the_pass_whichever_comes_first() -> None:
    for growth, expected in (
        ("{when: {every: 1}, statistics: {error: 0.5, samples: 40}}", 2),
        ("{when: {every: 1}, statistics: {error: 0.5, samples: 2000}}", 4),
    ):
        data = Counting(batches(600, size=20))
        GrowthScheduler(chain(growth=growth), torch.nn.functional.mse_loss).plan(data)
        assert data.read - len(data) == expected


def test_statistics_of_a_module_tell_their_error() -> None:
    generator = torch.Generator().manual_seed(0)
    module = GrowingModule(torch.nn.Conv2d(2, 3, 3), name="stem")
    module.init_computation()
    errors = []
    for _ in range(40):
        module(torch.randn(5, 2, 6, 6, generator=generator)).square().sum().backward()
        module.update_computation()
        errors.append(module.tensor_s.relative_error)
    assert errors[0] == math.inf
    assert errors[-1] < 0.5 * errors[4]
    assert module.tensor_s.is_precise(2 * errors[-1])
    assert not module.tensor_s.is_precise(0.5 * errors[-1])
