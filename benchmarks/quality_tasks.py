"""The tasks of the quality benchmark: data, a network by its width, a budget of parameters, epochs.

Policies are chosen on the tasks under `CHOOSE`. Nobody chooses anything on those under `CONFIRM`: they show whether
a choice holds elsewhere. A seed draws the data of a generator, or the split of a fixed set, the same for all methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import sklearn.datasets

from benchmarks.quality_data import Arrays, digits, fashion, mnist1d
from gromo_graph import Spec, compile_network, parse_spec

DECAY, BATCH = 0.1, 64


@dataclass(frozen=True)
class Task:
    """Something to learn, and the network that learns it.

    Attributes:
        name: on the command line and in tables.
        data: from a seed to (samples, targets).
        nodes: from a width to the `nodes` of a spec, as text; the output is `y`. All widths follow from this one.
        start: the width at which growth begins.
        parameters: the budget.
        epochs: of the grown run.
        loss: by its name in a spec.
        large: whether `--images` takes a part of the data.
    """

    name: str
    data: Callable[[int], Arrays]
    nodes: Callable[[int], str]
    start: int
    parameters: int
    epochs: int
    loss: str = "cross_entropy"
    large: bool = False

    def spec(self, width: int, *, rate: float = 0.01, overrides: tuple[str, ...] = ()) -> Spec:
        """The spec with all growth settings left at their defaults, but for the budget and the overrides."""
        text = (
            f"version: 1\nname: quality\nnodes:\n{self.nodes(width)}output: y\n"
            f"growth: {{stop: {{parameters: {self.parameters}}}}}\n"
            f"train: {{loss: {self.loss}, optimizer: {{name: adamw, lr: {rate}, weight_decay: {DECAY}}}, "
            f"schedule: cosine, batch_size: {BATCH}, epochs: {self.epochs}}}\n"
        )
        return parse_spec(text, overrides=list(overrides))

    def drawn(self, seed: int, images: int | None) -> Arrays:
        """The data of a seed in an order of its own, so that the split of `grow` is another one for each seed.

        Args:
            seed: of the draw. images: samples to take of a large set; None takes all.
        """
        x, y = self.data(seed)
        order = np.random.default_rng(seed).permutation(len(x))
        if self.large and images is not None:
            order = order[:images]
        return x[order], y[order]

    def widest(self, parameters: int) -> int:
        """The largest width whose network has at most so many parameters."""
        low, high = self.start, 2 * self.start
        while self._parameters(high) <= parameters:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._parameters(middle) <= parameters else (low, middle)
        return low

    def _parameters(self, width: int) -> int:
        return compile_network(self.spec(width), seed=0).graph.parameter_count


def dense(width: int, *, inputs: int, outputs: int, layers: int = 3, activation: str = "relu") -> str:
    """Hidden layers of one width; images and sequences are read as rows of numbers."""
    names = ["x", *(f"h{place + 1}" for place in range(layers))]
    hidden = [
        f"{name}: {{kind: linear, from: {source}, features: {width}, activation: {activation}}}"
        for source, name in pairwise(names)
    ]
    return _indented(
        [
            f"x: {{kind: input, shape: [{inputs}]}}",
            *hidden,
            f"y: {{kind: linear, from: {names[-1]}, features: {outputs}}}",
        ]
    )


def sequence_cnn(width: int) -> str:
    """Three strided convolutions; 5,210 parameters at width 25, as the authors of MNIST-1D have it."""
    return _indented(
        [
            "x: {kind: input, shape: [1, 40]}",
            f"c1: {{kind: conv1d, from: x, features: {width}, kernel: 5, stride: 2, padding: 1, activation: relu}}",
            f"c2: {{kind: conv1d, from: c1, features: {width}, kernel: 3, stride: 2, padding: 1, activation: relu}}",
            f"c3: {{kind: conv1d, from: c2, features: {width}, kernel: 3, stride: 2, padding: 1, activation: relu}}",
            "flat: {kind: flatten, from: c3}",
            "y: {kind: linear, from: flat, features: 10}",
        ]
    )


def residual_cnn(width: int, *, side: int = 28, stride: int = 2) -> str:
    """A stem and two stages of one residual block each, with batch norms; the second stage is twice as wide."""
    lines = [
        f"x: {{kind: input, shape: [1, {side}, {side}]}}",
        *_convolution("stem", "x", width, stride=stride, activation="relu"),
        *_residual("one", "stem", width),
        *_convolution("down", "one", 2 * width, stride=2, activation="relu"),
        *_residual("two", "down", 2 * width),
        "mean: {kind: adaptive_avg_pool2d, from: two, size: 1}",
        "flat: {kind: flatten, from: mean}",
        "y: {kind: linear, from: flat, features: 10}",
    ]
    return _indented(lines)


def _residual(name: str, source: str, width: int) -> list[str]:
    return [
        *_convolution(f"{name}_a", source, width, activation="relu"),
        *_convolution(f"{name}_b", f"{name}_a", width),
        f"{name}: {{kind: merge, from: [{source}, {name}_b], activation: relu}}",
    ]


def _convolution(
    name: str, source: str, width: int, *, stride: int = 1, activation: str = "identity"
) -> list[str]:
    """A convolution and its norm, which has the name."""
    return [
        f"{name}_conv: {{kind: conv2d, from: {source}, features: {width}, kernel: 3, stride: {stride}, "
        "padding: 1, bias: false}",
        f"{name}: {{kind: batch_norm, from: {name}_conv, activation: {activation}}}",
    ]


def image_cnn(width: int) -> str:
    """Two plain convolutions on 8x8 images, pooled, and a hidden layer."""
    return _indented(
        [
            "x: {kind: input, shape: [1, 8, 8]}",
            f"c1: {{kind: conv2d, from: x, features: {width}, kernel: 3, padding: same, activation: gelu}}",
            f"c2: {{kind: conv2d, from: c1, features: {2 * width}, kernel: 3, padding: same, activation: gelu}}",
            "pool: {kind: max_pool2d, from: c2, kernel: 4}",
            "flat: {kind: flatten, from: pool}",
            f"h: {{kind: linear, from: flat, features: {2 * width}, activation: gelu}}",
            "y: {kind: linear, from: h, features: 10}",
        ]
    )


def _indented(lines: list[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


def _drawn(make: Callable[..., Any], *, base: int, **options: Any) -> Callable[[int], Arrays]:
    """A generator of scikit-learn, with random states of its own for each task."""
    return lambda seed: make(random_state=base + seed, **options)


def _spirals(seed: int) -> Arrays:
    """Three arms in a plane, turned into ten dimensions, with noise in all of them."""
    chance = np.random.default_rng(seed)
    radius, label = np.sqrt(chance.uniform(0.04, 1.0, 3000)), np.arange(3000) % 3
    angle = radius * 2.0 * np.pi + label * 2.0 * np.pi / 3.0
    plane = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)
    turned = plane @ np.linalg.qr(chance.normal(size=(10, 2)))[0].T
    return turned + chance.normal(0.0, 0.03, turned.shape), label


def _deep_classes(seed: int) -> Arrays:
    return sklearn.datasets.make_classification(
        8000, 30, n_informative=15, n_redundant=5, n_classes=8, flip_y=0.02, random_state=5000 + seed
    )


_CLASSES = {
    "n_samples": 6000,
    "n_features": 20,
    "n_informative": 12,
    "n_redundant": 4,
    "n_classes": 6,
    "n_clusters_per_class": 3,
    "class_sep": 1.2,
}

CHOOSE = (
    Task("MNIST-1D MLP", mnist1d, partial(dense, inputs=40, outputs=10), 4, 5000, 60),
    Task("MNIST-1D CNN", mnist1d, sequence_cnn, 4, 5210, 60),
    Task("digits 1,000", digits, partial(dense, inputs=64, outputs=10), 2, 1000, 60),
    Task("digits 5,000", digits, partial(dense, inputs=64, outputs=10), 2, 5000, 60),
    Task(
        "Fashion-MNIST MLP",
        fashion,
        partial(dense, inputs=784, outputs=10, layers=2),
        *(8, 70_000, 10),
        large=True,
    ),
    Task("Fashion-MNIST residual CNN", fashion, residual_cnn, 4, 50_000, 10, large=True),
    Task(
        "tabular clusters",
        _drawn(sklearn.datasets.make_classification, base=1000, **_CLASSES),
        partial(dense, inputs=20, outputs=6),
        *(3, 2000, 40),
    ),
    Task(
        "tabular shells",
        _drawn(
            sklearn.datasets.make_gaussian_quantiles, base=2000, n_samples=4000, n_features=10, n_classes=4
        ),
        partial(dense, inputs=10, outputs=4),
        *(3, 1000, 40),
    ),
    Task(
        "tabular regression",
        _drawn(sklearn.datasets.make_friedman1, base=3000, n_samples=4000, n_features=10, noise=0.3),
        partial(dense, inputs=10, outputs=1),
        *(3, 500, 60),
        loss="mse",
    ),
)
CONFIRM = (
    Task(
        "confirm: MNIST-1D drawn anew",
        partial(mnist1d, generator=7),
        partial(dense, inputs=40, outputs=10, layers=2, activation="gelu"),
        *(4, 3000, 40),
    ),
    Task("confirm: digits CNN", digits, image_cnn, 2, 4000, 40),
    Task("confirm: digits, 8 layers", digits, partial(dense, inputs=64, outputs=10, layers=8), 2, 3000, 60),
    Task(
        "confirm: 8 classes, 4 layers",
        _deep_classes,
        partial(dense, inputs=30, outputs=8, layers=4, activation="gelu"),
        *(4, 3000, 30),
    ),
    Task(
        "confirm: spirals",
        _spirals,
        partial(dense, inputs=10, outputs=3, layers=2, activation="tanh"),
        *(2, 600, 100),
    ),
    Task(
        "confirm: regression, 4 inputs",
        _drawn(sklearn.datasets.make_friedman3, base=4000, n_samples=3000, noise=0.05),
        partial(dense, inputs=4, outputs=1, layers=2, activation="silu"),
        *(2, 400, 60),
        loss="mse",
    ),
)
TASKS = {task.name: task for task in (*CHOOSE, *CONFIRM)}


@cache
def uniform_width(name: str, parameters: int) -> int:
    """`Task.widest` of a task by its name, remembered."""
    return TASKS[name].widest(parameters)
