"""Convolutions of any geometry, with anything between them, against the sums row by row of dense.py."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gromo_graph.layers.conv_transpose import TransposedConv1d, TransposedConv2d
from tests.modules.chains import ACTIVATIONS, Chain
from tests.modules.convolutions import (
    NEAR,
    assert_neurons_are_optimal,
    assert_statistics_are_dense,
    chain_of,
    has_clear_rank,
    pairs_of,
)
from tests.modules.pairs import F64

Sizes = tuple[int, ...]

TRANSPOSED = {1: TransposedConv1d, 2: TransposedConv2d}
CONVOLUTIONS = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d}
POOLS = {
    ("max", 1): torch.nn.MaxPool1d,
    ("max", 2): torch.nn.MaxPool2d,
    ("avg", 1): torch.nn.AvgPool1d,
    ("avg", 2): torch.nn.AvgPool2d,
    ("adaptive", 1): torch.nn.AdaptiveAvgPool1d,
    ("adaptive", 2): torch.nn.AdaptiveAvgPool2d,
}


@dataclass(frozen=True)
class Window:
    """A kernel along each axis. padding: None is "same"."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes | None
    dilation: Sizes

    def reads(self, outputs: Sizes) -> Sizes:
        """The smallest input that gives an output of at least these sizes."""
        if self.padding is None:
            return outputs
        options = zip(outputs, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(max(1, (n - 1) * s + d * (k - 1) + 1 - 2 * p) for n, k, s, p, d in options)

    def convolution(self, inputs: int, outputs: int, *, bias: bool) -> torch.nn.Module:
        padding = "same" if self.padding is None else self.padding
        options = {"stride": self.stride, "dilation": self.dilation, "padding": padding, "bias": bias}
        return CONVOLUTIONS[len(self.kernel)](inputs, outputs, self.kernel, **options)


@dataclass(frozen=True)
class Backwards:
    """A transposed convolution."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    further: Sizes

    def reads(self, outputs: Sizes) -> Sizes:
        """An input that gives an output of at least these sizes."""
        cut = zip(outputs, self.stride, self.padding, strict=True)
        return tuple(max(1, -(-(n - 1 + 2 * p) // s) + 1) for n, s, p in cut)

    def convolution(self, inputs: int, outputs: int, *, bias: bool) -> torch.nn.Module:
        return TRANSPOSED[len(self.kernel)](
            inputs,
            outputs,
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            output_padding=tuple(
                min(more, max(s, d) - 1)
                for more, s, d in zip(self.further, self.stride, self.dilation, strict=True)
            ),
            dilation=self.dilation,
            bias=bias,
        )


@dataclass(frozen=True)
class Pool:
    """A pool with a window, or an adaptive one to sizes that are given as the kernel of its window."""

    kind: str
    window: Window
    ceil: bool
    counts_padding: bool

    def reads(self, outputs: Sizes) -> Sizes:
        return (1,) * len(outputs) if self.kind == "adaptive" else self.window.reads(outputs)

    def module(self) -> torch.nn.Module:
        make = POOLS[self.kind, len(self.window.kernel)]
        window = self.window
        if self.kind == "adaptive":
            return make(window.kernel)
        options = {} if self.kind == "max" else {"count_include_pad": self.counts_padding}
        return make(window.kernel, window.stride, window.padding, ceil_mode=self.ceil, **options)


@dataclass(frozen=True)
class Case:
    """A pair of layers: a convolution, what stands between, and a convolution or (second None) a linear layer."""

    first: Window | Backwards
    activation: str
    pool: Pool | None
    pool_before: bool
    second: Window | Backwards | None
    kernel: str
    biases: tuple[bool, bool]
    widths: tuple[int, int, int]
    size: Sizes
    rows: int
    seed: int

    def chain(self) -> Chain:
        inputs, hidden, outputs = self.widths
        first = self.first.convolution(inputs, hidden, bias=self.biases[0])
        between: list[torch.nn.Module] = [ACTIVATIONS[self.activation]()]
        if self.pool is not None:
            between.insert(0 if self.pool_before else 1, self.pool.module())
        if self.second is None:
            between.append(torch.nn.Flatten())
            with torch.no_grad():
                features = torch.nn.Sequential(first, *between)(torch.zeros(1, inputs, *self.size)).shape[1]
            second: torch.nn.Module = torch.nn.Linear(features, outputs, bias=self.biases[1])
        else:
            second = self.second.convolution(hidden, outputs, bias=self.biases[1])
        function = torch.nn.Sequential(*between)
        shape = (inputs, *self.size)
        return chain_of(
            [first, second], [function], shape, kernel=self.kernel, rows=self.rows, seed=self.seed
        )


def along(axes: int, values: st.SearchStrategy[int]) -> st.SearchStrategy[Sizes]:
    return st.tuples(*[values] * axes)


def backwards(axes: int) -> st.SearchStrategy[Backwards]:
    three, few = along(axes, st.integers(1, 3)), along(axes, st.integers(0, 2))
    return st.builds(Backwards, three, three, few, along(axes, st.integers(1, 2)), few)


def windows(axes: int) -> st.SearchStrategy[Window]:
    one, two, three = along(axes, st.just(1)), along(axes, st.integers(1, 2)), along(axes, st.integers(1, 3))
    padded = st.builds(Window, three, two, along(axes, st.integers(0, 2)), two)
    return padded | st.builds(Window, three, one, st.none(), two)


@st.composite
def pools(draw: st.DrawFn, outputs: Sizes) -> Pool:
    """Any pool that gives at least these sizes."""
    axes = len(outputs)
    kind = draw(st.sampled_from(["max", "avg", "adaptive"]))
    kernel = outputs if kind == "adaptive" else draw(along(axes, st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)  # torch allows half of the kernel
    stride = draw(along(axes, st.integers(1, 2)))
    window = Window(kernel, stride, padding, (1,) * axes)
    return Pool(kind, window, ceil=draw(st.booleans()), counts_padding=draw(st.booleans()))


@st.composite
def cases(draw: st.DrawFn, axes: int, transposed: tuple[bool, bool] = (False, False)) -> Case:
    """Any two layers that fit on each other; sizes are found from behind, so that nothing has to be thrown away."""
    first = draw((backwards if transposed[0] else windows)(axes))
    second = draw(backwards(axes) if transposed[1] else st.none() | windows(axes))
    size = draw(along(axes, st.integers(1, 3)))
    if second is not None:
        size = second.reads(size)
    pool = draw(st.none() | pools(size))
    if pool is not None:
        size = pool.reads(size)
    return Case(
        first=first,
        activation=draw(st.sampled_from(["identity", "tanh", "gelu"])),
        pool=pool,
        pool_before=draw(st.booleans()),
        second=second,
        kernel=draw(st.sampled_from(["full", "centre"])),
        biases=draw(st.tuples(st.booleans(), st.booleans())),
        widths=draw(st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))),
        size=tuple(least + draw(st.integers(0, 2)) for least in first.reads(size)),
        rows=draw(st.sampled_from([12, 5, 1])),
        seed=draw(st.integers(0, 99)),
    )


def assert_case(case: Case) -> None:
    found = case.chain()
    found.gather()
    (pair,) = pairs_of(found)
    first, second = pair.first, pair.second
    assume(has_clear_rank(pair))
    wanted = assert_statistics_are_dense(pair)
    second.compute_optimal_delta(dtype=F64)
    torch.testing.assert_close(second.compute_n_update() / case.rows, second.tensor_n, **NEAR)
    second.compute_optimal_added_parameters(dtype=F64, statistical_threshold=1e-6)
    assert_neurons_are_optimal(pair, wanted)
    repeat = second.in_neurons // first.out_neurons
    neurons = 0 if second.eigenvalues_extension is None else len(second.eigenvalues_extension)
    second.set_scaling_factor(0.3)
    predicted = found.predicted_output()
    second.apply_change()
    width = case.widths[1] + neurons
    assert (first.out_neurons, second.in_neurons) == (width, width * repeat)
    with torch.no_grad():
        torch.testing.assert_close(found.net(found.x), predicted)


@settings(max_examples=25)
@given(case=cases(2))
def test_two_layers_of_any_geometry(case: Case) -> None:
    assert_case(case)


@settings(max_examples=12)
@given(case=cases(1))
def test_two_layers_of_any_geometry_along_one_axis(case: Case) -> None:
    assert_case(case)


@pytest.mark.parametrize("transposed", [(True, False), (False, True), (True, True)], ids=str)
@settings(max_examples=20)
@given(data=st.data())
def test_transposed_convolutions_of_any_geometry(transposed: tuple[bool, bool], data: st.DataObject) -> None:
    assert_case(data.draw(cases(data.draw(st.sampled_from([1, 2])), transposed)))


@pytest.mark.slow
@settings(max_examples=150)
@given(case=st.sampled_from([1, 2, 2]).flatmap(cases))
def test_many_layers_of_any_geometry(case: Case) -> None:
    assert_case(case)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_what_the_data_lack_is_left_out(dtype: torch.dtype) -> None:
    """One sample with four positions and rows of five columns: S lacks one direction, and the delta has no part there.

    With rounding the fifth pivot is not zero. Whatever it is, nothing can be divided by it.
    """
    wrong: dict[int, str] = {}
    for seed in range(60):
        layers = [torch.nn.Conv2d(2, 2, 2), torch.nn.Conv2d(2, 2, (1, 2))]
        found = chain_of(layers, [torch.nn.Tanh()], (2, 2, 6), rows=1, seed=seed)
        found.net.to(dtype)
        found.x, found.y = found.x.to(dtype), found.y.to(dtype)
        found.gather()
        second = found.modules[1]
        values, vectors = torch.linalg.eigh(second.tensor_s().double())
        if values[1] < 1e-3 * values[-1]:
            continue  # then single precision cannot tell what is lacking
        weight, bias, _ = second.compute_optimal_delta(dtype=dtype)
        delta = second.adapter.matrix(weight, bias).double()
        share = float((delta @ vectors[:, 0]).norm() / delta.norm())
        if share > 1e-3:
            wrong[seed] = f"{second.delta_solver}: {share:.3f} of the delta is in the lacking direction"
    assert not wrong


@pytest.mark.parametrize("linear", [True, False])
def test_a_max_pool_with_gaps_counts_as_its_mean_too(linear: bool) -> None:
    function = [torch.nn.Tanh(), torch.nn.MaxPool2d(2, stride=1, dilation=2)]
    second: torch.nn.Module = torch.nn.Conv2d(3, 2, 2)
    if linear:
        function.append(torch.nn.Flatten())
        second = torch.nn.Linear(12, 2)
    found = chain_of([torch.nn.Conv2d(2, 3, 1), second], [torch.nn.Sequential(*function)], (2, 4, 4), rows=40)
    found.gather()
    assert_statistics_are_dense(*pairs_of(found))
