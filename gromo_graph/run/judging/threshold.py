"""The probability of the second of two classes above which it is predicted, tuned on held-out data."""

from __future__ import annotations

import numpy as np

from gromo_graph.run.data.raw import Array
from gromo_graph.run.judging.predictions import Predictions
from gromo_graph.run.judging.probabilities import EVEN, softmax


def tuned_threshold(seen: Predictions) -> float:
    """The threshold with the highest macro F1, halfway between two probabilities that were predicted.

    Of several as good the one that is nearest to 0.5, which is also kept if there is one class alone.

    Args:
        seen: outputs (samples, 2) and class indices (samples,).

    >>> import torch
    >>> outputs = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]).log().double()
    >>> round(tuned_threshold(Predictions(outputs, torch.tensor([0, 0, 1, 1]), 0.5)), 3)
    0.25
    """
    second, targets = softmax(seen.outputs.double().numpy())[:, 1], seen.targets.numpy()
    if not np.isfinite(second).all() or len(np.unique(targets)) < 2:
        return EVEN
    cuts, scores = _scores(second, targets)
    best = cuts[scores >= scores.max() - 1e-12]
    return float(best[np.abs(best - EVEN).argmin()])


def _scores(second: Array, targets: Array) -> tuple[Array, Array]:
    """Each threshold that changes a prediction, and 0.5; with the macro F1 that it gives."""
    order = np.argsort(second)
    probabilities, labels = second[order], targets[order]
    values = np.unique(probabilities)
    cuts = np.append(0.5 * (values[1:] + values[:-1]), EVEN)
    below = np.searchsorted(probabilities, cuts, side="right")
    ones = np.concatenate(([0], np.cumsum(labels)))
    missed, all_ones, samples = ones[below], ones[-1], len(labels)
    hits = all_ones - missed  # of the second class, above the threshold
    rejected = below - missed  # of the first class, below it
    # F1 = 2 TP / (predicted + true), for each of the two classes
    of_second = 2.0 * hits / (samples - below + all_ones)
    of_first = 2.0 * rejected / (below + samples - all_ones)
    return cuts, 0.5 * (of_first + of_second)
