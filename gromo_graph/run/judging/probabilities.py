"""Outputs of a network as probabilities, and the class that they speak for."""

from __future__ import annotations

import numpy as np

from gromo_graph.run.data.raw import Array

EVEN = 0.5
"""The probability above which a class or a label is predicted, if nothing else is said."""


def softmax(outputs: Array) -> Array:
    """Probabilities of classes, (samples, classes)."""
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    found: Array = raised / raised.sum(axis=1, keepdims=True)
    return found


def sigmoid(outputs: Array) -> Array:
    """Probabilities of labels, (samples, labels)."""
    found: Array = 0.5 * (1.0 + np.tanh(0.5 * outputs))
    return found


def chosen_classes(outputs: Array, threshold: float = EVEN) -> Array:
    """The most likely classes, or of two classes the second one if its probability is above the threshold.

    >>> chosen_classes(np.array([[0.0, 0.1], [0.2, 0.0]])).tolist()
    [1, 0]
    >>> chosen_classes(np.array([[0.0, 0.1], [0.2, 0.0]]), 0.4).tolist()
    [1, 1]
    """
    if threshold == EVEN or outputs.shape[1] != 2:
        most: Array = outputs.argmax(axis=1)
        return most
    return (softmax(outputs)[:, 1] > threshold).astype(np.int64)
